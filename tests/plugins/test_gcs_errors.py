"""What a Cloud Storage bucket makes of refusals, silence and lost answers."""

from __future__ import annotations

import io
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from devqubit.errors import (
    BackendError,
    BlobNotFoundError,
    BucketNotFoundError,
    ConflictError,
    InvalidKeyError,
    InvalidURLError,
    StorageError,
    ThrottledError,
    UnreachableError,
)
from devqubit.plugin import ABSENT, Blob, Bucket, Version, open_bucket
from tests.servers.gcs import GCSServer, How

MIB = 1024 * 1024

CALLS: dict[str, Callable[[Bucket], object]] = {
    "read": lambda bucket: bucket.read("a"),
    "range": lambda bucket: bucket.read("a", start=1, length=1),
    "nothing": lambda bucket: bucket.read("a", length=0),
    "write": lambda bucket: bucket.write("a", b"2"),
    "create": lambda bucket: bucket.write("b", b"2", if_version=ABSENT),
    "stat": lambda bucket: bucket.stat("a"),
    "delete": lambda bucket: bucket.delete("a"),
    "list": lambda bucket: list(bucket.list()),
    "download": lambda bucket: bucket.download("a", io.BytesIO()),
    "upload": lambda bucket: bucket.upload("a", io.BytesIO(bytes(9 * MIB)), 9 * MIB),
}
all_calls = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


@pytest.fixture
def bucket(gcs_server: GCSServer, gcs_bucket: str) -> Iterator[Bucket]:
    """A bucket with the blob `a`, where nothing fails any more."""
    gcs_server.plant(gcs_bucket, "a", b"1")
    bucket = _open(gcs_server.endpoint, gcs_bucket)
    yield bucket
    gcs_server.forgive()
    bucket.close()


def _open(endpoint: str, name: str, timeout: float = 5) -> Bucket:
    query = f"endpoint_url={endpoint}&anonymous=true&max_attempts=3&timeout={timeout}"
    return open_bucket(f"gs://{name}?{query}")


@all_calls
def test_refusals_are_tried_again(
    gcs_server: GCSServer, bucket: Bucket, call: Callable[[Bucket], object]
) -> None:
    """A service that is busy for a moment is asked again, and nobody notices."""
    failure = gcs_server.fail_next(1, 429)
    call(bucket)
    assert failure.times == 0


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_refusals_that_pass(gcs_server: GCSServer, bucket: Bucket, status: int) -> None:
    """Everything that may pass is tried again, in all kinds of requests."""
    failures = [gcs_server.fail_next(1, status, path=path) for path in ("/download/", "/upload/")]
    bucket.write("a", bucket.read("a").data)
    assert [failure.times for failure in failures] == [0, 0]


@all_calls
def test_refusals_are_given_up(
    gcs_server: GCSServer, bucket: Bucket, call: Callable[[Bucket], object]
) -> None:
    """After `max_attempts` requests, the last refusal is the error."""
    failure = gcs_server.fail_next(100, 429)
    with pytest.raises(ThrottledError, match="Made to fail with 429"):
        call(bucket)
    assert failure.times == 97


@pytest.mark.parametrize(
    ("status", "expected"),
    [(408, UnreachableError), (429, ThrottledError), (500, UnreachableError)],
)
def test_throttled_and_failing_are_two(
    gcs_server: GCSServer, bucket: Bucket, status: int, expected: type[StorageError]
) -> None:
    """A service that is busy and one that is broken are two different errors."""
    gcs_server.fail_next(100, status)
    with pytest.raises(expected, match=f"answered {status}"):
        bucket.stat("a")


def test_throttled_by_403(gcs_server: GCSServer, bucket: Bucket) -> None:
    """A rate limit that comes as "forbidden" is throttling, not a lack of permission."""
    gcs_server.fail_next(100, 403, reason="rateLimitExceeded", path="/storage/v1/b/.*/o/")
    with pytest.raises(ThrottledError):
        bucket.stat("a")


