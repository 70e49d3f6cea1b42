"""Who a Cloud Storage bucket says it is: credentials of every kind, asked for over HTTP."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import google.auth
import pytest

from devqubit.errors import AccessDeniedError, CredentialsError, UnreachableError
from devqubit.plugin import open_bucket
from tests.servers.gcs import GCSServer
from tests.servers.gcs_account import EMAIL, write_account


@pytest.fixture
def server() -> Iterator[GCSServer]:
    """A server that wants to know who asks."""
    with GCSServer(require_auth=True) as server:
        server.create_bucket("bucket")
        yield server


@pytest.fixture
def account(server: GCSServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The secret of a service account, whose file the environment names."""
    file = tmp_path / "account.json"
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    # google-auth looks for restrictions at Google's in the background; not from here.
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    return write_account(server, file)


def _url(server: GCSServer, *parameters: str) -> str:
    return "&".join([f"gs://bucket?endpoint_url={server.endpoint}", "timeout=3", *parameters])


@pytest.mark.usefixtures("account")
def test_service_account(server: GCSServer) -> None:
    """A service account's file makes a token, once for many requests."""
    bucket = open_bucket(_url(server))
    bucket.write("a", b"1")
    assert bucket.read("a").data == b"1"
    assert [target for _, target in server.requests if target == "/token"] == ["/token"]
    bucket.close()


@pytest.mark.usefixtures("account")
def test_revoked_token_is_renewed(server: GCSServer) -> None:
    """A token that the service does not take any more is replaced by a new one."""
    bucket = open_bucket(_url(server))
    bucket.write("a", b"1")
    server.authority.tokens.clear()
    assert bucket.read("a").data == b"1"
    bucket.close()


@pytest.mark.usefixtures("account")
def test_access_denied(server: GCSServer) -> None:
    """Who is known, but may not, gets AccessDeniedError with the service's words."""
    bucket = open_bucket(_url(server))
    bucket.write("a", b"1")
    server.authority.tokens = dict.fromkeys(server.authority.tokens, "denied")
    for call in (bucket.read, bucket.stat, bucket.delete, lambda _: list(bucket.list())):
        with pytest.raises(AccessDeniedError, match=r"does not have storage\.objects"):
            call("a")
    with pytest.raises(AccessDeniedError):
        bucket.write("a", b"2")
    assert [type(error) for _, error in bucket.delete_many(["a"])] == [AccessDeniedError]
    bucket.close()


