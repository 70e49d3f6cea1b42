"""A service account that the Cloud Storage server knows, and the file of its key."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.servers.gcs import GCSServer

__all__ = ["EMAIL", "write_account"]

EMAIL = "lab@devqubit.iam.gserviceaccount.com"


def write_account(server: GCSServer, file: Path) -> str:
    """Writes what `GOOGLE_APPLICATION_CREDENTIALS` is to name; gives the secret key."""
    numbers = _key().public_key().public_numbers()
    server.authority.trust(EMAIL, numbers.n, numbers.e)
    secret = _key().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    document = {
        "type": "service_account",
        "project_id": "lab",
        "private_key_id": "1",
        "private_key": secret.decode(),
        "client_email": EMAIL,
        "token_uri": f"{server.endpoint}/token",
    }
    file.write_text(json.dumps(document))
    return secret.decode()


@cache
def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)