@all_calls
@pytest.mark.parametrize("how", ["close", "forget"])
def test_broken_connections_are_tried_again(
    gcs_server: GCSServer, bucket: Bucket, call: Callable[[Bucket], object], how: How
) -> None:
    """A connection that breaks, before or after the request was executed, is made anew."""
    failure = gcs_server.fail_next(1, how=how)
    call(bucket)
    assert failure.times == 0


@all_calls
def test_missing_bucket(gcs_server: GCSServer, call: Callable[[Bucket], object]) -> None:
    """A bucket that is not there is BucketNotFoundError for every call."""
    bucket = _open(gcs_server.endpoint, "no-such-bucket")
    with pytest.raises(BucketNotFoundError, match="create it, or check the name"):
        call(bucket)
    assert [type(error) for _, error in bucket.delete_many(["a"])] == [BucketNotFoundError]
    bucket.close()


def test_missing_bucket_without_words(gcs_server: GCSServer, bucket: Bucket) -> None:
    """Where "not found" does not say what, the bucket is looked for, once."""
    missing = _open(gcs_server.endpoint, "no-such-bucket")
    gcs_server.fail_next(1, 404)
    with pytest.raises(BucketNotFoundError):
        missing.read("a")
    gcs_server.fail_next(2, 404, path="/download/")
    gcs_server.requests.clear()
    for _ in range(2):
        with pytest.raises(BlobNotFoundError):
            bucket.read("a")
    assert len(gcs_server.requests) == 3
    missing.close()


def test_missing_blob_where_listing_is_forbidden(gcs_server: GCSServer, bucket: Bucket) -> None:
    """Who may not look for the bucket hears of the blob alone."""
    gcs_server.fail_next(1, 403, path="/o[?]")
    with pytest.raises(BlobNotFoundError):
        bucket.read("missing")


@pytest.mark.parametrize("how", ["refuse", "close", "forget"])
def test_create_knows_its_own_work(gcs_server: GCSServer, bucket: Bucket, how: How) -> None:
    """A creation is no conflict with itself, whatever became of its first answer."""
    gcs_server.fail_next(2, how=how, path="/upload/")
    version = bucket.write("new", b"mine", if_version=ABSENT)
    assert bucket.read("new") == Blob(b"mine", version)


def test_replacement_knows_its_own_work(gcs_server: GCSServer, bucket: Bucket) -> None:
    """A replacement whose acknowledgement was lost succeeds, once."""
    first = bucket.stat("a").version
    gcs_server.fail_next(1, how="forget", path="/upload/")
    second = bucket.write("a", b"mine", if_version=first)
    assert bucket.read("a") == Blob(b"mine", second)
    with pytest.raises(ConflictError):
        bucket.write("a", b"again", if_version=first)


def test_work_of_others_is_a_conflict(
    gcs_server: GCSServer, gcs_bucket: str, bucket: Bucket
) -> None:
    """A creation that was tried again does not take another's bytes for its own."""
    gcs_server.plant(gcs_bucket, "new", b"other", metadata={"devqubit-write-id": "other"})
    gcs_server.fail_next(1, 503, path="/upload/")
    with pytest.raises(ConflictError) as caught:
        bucket.write("new", b"mine", if_version=ABSENT)
    assert caught.value.actual == bucket.stat("new").version
    assert bucket.read("new").data == b"other"


def test_delete_knows_its_own_work(gcs_server: GCSServer, bucket: Bucket) -> None:
    """A deletion whose acknowledgement was lost says that something was there."""
    gcs_server.fail_next(1, how="forget", method="DELETE")
    assert bucket.delete("a", if_version=bucket.stat("a").version)
    assert not bucket.delete("a")


def test_one_request_for_a_lost_race(gcs_server: GCSServer, bucket: Bucket) -> None:
    """Who creates what is there already needs one request to know."""
    gcs_server.requests.clear()
    with pytest.raises(ConflictError):
        bucket.write("a", b"2", if_version=ABSENT)
    assert len(gcs_server.requests) == 1


