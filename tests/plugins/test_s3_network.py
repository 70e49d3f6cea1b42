"""S3 on a bad network: what is tried again, how long, and what is noticed of damage."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from devqubit.errors import IntegrityError, StorageError, ThrottledError, UnreachableError
from devqubit.plugin import ABSENT, Blob, Bucket, open_bucket
from devqubit.storage import ObjectStore, create_store
from tests.servers.relay import (
    Answer,
    CutAnswer,
    Delay,
    Fault,
    FlipBit,
    LoseAnswer,
    Relay,
    Reset,
    Rule,
    every,
)

BUSY = Answer(503, b"<Error><Code>SlowDown</Code><Message>Reduce your rate.</Message></Error>")
FAILED = Answer(500, b"<Error><Code>InternalError</Code><Message>Sorry.</Message></Error>")
# A deadline of 2 s must hold; the rest is for a machine that has other things to do.
TIMEOUT = 2
SLACK = 2

CALLS: dict[str, Callable[[Bucket], object]] = {
    "read": lambda bucket: bucket.read("k"),
    "stat": lambda bucket: bucket.stat("k"),
    "write": lambda bucket: bucket.write("k", b"1"),
    "list": lambda bucket: list(bucket.list()),
    "delete": lambda bucket: bucket.delete("k"),
}


@contextmanager
def deadline_of(seconds: float) -> Iterator[None]:
    """Fails if what is done in it takes longer than so many seconds and the slack."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds + SLACK


@pytest.mark.parametrize("call", ["read", "write"])
def test_silent_server_and_the_deadline(call: str) -> None:
    """A server that takes connections and never answers is given up in time."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        bucket = open_bucket(f"s3://bucket/x?endpoint_url={endpoint}&timeout={TIMEOUT}")
        with deadline_of(TIMEOUT), pytest.raises(UnreachableError):
            CALLS[call](bucket)


def test_missing_server_and_the_deadline() -> None:
    """A port where nobody listens is tried again, and given up in time."""
    bucket = open_bucket(f"s3://bucket/x?endpoint_url=http://127.0.0.1:9&timeout={TIMEOUT}")
    with deadline_of(TIMEOUT), pytest.raises(UnreachableError):
        bucket.read("k")


@pytest.mark.parametrize("call", ["read", "delete"])
def test_busy_server_and_the_deadline(relay: Relay, s3_url: str, call: str) -> None:
    """A server that is busy for ever is asked again, and given up in time."""
    relay.add(Rule(), BUSY)
    bucket = open_bucket(s3_url, {"timeout": TIMEOUT, "max_attempts": 1_000})
    with deadline_of(TIMEOUT), pytest.raises(ThrottledError):
        CALLS[call](bucket)
    assert len(relay.requests) > 2


def test_slow_answer_and_the_deadline(relay: Relay, s3_url: str) -> None:
    """An answer that comes within an attempt's share of the time is waited for."""
    relay.add(Rule(), Delay(TIMEOUT / 6))
    with deadline_of(TIMEOUT):
        open_bucket(s3_url, {"timeout": TIMEOUT}).write("k", b"1")
    assert len(relay.requests) == 1


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "fault", [BUSY, FAILED, Answer(429), Reset()], ids=["503", "500", "429", "reset"]
)
def test_failures_are_tried_again(relay: Relay, s3: Bucket, call: str, fault: Fault) -> None:
    """A request that fails is sent again, and succeeds."""
    s3.write("k", b"1")
    expected = CALLS[call](s3)
    s3.write("k", b"1")
    relay.add(Rule(turns={1}), fault)
    assert without_times(CALLS[call](s3)) == without_times(expected)


def without_times(outcome: object) -> str:
    """What a call returned, but for the time that a blob was written."""
    return repr(outcome).partition("modified")[0]


@pytest.mark.parametrize("start", [0, 3])
def test_body_that_breaks_off_is_read_again(relay: Relay, s3: Bucket, start: int) -> None:
    """A body that ends too early is read anew: the whole one, or the range."""
    s3.write("k", b"0123456789")
    relay.add(Rule(method="GET", turns={1, 2}), CutAnswer(after=2))
    assert s3.read("k", start=start).data == b"0123456789"[start:]


