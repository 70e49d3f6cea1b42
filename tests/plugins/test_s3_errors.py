"""S3: users' own mocks, and the errors of a server told apart."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from devqubit.errors import (
    AccessDeniedError,
    BlobNotFoundError,
    BucketNotFoundError,
    CredentialsError,
    StorageError,
    ThrottledError,
    UnreachableError,
)
from devqubit.plugin import ABSENT, Bucket
from devqubit.storage import create_registry, create_store
from devqubit.storage._open import open_bucket

SECRET = "hunter2hunter2"
CALLS: dict[str, Callable[[Bucket], object]] = {
    "read": lambda bucket: bucket.read("k"),
    "stat": lambda bucket: bucket.stat("k"),
    "write": lambda bucket: bucket.write("k", b""),
    "create": lambda bucket: bucket.write("k", b"", if_version=ABSENT),
    "list": lambda bucket: list(bucket.list()),
    "delete": lambda bucket: bucket.delete("k"),
}


class Answers(ThreadingHTTPServer):
    """A server that gives every request one answer, in the words of the real service.

    No server that can be installed gives these answers; what matters is the client's
    side, which is real.
    """

    daemon_threads = True

    def __init__(self, status: int, code: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = status
        self.body = f"<Error><Code>{code}</Code><Message>No.</Message></Error>".encode()
        self.headers_seen: list[Any] = []

    def __enter__(self) -> Answers:
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    @property
    def url(self) -> str:
        """A registry there, that gives up at once."""
        return (
            f"s3://bucket/x?endpoint_url=http://127.0.0.1:{self.server_address[1]}"
            "&region=us-east-1&max_attempts=1"
        )


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Answers

    def answer(self) -> None:
        self.server.headers_seen.append(self.headers)
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(self.server.status)
        body = b"" if self.command == "HEAD" else self.server.body
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base's name
        """Logs nothing."""


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (403, "AccessDenied", AccessDeniedError),
        (403, "InvalidAccessKeyId", CredentialsError),
        (403, "SignatureDoesNotMatch", CredentialsError),
        (400, "ExpiredToken", CredentialsError),
        (403, "RequestTimeTooSkewed", CredentialsError),
        (404, "NoSuchBucket", BucketNotFoundError),
        (503, "SlowDown", ThrottledError),
        (500, "InternalError", UnreachableError),
    ],
)
def test_answers_are_told_apart(
    call: str, status: int, code: str, expected: type[StorageError]
) -> None:
    """Each answer of the service is its own error, also to a HEAD, which has no body."""
    with Answers(status, code) as server:
        bucket = open_bucket(server.url)
        with pytest.raises(expected) as caught:
            CALLS[call](bucket)
        assert type(caught.value) is expected
        assert caught.value.__cause__ is not None


def test_missing_blob_and_missing_bucket(s3_endpoint: str, s3_bucket: str) -> None:
    """In a bucket that is there a blob is missing; in one that is not, the bucket."""
    for call in ("read", "stat"):
        with pytest.raises(BlobNotFoundError):
            CALLS[call](open_bucket(f"s3://{s3_bucket}?endpoint_url={s3_endpoint}"))
        with pytest.raises(BucketNotFoundError):
            CALLS[call](open_bucket(f"s3://no-such-bucket?endpoint_url={s3_endpoint}"))


@pytest.mark.parametrize("call", CALLS)
def test_no_server(call: str) -> None:
    """A server that is not there is UnreachableError, within the deadline."""
    bucket = open_bucket("s3://b/x?endpoint_url=http://127.0.0.1:9&region=x&timeout=1")
    began = time.monotonic()
    with pytest.raises(UnreachableError):
        CALLS[call](bucket)
    assert time.monotonic() - began < 5


def test_silent_server() -> None:
    """A server that takes a connection and never answers is given up within the deadline."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        url = f"s3://b/x?endpoint_url=http://127.0.0.1:{port}&region=x&timeout=1.5"
        began = time.monotonic()
        with pytest.raises(UnreachableError):
            open_bucket(url).read("k")
        assert time.monotonic() - began < 6


