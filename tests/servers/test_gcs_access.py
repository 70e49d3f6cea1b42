"""Credentials and failures of the Cloud Storage server."""

from __future__ import annotations

import http.client

import pytest
from google.auth.exceptions import RefreshError
from google.auth.transport.requests import Request
from google.cloud import storage
from google.oauth2 import service_account

from tests.servers.gcs import GCSServer, How
from tests.servers.plain_http import PlainClient


@pytest.mark.parametrize(
    ("token", "status", "reason"),
    [
        (None, 401, "required"),
        ("wrong", 401, "authError"),
        ("bad", 403, "forbidden"),
        ("good", 200, ""),
    ],
)
def test_tokens(token: str | None, status: int, reason: str) -> None:
    """Without a token or with a wrong one it is 401, with one that may nothing 403."""
    with GCSServer(require_auth=True, tokens={"good": "owner", "bad": "denied"}) as server:
        server.create_bucket("bucket")
        ask = PlainClient(server.endpoint)
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        answer = ask("GET", "/storage/v1/b/bucket/o", **headers)
        ask.close()
    assert answer.status == status
    if reason:
        error = answer.json()["error"]
        assert (error["errors"][0]["reason"], error["code"]) == (reason, status)


@pytest.mark.parametrize("trusted", [True, False])
def test_service_account(rsa_key: tuple[str, int, int], trusted: bool) -> None:
    """A service account's signed request becomes a token; one signed with another key does not."""
    pem, modulus, exponent = rsa_key
    with GCSServer(require_auth=True) as server:
        server.create_bucket("bucket")
        server.authority.trust("me@example.com", modulus if trusted else modulus - 2, exponent)
        info = {
            "client_email": "me@example.com",
            "private_key": pem,
            "token_uri": server.endpoint + "/token",
        }
        credentials = service_account.Credentials.from_service_account_info(
            info, scopes=storage.Client.SCOPE
        )
        if not trusted:
            with pytest.raises(RefreshError, match="Invalid JWT Signature"):
                credentials.refresh(Request())
            return
        client = storage.Client(
            "tests", credentials=credentials, client_options={"api_endpoint": server.endpoint}
        )
        assert [bucket.name for bucket in client.list_buckets()] == ["bucket"]
        client.close()


@pytest.fixture(scope="session")
def rsa_key() -> tuple[str, int, int]:
    """An RSA key: as PEM, and its public numbers."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    numbers = key.public_key().public_numbers()
    return pem.decode(), numbers.n, numbers.e


@pytest.mark.parametrize(
    ("path", "status", "expected"),
    [
        ("/", 200, b"computeMetadata/\n"),
        ("/computeMetadata/v1/project/project-id", 200, b"devqubit-tests"),
        ("/computeMetadata/v1/universe/universe-domain", 200, b"googleapis.com"),
        ("/computeMetadata/v1/nothing", 404, b""),
    ],
)
def test_metadata_server(ask: PlainClient, path: str, status: int, expected: bytes) -> None:
    """The metadata server says what it is, and what google-auth asks it."""
    answer = ask("GET", path, Metadata_Flavor="Google")
    assert (answer.status, answer.body) == (status, expected)
    assert answer.headers["Metadata-Flavor"] == "Google"


def test_metadata_server_gives_tokens(server: GCSServer, ask: PlainClient) -> None:
    """The metadata server gives a token of an owner, to those who send its header."""
    path = "/computeMetadata/v1/instance/service-accounts/default/"
    assert ask("GET", path + "token").status == 403
    token = ask("GET", path + "token", Metadata_Flavor="Google").json()["access_token"]
    assert server.authority.tokens[token] == "owner"
    info = ask("GET", path + "?recursive=true", Metadata_Flavor="Google").json()
    assert info["email"].endswith(".gserviceaccount.com")


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_refusals_on_demand(server: GCSServer, ask: PlainClient, status: int) -> None:
    """The next requests are refused as told, then it works again."""
    server.plant("bucket", "a", b"1")
    server.fail_next(2, status, headers={"Retry-After": "1"}, method="GET")
    answers = [ask("GET", "/storage/v1/b/bucket/o/a") for _ in range(3)]
    assert [answer.status for answer in answers] == [status, status, 200]
    assert answers[0].headers["Retry-After"] == "1"
    assert answers[0].json()["error"]["code"] == status


@pytest.mark.parametrize(("how", "executed"), [("forget", True), ("close", False)])
def test_connections_that_break(
    server: GCSServer, ask: PlainClient, how: How, executed: bool
) -> None:
    """A connection breaks before a request is executed, or after, without an answer."""
    server.fail_next(how=how, path="/upload/")
    with pytest.raises(ConnectionError):
        ask("POST", "/upload/storage/v1/b/bucket/o?uploadType=media&name=a", b"1")
    assert ("a" in server.objects("bucket")) == executed


def test_bodies_that_break_off(server: GCSServer, ask: PlainClient) -> None:
    """A body ends in the middle, and its length says so."""
    server.plant("bucket", "a", b"0123456789")
    server.fail_next(how="cut")
    with pytest.raises(http.client.IncompleteRead) as caught:
        ask("GET", "/storage/v1/b/bucket/o/a?alt=media")
    assert caught.value.partial == b"01234"


def test_requests_are_recorded(server: GCSServer, ask: PlainClient) -> None:
    """Every request is recorded as it was sent, until the record is cleared."""
    ask("GET", "/storage/v1/b/bucket/o?prefix=a%2F")
    server.requests.clear()
    ask("GET", "/storage/v1/b/bucket/o?prefix=b%2F")
    assert server.requests == [("GET", "/storage/v1/b/bucket/o?prefix=b%2F")]


def test_emulator_variable(server: GCSServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Google's client finds the server by STORAGE_EMULATOR_HOST, and asks for no credentials."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.endpoint)
    client = storage.Client()
    assert [bucket.name for bucket in client.list_buckets()] == ["bucket"]
    client.close()


def test_stopped_server_is_gone() -> None:
    """A server that was stopped answers no more, on old connections neither."""
    server = GCSServer().start()
    ask = PlainClient(server.endpoint)
    assert ask("GET", "/storage/v1/b").status == 200
    server.stop()
    with pytest.raises(OSError, match=r"closed|refused|reset|pipe"):
        ask("GET", "/storage/v1/b")
    ask.close()