def test_refused_account(
    server: GCSServer, account: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """A key that Google does not know is CredentialsError, and its secret is nowhere."""
    server.authority.trust(EMAIL, 3 * 5, 65537)
    bucket = open_bucket(_url(server))
    with pytest.raises(CredentialsError, match="Invalid JWT Signature") as caught:
        bucket.read("a")
    seen = f"{caught.value} {bucket!r} {bucket.location} {capfd.readouterr()}"
    assert account.splitlines()[1] not in seen
    bucket.close()


@pytest.mark.usefixtures("account")
def test_token_server_that_fails(server: GCSServer) -> None:
    """No answer about credentials is UnreachableError, and is tried again."""
    failure = server.fail_next(2, how="close", path="^/token$")
    bucket = open_bucket(_url(server))
    bucket.write("a", b"1")
    assert failure.times == 0
    server.authority.tokens.clear()
    server.fail_next(100, how="close", path="^/token$")
    with pytest.raises(UnreachableError, match="about credentials"):
        bucket.read("a")
    bucket.close()


def test_metadata_server(server: GCSServer) -> None:
    """A machine of Google's own gets its token from its metadata server."""
    address = server.endpoint.removeprefix("http://")
    environment = {k: v for k, v in os.environ.items() if k != "NO_GCE_CHECK"}
    environment |= {"GCE_METADATA_HOST": address, "GCE_METADATA_IP": address}
    program = (
        "import sys; from devqubit.plugin import open_bucket; "
        "bucket = open_bucket(sys.argv[1]); bucket.write('a', b'1'); bucket.close()"
    )
    command = [sys.executable, "-c", program, _url(server)]
    subprocess.run(command, env=environment, check=True, timeout=60)
    assert server.objects("bucket")["a"].data == b"1"
    assert any("/service-accounts/" in target for _, target in server.requests)


@pytest.mark.usefixtures("account")
def test_anonymous(server: GCSServer) -> None:
    """`anonymous` sends no credentials, also where there are some."""
    bucket = open_bucket(_url(server, "anonymous=true"))
    with pytest.raises(CredentialsError, match="Anonymous caller"):
        bucket.read("a")
    assert "/token" not in [target for _, target in server.requests]
    bucket.close()


@pytest.mark.parametrize("scheme", ["http://", ""])
def test_emulator(
    gcs_server: GCSServer, gcs_bucket: str, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """STORAGE_EMULATOR_HOST is the server, gets no credentials, and is part of the location."""
    address = gcs_server.endpoint.removeprefix("http://")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", scheme + address)
    bucket = open_bucket(f"gs://{gcs_bucket}/x")
    bucket.write("a", b"1")
    assert gcs_server.objects(gcs_bucket)["x/a"].data == b"1"
    assert bucket.location == f"gs://{gcs_bucket}/x?endpoint_url=http://{address}"
    bucket.close()


def test_endpoint_wins_over_emulator(
    gcs_server: GCSServer, gcs_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An endpoint that was given is taken, whatever the environment says."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    bucket = open_bucket(f"gs://{gcs_bucket}", {"endpoint_url": f"{gcs_server.endpoint}/"})
    bucket.write("a", b"1")
    assert bucket.location == f"gs://{gcs_bucket}?endpoint_url={gcs_server.endpoint}"
    bucket.close()


def test_server_without_tls_gets_no_credentials(
    gcs_server: GCSServer, gcs_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over http:// nobody looks for credentials, which could take long, unless they are chosen."""
    monkeypatch.setattr(google.auth, "default", lambda **_: pytest.fail("looked for credentials"))
    bucket = open_bucket(f"gs://{gcs_bucket}?endpoint_url={gcs_server.endpoint}")
    bucket.write("a", b"1")
    assert gcs_server.objects(gcs_bucket)["a"].data == b"1"
    bucket.close()


@pytest.mark.usefixtures("account")
def test_credentials_that_are_asked_for(server: GCSServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """`anonymous=false` looks for credentials, whatever the server is."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.endpoint)
    bucket = open_bucket("gs://bucket?anonymous=false")
    bucket.write("a", b"1")
    assert server.objects("bucket")["a"].data == b"1"
    bucket.close()


def test_no_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without credentials the first call says so, and what to do; opening does not."""
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    bucket = open_bucket("gs://bucket")
    with pytest.raises(CredentialsError, match="gcloud auth application-default login"):
        bucket.read("a")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    with pytest.raises(CredentialsError, match=r"none\.json"):
        bucket.read("a")
    bucket.close()


@pytest.mark.usefixtures("account")
def test_project_is_not_required(server: GCSServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials without a project are enough."""
    found = google.auth.default
    monkeypatch.setattr(google.auth, "default", lambda **options: (found(**options)[0], None))
    bucket = open_bucket(_url(server))
    bucket.write("a", b"1")
    assert server.objects("bucket")["a"].data == b"1"
    bucket.close()


@pytest.mark.usefixtures("account")
def test_threads_look_once(server: GCSServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 16 threads that begin at once, one looks for credentials."""
    looked: list[Any] = []
    found = google.auth.default

    def default(**options: Any) -> Any:
        looked.append(found(**options))
        return looked[-1]

    monkeypatch.setattr(google.auth, "default", default)
    bucket = open_bucket(_url(server))
    start = threading.Barrier(16)

    def write(number: int) -> None:
        start.wait()
        bucket.write(str(number), b"1")

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(write, range(16)))
    assert len(looked) == 1
    bucket.close()
