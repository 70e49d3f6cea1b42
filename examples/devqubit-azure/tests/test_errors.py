"""What Azure refuses: each reason is an error of its own, and none tells a secret."""

from __future__ import annotations

import io
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from azure.storage.blob import BlobServiceClient, generate_container_sas

from devqubit.errors import (
    AccessDeniedError,
    BlobNotFoundError,
    BucketNotFoundError,
    CredentialsError,
    UnreachableError,
)
from devqubit.plugin import ABSENT, Bucket

CONNECTION = "AZURE_STORAGE_CONNECTION_STRING"
LARGE = 9 * 1024 * 1024
CALLS: dict[str, Callable[[Bucket], object]] = {
    "read": lambda bucket: bucket.read("k"),
    "stat": lambda bucket: bucket.stat("k"),
    "write": lambda bucket: bucket.write("k", b"1"),
    "create": lambda bucket: bucket.write("k", b"1", if_version=ABSENT),
    "upload": lambda bucket: bucket.upload("k", io.BytesIO(bytes(LARGE)), LARGE),
    "list": lambda bucket: list(bucket.list()),
    "delete": lambda bucket: bucket.delete("k"),
}
Open = Callable[..., Bucket]


@pytest.fixture
def shared_access(service: BlobServiceClient, container: str) -> Callable[[str], str]:
    """Makes a signature (SAS) of the container that allows what its letters say."""

    def make(permission: str) -> str:
        account, key = str(service.account_name), service.credential.account_key
        expiry = datetime.now(UTC) + timedelta(hours=1)
        return generate_container_sas(
            account, container, account_key=key, permission=permission, expiry=expiry
        )

    return make


@pytest.mark.parametrize("call", CALLS)
def test_missing_container(
    bucket: Bucket, service: BlobServiceClient, container: str, call: str
) -> None:
    """A container that is not there is not a blob that is not there."""
    service.delete_container(container)
    with pytest.raises(BucketNotFoundError, match=container):
        CALLS[call](bucket)


@pytest.mark.parametrize("call", CALLS)
def test_wrong_key(
    open_bucket: Open, azurite: str, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """A key that is not the account's is refused as a credential."""
    monkeypatch.setenv(CONNECTION, "AccountName=lab;AccountKey=d3Jvbmc=")
    with pytest.raises(CredentialsError, match=r"40[13]"):
        CALLS[call](open_bucket(endpoint_url=azurite))


@pytest.mark.parametrize("text", ["nonsense", "AccountName=lab;AccountKey=x"], ids=["form", "key"])
def test_malformed_connection_string(
    open_bucket: Open, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """A connection string that cannot be one is a matter of credentials."""
    monkeypatch.setenv(CONNECTION, text)
    with pytest.raises(CredentialsError):
        open_bucket().stat("k")


def test_no_account(open_bucket: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an account, the error says how to name one."""
    monkeypatch.delenv(CONNECTION)
    with pytest.raises(CredentialsError, match="AZURE_STORAGE_CONNECTION_STRING"):
        open_bucket()


def test_without_azure_identity(open_bucket: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where only the extra could find credentials, and is missing, the error names it."""
    monkeypatch.delenv(CONNECTION)
    monkeypatch.setitem(sys.modules, "azure.identity", None)
    with pytest.raises(CredentialsError, match=r"devqubit-azure\[identity\]"):
        open_bucket(account="lab")


def test_no_token_without_encryption(open_bucket: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token is not sent where all can read it."""
    monkeypatch.delenv(CONNECTION)
    with pytest.raises(CredentialsError, match="HTTPS"):
        open_bucket(endpoint_url="http://127.0.0.1:9/lab")


def test_anonymous(
    open_bucket: Open, azurite: str, service: BlobServiceClient, container: str
) -> None:
    """Unsigned requests read a public container, and write nothing."""
    service.get_container_client(container).set_container_access_policy({}, public_access="blob")
    service.get_blob_client(container, "a team/x/k").upload_blob(b"public")
    public = open_bucket(endpoint_url=azurite, anonymous=True)
    assert public.read("k").data == b"public"
    with pytest.raises((AccessDeniedError, CredentialsError)):
        public.write("k", b"spoiled")


@pytest.mark.parametrize("call", ["write", "create", "upload", "list", "delete"])
def test_not_allowed(
    open_bucket: Open,
    azurite: str,
    shared_access: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
    call: str,
) -> None:
    """Who may read and nothing else is told so, and does read."""
    signature = shared_access("r")
    monkeypatch.setenv(CONNECTION, f"BlobEndpoint={azurite};SharedAccessSignature={signature}")
    reader = open_bucket()
    with pytest.raises(BlobNotFoundError):
        reader.read("k")
    with pytest.raises(AccessDeniedError):
        CALLS[call](reader)


def test_secrets_are_not_told(
    open_bucket: Open, shared_access: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signature is part of each address, but not of what is shown of one that fails."""
    signature = shared_access("r")
    secret = signature.partition("sig=")[2].partition("&")[0]
    text = f"BlobEndpoint=http://127.0.0.1:9/lab;SharedAccessSignature={signature}"
    monkeypatch.setenv(CONNECTION, text)
    bucket = open_bucket(max_attempts=1)
    with pytest.raises(UnreachableError) as caught:
        bucket.read("k")
    shown = "".join(traceback.format_exception(caught.value)) + repr(bucket) + bucket.location
    assert secret
    assert secret not in shown


@pytest.mark.parametrize(
    ("connection", "options"),
    [
        ("AccountName=lab;AccountKey=a2V5", {}),
        ("AccountName=lab;AccountKey=a2V5", {"account": "lab"}),
        ("AccountName=other;AccountKey=a2V5", {"account": "lab"}),
        ("", {"account": "lab"}),
        ("BlobEndpoint=https://lab.blob.core.windows.net/;SharedAccessSignature=sig=x", {}),
        ("", {"endpoint_url": "https://lab.blob.core.windows.net"}),
        ("", {"anonymous": True, "account": "lab"}),
    ],
)
def test_location(
    open_bucket: Open,
    container: str,
    monkeypatch: pytest.MonkeyPatch,
    connection: str,
    options: dict[str, str],
) -> None:
    """However the account was found, the place has one URL."""
    monkeypatch.setenv(CONNECTION, connection)
    assert open_bucket(**options).location == f"az://{container}/a%20team/x?account=lab"
