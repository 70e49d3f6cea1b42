"""S3: what a server answers, or does not, has an error of its own, and nothing else leaks."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from devqubit.errors import (
    AccessDeniedError,
    BackendError,
    BlobNotFoundError,
    BucketNotFoundError,
    CredentialsError,
    StorageError,
    StorageFullError,
    ThrottledError,
    UnreachableError,
    UnsupportedError,
)
from devqubit.plugin import ABSENT, Bucket, Version, open_bucket
from tests.servers.relay import Answer, Relay, Rule

ONCE = {"max_attempts": 1}
SECRET = "hunter2/hunter2+hunter2"
CALLS: dict[str, Callable[[Bucket], object]] = {
    "read": lambda bucket: bucket.read("k"),
    "read a range": lambda bucket: bucket.read("k", start=1, length=1),
    "stat": lambda bucket: bucket.stat("k"),
    "write": lambda bucket: bucket.write("k", b""),
    "create": lambda bucket: bucket.write("k", b"", if_version=ABSENT),
    "replace": lambda bucket: bucket.write("k", b"", if_version=Version("v")),
    "list": lambda bucket: list(bucket.list()),
    "delete": lambda bucket: bucket.delete("k"),
}


def caught_in(call: str, bucket: Bucket) -> StorageError:
    """The error that a call raises, which must be one of ours."""
    with pytest.raises(StorageError) as caught:
        CALLS[call](bucket)
    return caught.value


@pytest.fixture
def once(s3_url: str) -> Bucket:
    """The bucket behind the relay, of a user who tries everything once."""
    return open_bucket(s3_url, ONCE)


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
        (429, "TooManyRequests", ThrottledError),
        (500, "InternalError", UnreachableError),
        (501, "NotImplemented", UnsupportedError),
        (507, "XMinioStorageFull", StorageFullError),
        (400, "SomethingNew", BackendError),
    ],
)
def test_answers_are_told_apart(
    once: Bucket,
    refuse: Callable[..., None],
    call: str,
    status: int,
    code: str,
    expected: type[StorageError],
) -> None:
    """Each answer of the service is its own error, also to a HEAD, which has no body."""
    refuse(status, code)
    error = caught_in(call, once)
    assert type(error) is expected
    assert isinstance(error.__cause__, ClientError)


@pytest.mark.parametrize("call", ["read", "read a range", "stat"])
def test_missing_blob(s3: Bucket, call: str) -> None:
    """In a bucket that is there, the blob is what is missing, and is named."""
    error = caught_in(call, s3)
    assert isinstance(error, BlobNotFoundError)
    assert (error.key, error.location) == ("k", s3.location)


@pytest.mark.parametrize("call", CALLS)
def test_missing_bucket(s3_endpoint: str, call: str) -> None:
    """A bucket that is not there is what is missing, whatever is asked of it."""
    bucket = open_bucket(f"s3://no-such-bucket?endpoint_url={s3_endpoint}")
    error = caught_in(call, bucket)
    assert type(error) is BucketNotFoundError
    assert "s3://no-such-bucket" in str(error)


@pytest.mark.parametrize("call", CALLS)
def test_nobody_listens(call: str) -> None:
    """A port where nobody listens is UnreachableError."""
    error = caught_in(call, open_bucket("s3://bucket/x?endpoint_url=http://127.0.0.1:9", ONCE))
    assert type(error) is UnreachableError
    assert isinstance(error.__cause__, BotoCoreError)


@pytest.mark.parametrize("call", CALLS)
def test_nobody_answers(call: str) -> None:
    """A server that takes a connection and says nothing is UnreachableError."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        bucket = open_bucket(f"s3://bucket/x?endpoint_url={endpoint}&timeout=0.6", ONCE)
        error = caught_in(call, bucket)
    assert type(error) is UnreachableError
    assert isinstance(error.__cause__, BotoCoreError)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("page", [b"<html>Welcome!</html>", b""])
def test_web_page_in_the_place_of_a_server(
    once: Bucket, relay: Relay, call: str, page: bytes
) -> None:
    """A console or a login page, which answers 200 to anything, is BackendError, no success."""
    relay.add(Rule(), Answer(200, page, {"Content-Type": "text/html"}))
    assert type(caught_in(call, once)) is BackendError


@pytest.mark.parametrize("page", [b"<html>Welcome!</html>", b"<html><Deleted>all</Deleted></html>"])
def test_web_page_deletes_nothing(once: Bucket, relay: Relay, page: bytes) -> None:
    """What such a page answers to a batch is not taken for a deletion."""
    relay.add(Rule(), Answer(200, page, {"Content-Type": "text/html"}))
    outcomes = list(once.delete_many(["a", "b"]))
    assert [(key, type(error)) for key, error in outcomes] == [
        ("a", BackendError),
        ("b", BackendError),
    ]


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("PermanentRedirect", "region"),
        ("AuthorizationHeaderMalformed", "region"),
        ("RequestTimeTooSkewed", "clock"),
        ("InvalidObjectState", "restore"),
        ("NoSuchBucket", "check the name"),
        ("AccessDenied", "ask the bucket's owner"),
        ("InvalidAccessKeyId", "AWS_ACCESS_KEY_ID"),
        ("SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY"),
    ],
)
def test_advice(once: Bucket, refuse: Callable[..., None], code: str, advice: str) -> None:
    """Where the way out is known, the message says it, also after a HEAD."""
    refuse(400, code)
    assert advice in str(caught_in("read", once))
    assert advice in str(caught_in("stat", once))


@pytest.mark.parametrize("call", CALLS)
def test_secret_key_is_not_repeated(
    s3_url: str,
    refuse: Callable[..., None],
    call: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The secret key is in no message, no repr and no log, of botocore's neither."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    with caplog.at_level(logging.DEBUG):
        bucket = open_bucket(s3_url)
        list(bucket.list())
        refuse(403, "SignatureDoesNotMatch")
        error = caught_in(call, bucket)
    assert "Authorization" in caplog.text
    shown = f"{error}{error!r}{error.__cause__}{error.__dict__}{bucket!r}{bucket.location}"
    assert SECRET not in shown + caplog.text