def test_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without credentials, and with a profile that is not there, CredentialsError says so."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(CredentialsError, match="anonymous"):
        open_bucket("s3://bucket/x?region=us-east-1").read("k")
    with pytest.raises(CredentialsError, match="nobody"):
        open_bucket("s3://bucket/x?profile=nobody")


def test_secrets_are_not_repeated(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A secret key is in no message and no log of ours."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    with caplog.at_level(logging.DEBUG, "devqubit"), Answers(403, "AccessDenied") as server:
        bucket = open_bucket(server.url)
        with pytest.raises(AccessDeniedError) as caught:
            bucket.read("k")
    assert SECRET not in f"{caught.value}{caught.value!r}{bucket!r}{caplog.text}"


def test_headers_of_options() -> None:
    """Options arrive as headers, and custom endpoints get no checksum they do not know."""
    options = "&storage_class=STANDARD_IA&sse=aws:kms&sse_kms_key_id=k1&requester_pays=true"
    with Answers(403, "AccessDenied") as server:
        with pytest.raises(AccessDeniedError):
            open_bucket(server.url + options).write("k", b"x")
        (headers,) = server.headers_seen
    assert headers["x-amz-storage-class"] == "STANDARD_IA"
    assert headers["x-amz-server-side-encryption"] == "aws:kms"
    assert headers["x-amz-server-side-encryption-aws-kms-key-id"] == "k1"
    assert headers["x-amz-request-payer"] == "requester"
    assert not [n for n in headers if "checksum" in n.lower() or n.lower() == "x-amz-trailer"]


def test_anonymous_signs_nothing() -> None:
    """An anonymous request carries no signature."""
    with Answers(403, "AccessDenied") as server:
        for option, signed in (("", True), ("&anonymous=true", False)):
            with pytest.raises(AccessDeniedError):
                open_bucket(server.url + option).read("k")
            assert ("Authorization" in server.headers_seen[-1]) is signed


def test_endpoint_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, s3_endpoint: str, s3_bucket: str
) -> None:
    """An endpoint of the environment, of the URL and of a keyword are one place."""
    by_url = open_bucket(f"s3://{s3_bucket}/x?endpoint_url={s3_endpoint}")
    by_keyword = open_bucket(
        f"s3://{s3_bucket}/x?endpoint_url=http://127.0.0.1:1", {"endpoint_url": s3_endpoint}
    )
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3_endpoint)
    by_environment = open_bucket(f"s3://{s3_bucket}/x")
    by_url.write("k", b"x")
    assert by_keyword.read("k").data == by_environment.read("k").data == b"x"
    assert by_url.location == by_keyword.location == by_environment.location


@pytest.fixture
def _mocked(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    import boto3
    from moto import mock_aws

    with mock_aws():
        boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="mocked")
        yield


@pytest.mark.usefixtures("_mocked")
def test_in_process_mock() -> None:
    """Under moto's mock_aws, as users test their own code, store and registry work."""
    with create_store("s3://mocked/objects") as store, create_registry("s3://mocked/x") as registry:
        digests = sorted(store.put_bytes(bytes([n])) for n in range(3))
        store.put_bytes(b"\0")
        assert list(store.list_digests()) == digests
        assert sorted(map(store.get_bytes, digests)) == [b"\0", b"\1", b"\2"]
        registry.save({"run_id": "r", "adapter": "a"})
        registry.update("r", lambda record: {**record, "adapter": "b"})
        assert [run["adapter"] for run in registry.list_runs()] == ["b"]
        registry.set_baseline("p", "r")
        assert registry.get_baseline("p") is not None
    assert open_bucket("s3://mocked/objects").location == "s3://mocked/objects"