def test_page_that_breaks_off_is_asked_for_again(relay: Relay, s3: Bucket) -> None:
    """A page of a list that ends too early is asked for anew."""
    s3.write("k", b"1")
    relay.add(Rule(method="GET", turns={1}), CutAnswer(after=200))
    assert [info.key for info in s3.list()] == ["k"]


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (BUSY, ThrottledError),
        (FAILED, UnreachableError),
        (Reset(), UnreachableError),
        (CutAnswer(after=1), UnreachableError),
    ],
    ids=["503", "500", "reset", "cut"],
)
def test_one_attempt(
    relay: Relay, s3: Bucket, s3_url: str, fault: Fault, expected: type[StorageError]
) -> None:
    """With max_attempts=1 a failure is the answer, after one request."""
    s3.write("k", b"0123456789")
    relay.requests.clear()
    relay.add(Rule(), fault)
    with pytest.raises(expected):
        open_bucket(s3_url, {"max_attempts": 1}).read("k")
    assert len(relay.requests) == 1


def test_attempts_are_counted(relay: Relay, s3_url: str) -> None:
    """max_attempts is how many requests are sent, the first one among them."""
    relay.add(Rule(), BUSY)
    with pytest.raises(ThrottledError):
        open_bucket(s3_url, {"max_attempts": 3}).read("k")
    assert len(relay.requests) == 3


def test_refusals_are_not_tried_again(
    relay: Relay, s3: Bucket, refuse: Callable[..., None]
) -> None:
    """What asking again cannot change is not asked again."""
    refuse(403, "AccessDenied")
    with pytest.raises(StorageError):
        s3.read("k")
    assert len(relay.requests) == 1


@pytest.fixture
def store(s3_url: str) -> Iterator[ObjectStore]:
    """A store behind the relay."""
    with create_store(s3_url) as store:
        yield store


@pytest.mark.parametrize("size", [1, 500_000])
def test_flipped_bit_is_healed(relay: Relay, store: ObjectStore, size: int) -> None:
    """A bit that flips on the way is noticed, and one more read gives the right bytes."""
    data = random.Random(size).randbytes(size)
    digest = store.put_bytes(data)
    relay.clear()
    relay.add(Rule(method="GET", turns={1}), FlipBit(at=size // 2))
    assert store.get_bytes(digest) == data
    assert [request.method for request in relay.requests] == ["GET", "GET"]


def test_flipped_bit_that_stays(relay: Relay, store: ObjectStore) -> None:
    """Bytes that are wrong at every read are IntegrityError, and are not returned."""
    digest = store.put_bytes(b"quantum")
    relay.clear()
    relay.add(Rule(method="GET"), FlipBit(at=3))
    with pytest.raises(IntegrityError) as caught:
        store.get_bytes(digest)
    assert caught.value.digest == digest
    assert [request.method for request in relay.requests] == ["GET", "GET"]


def test_one_failure_after_another(relay: Relay, store: ObjectStore) -> None:
    """Failures of several kinds, one after another, end well."""
    digest = store.put_bytes(b"quantum")
    faults: list[Fault] = [CutAnswer(3), Reset(), FlipBit(3), BUSY]
    for fault in faults:
        relay.add(Rule(method="GET", turns={1}), fault)
    assert store.get_bytes(digest) == b"quantum"


def test_unreliable_network(relay: Relay, s3: Bucket) -> None:
    """Where a third of the requests fail in one way or another, nothing is lost or doubled."""
    relay.add(Rule(turns=every(7)), LoseAnswer())
    relay.add(Rule(probability=0.1, seed=1), Reset())
    relay.add(Rule(probability=0.1, seed=2), BUSY)
    blobs = {f"{n:02}": random.Random(n).randbytes(1_000) for n in range(50)}
    versions = dict(s3.write_many(blobs.items(), if_version=ABSENT))
    read = {key: blob for key, blob in s3.read_many(blobs) if isinstance(blob, Blob)}
    assert {key: blob.data for key, blob in read.items()} == blobs
    assert {key: blob.version for key, blob in read.items()} == versions
    assert {info.key: info.version for info in s3.list()} == versions
    assert set(dict(s3.delete_many(blobs)).values()) == {None}
    assert list(s3.list()) == []