@pytest.mark.parametrize("version", ["", "0", "-1", "abc", "٣", "9" * 30])
def test_versions_of_other_stores(bucket: Bucket, version: str) -> None:
    """What is no generation is a conflict, and writes and deletes nothing."""
    for key in ("a", "missing"):
        with pytest.raises(ConflictError):
            bucket.write(key, b"2", if_version=Version(version))
    with pytest.raises(ConflictError):
        bucket.delete("a", if_version=Version(version))
    assert [info.key for info in bucket.list()] == ["a"]
    assert bucket.read("a").data == b"1"


@pytest.mark.parametrize("length", [None, 600])
def test_bodies_that_break_off(
    gcs_server: GCSServer, gcs_bucket: str, bucket: Bucket, length: int | None
) -> None:
    """Half a body is never returned; it is asked for again."""
    gcs_server.plant(gcs_bucket, "long", b"0123456789" * 100)
    failure = gcs_server.fail_next(1, how="cut")
    assert bucket.read("long", length=length).data == (b"0123456789" * 100)[:length]
    assert failure.times == 0


def test_damaged_on_the_way(gcs_server: GCSServer, gcs_bucket: str, bucket: Bucket) -> None:
    """Bytes that do not match the service's checksum are never returned."""
    damaged = gcs_server.plant(gcs_bucket, "damaged", b"1" * 100)
    damaged.claimed_crc32c = "AAAAAA=="
    with pytest.raises(UnreachableError, match="damaged on the way"):
        bucket.read("damaged")


@all_calls
def test_dead_endpoint(call: Callable[[Bucket], object]) -> None:
    """Where nobody listens, the error comes within the deadline."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{free.getsockname()[1]}"
    bucket = _open(endpoint, "bucket", timeout=1)
    begin = time.monotonic()
    with pytest.raises(UnreachableError, match="no answer"):
        call(bucket)
    assert time.monotonic() - begin < 1
    bucket.close()


@pytest.mark.parametrize("call", [CALLS["read"], CALLS["create"], CALLS["list"]])
def test_silent_server(
    gcs_server: GCSServer, gcs_bucket: str, bucket: Bucket, call: Callable[[Bucket], object]
) -> None:
    """A server that takes the request and says nothing is given up within the deadline."""
    gcs_server.fail_next(100, how="hang")
    bucket = _open(gcs_server.endpoint, gcs_bucket, timeout=0.9)
    begin = time.monotonic()
    with pytest.raises(UnreachableError):
        call(bucket)
    assert 0.3 < time.monotonic() - begin < 1.5
    bucket.close()


def test_causes_are_kept(bucket: Bucket) -> None:
    """Every error has the SDK's as its cause."""
    with pytest.raises(BlobNotFoundError) as caught:
        bucket.read("missing")
    assert type(caught.value.__cause__).__module__.startswith("google.")


def test_other_answers(gcs_server: GCSServer, bucket: Bucket) -> None:
    """An answer that is none of these is BackendError, with the service's words."""
    gcs_server.fail_next(1, 418, reason="teapot")
    with pytest.raises(BackendError, match=r"answered 418 teapot: Made to fail with 418\."):
        bucket.stat("a")


@pytest.mark.parametrize("key", ["k" * 1025, "é" * 513, "line\nend", "line\rend"])
def test_keys_that_cannot_be(gcs_server: GCSServer, bucket: Bucket, key: str) -> None:
    """What Cloud Storage cannot hold is refused when written, and is not there when read."""
    gcs_server.requests.clear()
    for call in (bucket.write, lambda k, d: bucket.upload(k, io.BytesIO(), 9 * MIB)):
        with pytest.raises(InvalidKeyError):
            call(key, b"")
    for read in (bucket.read, bucket.stat):
        with pytest.raises(BlobNotFoundError):
            read(key)
    assert not bucket.delete(key)
    assert gcs_server.requests == []


def test_names_of_no_bucket() -> None:
    """A name that no bucket can have is refused when it is opened."""
    with pytest.raises(InvalidURLError, match="begin and end with"):
        open_bucket("gs://-bucket")
