"""The service that signs for service accounts, behind a proxy: its address cannot be changed.

After https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/signBlob.
"""

from __future__ import annotations

import base64
import datetime
import json
import re
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.servers.gcs_auth import Authority

__all__ = ["IamServer"]

HOST = "iamcredentials.googleapis.com"
# Later versions of Python refuse a certificate that does not say what it is for.
_USAGE = x509.KeyUsage(
    digital_signature=True,
    key_cert_sign=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


class IamServer:
    """A proxy that answers for the service itself, and lets nobody through to any other host.

    Args:
        authority: Knows who may ask.
        key: Signs for every service account.
        folder: Where its certificate is put.

    Attributes:
        certificate: A file that whoever asks it must trust.
    """

    def __init__(self, authority: Authority, key: rsa.RSAPrivateKey, folder: Path) -> None:
        self.authority = authority
        self.key = key
        self.certificate = folder / "iam.pem"
        self.certificate.write_bytes(_certificate(key))
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(self.certificate)
        self._http = _Server(self)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)

    @property
    def environment(self) -> dict[str, str]:
        """Variables by which a process finds it."""
        address = f"http://127.0.0.1:{self._http.server_address[1]}"
        return {"HTTPS_PROXY": address, "REQUESTS_CA_BUNDLE": str(self.certificate)}

    def __enter__(self) -> IamServer:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, owner: IamServer) -> None:
        self.owner = owner
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing of clients that go away."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_CONNECT(self) -> None:
        if self.path != f"{HOST}:443":
            self.send_error(403)
            return
        self.send_response(200)
        self.end_headers()
        with self.server.owner.tls.wrap_socket(self.connection, server_side=True) as inner:
            self.rfile, self.wfile = inner.makefile("rb"), inner.makefile("wb")
            self.handle_one_request()

    def do_POST(self) -> None:
        owner = self.server.owner
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if not re.fullmatch(r"/v1/projects/-/serviceAccounts/[^/:]+:signBlob\?alt=json", self.path):
            self._answer(404, {"error": {"code": 404, "status": "NOT_FOUND"}})
        elif owner.authority.tokens.get(token) != "owner":
            self._answer(403, {"error": {"code": 403, "status": "PERMISSION_DENIED"}})
        else:
            payload = base64.b64decode(body["payload"])
            signature = owner.key.sign(payload, padding.PKCS1v15(), hashes.SHA256())
            self._answer(200, {"keyId": "1", "signedBlob": base64.b64encode(signature).decode()})

    def _answer(self, status: int, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base's name
        """Logs nothing."""


def _certificate(key: rsa.RSAPrivateKey) -> bytes:
    """A certificate of the service's name that vouches for itself, and its key, as PEM."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, HOST)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_USAGE, critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return certificate.public_bytes(serialization.Encoding.PEM) + secret
