"""The conformance suite on Cloud Storage, spoken by our own server over HTTP."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from devqubit.testing import (
    BucketConformance,
    MaintenanceConformance,
    ObjectStoreConformance,
    PluginConformance,
    RaceConformance,
    RegistryConformance,
    SharedRegistryConformance,
)
from tests.servers.gcs import GCSServer

EMAIL = "lab@devqubit.iam.gserviceaccount.com"


@pytest.fixture(scope="module")
def account_key(gcs_server: GCSServer) -> str:
    """The secret key of a service account that the server knows."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    numbers = key.public_key().public_numbers()
    gcs_server.authority.trust(EMAIL, numbers.n, numbers.e)
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(pem, pkcs8, serialization.NoEncryption()).decode()


@pytest.fixture
def account(
    gcs_server: GCSServer, account_key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """The secret key of the service account that the environment names."""
    document = {
        "type": "service_account",
        "project_id": "lab",
        "private_key_id": "1",
        "private_key": account_key,
        "client_email": EMAIL,
        "token_uri": f"{gcs_server.endpoint}/token",
    }
    file = tmp_path / "account.json"
    file.write_text(json.dumps(document))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    # google-auth looks for restrictions at Google's in the background; not from here.
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    return account_key


class _GCS:
    @pytest.fixture
    def url(self, gcs_server: GCSServer, gcs_bucket: str) -> str:
        return f"gs://{gcs_bucket}/a team/x?endpoint_url={gcs_server.endpoint}&anonymous=true"


class TestBucket(_GCS, BucketConformance):
    """As a service account, so that there is a secret."""

    @pytest.fixture
    def url(self, gcs_server: GCSServer, gcs_bucket: str, account: str) -> str:
        return f"gs://{gcs_bucket}/a team/x?endpoint_url={gcs_server.endpoint}"

    @pytest.fixture
    def secrets(self, account: str) -> Sequence[str]:
        return account.splitlines()[1:-1]  # of its PEM form


class TestRaces(_GCS, RaceConformance):
    pass


class TestObjectStore(_GCS, ObjectStoreConformance):
    pass


class TestRegistry(_GCS, RegistryConformance):
    pass


class TestSharedRegistry(_GCS, SharedRegistryConformance):
    pass


class TestMaintenance(_GCS, MaintenanceConformance):
    pass


class TestPlugin(PluginConformance):
    scheme = "gs"
    sdk_modules = ("google.auth", "google.api_core", "requests")
