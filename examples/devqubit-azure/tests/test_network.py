"""A bad network: what is sent again, how long, and that nothing is done twice."""

from __future__ import annotations

import io
import random
import socket
import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import BinaryIO, cast

import pytest

from devqubit.errors import (
    BackendError,
    ConflictError,
    StorageError,
    ThrottledError,
    UnreachableError,
)
from devqubit.plugin import ABSENT, Blob, Bucket
from tests.servers.relay import (
    Answer,
    CutAnswer,
    Fault,
    LoseAnswer,
    Relay,
    Request,
    Reset,
    Rule,
    every,
)

BUSY = Answer(503, b"<Error><Code>ServerBusy</Code><Message>Slow down.</Message></Error>")
FAILED = Answer(500, b"<Error><Code>InternalError</Code><Message>Sorry.</Message></Error>")
MIB = 1024 * 1024
# A deadline of 2 s must hold; the rest is for a machine that has other things to do.
TIMEOUT = 2.0
SLACK = 2.0

CALLS: dict[str, Callable[[Bucket], object]] = {
    "read": lambda bucket: bucket.read("k").data,
    "stat": lambda bucket: bucket.stat("k").size,
    "write": lambda bucket: bool(bucket.write("k", b"0123456789")),
    "list": lambda bucket: [info.key for info in bucket.list()],
    "delete": lambda bucket: bucket.delete("k"),
    "delete_many": lambda bucket: list(bucket.delete_many(["k"])),
}


@pytest.fixture
def relay(azurite: str) -> Iterator[Relay]:
    """A relay before Azurite, which passes everything on until it is told otherwise."""
    with Relay(azurite) as relay:
        yield relay


@pytest.fixture
def endpoint(relay: Relay) -> str:
    """The address of the account behind the relay."""
    return f"{relay.endpoint}/lab"


@pytest.fixture
def far(open_bucket: Callable[..., Bucket], endpoint: str) -> Bucket:
    """The place, behind the relay; the fixture `bucket` is the same for somebody else."""
    return open_bucket(endpoint_url=endpoint)


@pytest.mark.parametrize("silent", [True, False], ids=["silent", "dead"])
def test_no_answer_and_the_deadline(open_bucket: Callable[..., Bucket], silent: bool) -> None:
    """A server that never answers, or is not there, is given up in time."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        port = server.getsockname()[1] if silent else 9
        bucket = open_bucket(endpoint_url=f"http://127.0.0.1:{port}/lab", timeout=TIMEOUT)
        began = time.monotonic()
        with pytest.raises(UnreachableError):
            bucket.read("k")
    assert time.monotonic() - began < TIMEOUT + SLACK


def test_busy_server_and_the_deadline(
    relay: Relay, open_bucket: Callable[..., Bucket], endpoint: str
) -> None:
    """A server that is busy for ever is asked again, and given up in time."""
    relay.add(Rule(), BUSY)
    began = time.monotonic()
    with pytest.raises(ThrottledError):
        open_bucket(endpoint_url=endpoint, timeout=TIMEOUT, max_attempts=1_000).read("k")
    assert time.monotonic() - began < TIMEOUT + SLACK
    assert len(relay.requests) > 2


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("fault", [BUSY, FAILED, Reset()], ids=["503", "500", "reset"])
def test_failures_are_tried_again(
    relay: Relay, far: Bucket, bucket: Bucket, call: str, fault: Fault
) -> None:
    """A request that fails is sent again, and succeeds."""
    bucket.write("k", b"0123456789")
    expected = CALLS[call](bucket)
    bucket.write("k", b"0123456789")
    relay.add(Rule(turns={1}), fault)
    assert CALLS[call](far) == expected


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
    relay: Relay,
    open_bucket: Callable[..., Bucket],
    bucket: Bucket,
    endpoint: str,
    fault: Fault,
    expected: type[StorageError],
) -> None:
    """With max_attempts=1 a failure is the answer, after one request: the SDK sends no more."""
    bucket.write("k", b"0123456789")
    relay.add(Rule(), fault)
    with pytest.raises(expected):
        open_bucket(endpoint_url=endpoint, max_attempts=1).read("k")
    assert len(relay.requests) == 1


@pytest.mark.parametrize("start", [0, 3])
def test_body_that_breaks_off_is_read_again(
    relay: Relay, far: Bucket, bucket: Bucket, start: int
) -> None:
    """A body that ends too early is read anew: the whole one, or the range."""
    bucket.write("k", b"0123456789")
    relay.add(Rule(method="GET", turns={1, 2}), CutAnswer(after=2))
    assert far.read("k", start=start).data == b"0123456789"[start:]


def test_range_behind_the_end_of_what_was_replaced(
    relay: Relay, far: Bucket, bucket: Bucket
) -> None:
    """No bytes are said to be of a version that has some there."""
    bucket.write("k", b"abc")

    def meanwhile(request: Request) -> bool:
        if request.method == "HEAD":
            bucket.write("k", b"0123456789")
        return False

    relay.add(Rule(where=meanwhile), Reset())
    assert far.read("k", start=5) == Blob(b"56789", bucket.stat("k").version)


@pytest.mark.parametrize("times", [1, 2])
def test_create_whose_answer_is_lost(relay: Relay, far: Bucket, bucket: Bucket, times: int) -> None:
    """A creation is no conflict with itself."""
    relay.add(Rule(method="PUT", turns=range(1, times + 1)), LoseAnswer())
    version = far.write("k", b"mine", if_version=ABSENT)
    assert bucket.read("k") == Blob(b"mine", version)


@pytest.mark.parametrize("times", [1, 2])
def test_replacement_whose_answer_is_lost(
    relay: Relay, far: Bucket, bucket: Bucket, times: int
) -> None:
    """A replacement is no conflict with itself."""
    old = bucket.write("k", b"old")
    relay.add(Rule(method="PUT", turns=range(1, times + 1)), LoseAnswer())
    version = far.write("k", b"new", if_version=old)
    assert bucket.read("k") == Blob(b"new", version)


def test_replacement_that_was_built_upon(relay: Relay, far: Bucket, bucket: Bucket) -> None:
    """A replacement whose answer is lost, and that somebody replaced in turn, is no conflict."""
    old = bucket.write("k", b"old")

    def meanwhile(_: object) -> bool:
        read = bucket.read("k")
        if read.data == b"mine":
            bucket.write("k", read.data + b" and theirs", if_version=read.version)
        return False

    relay.add(Rule(method="PUT", turns={1}), LoseAnswer())
    relay.add(Rule(method="PUT", where=meanwhile), Reset())
    far.write("k", b"mine", if_version=old)
    assert bucket.read("k").data == b"mine and theirs"


@pytest.mark.parametrize("conditional", [True, False])
def test_delete_whose_answer_is_lost(
    relay: Relay, far: Bucket, bucket: Bucket, conditional: bool
) -> None:
    """A deletion says that something was there, although it is gone when asked again."""
    version = bucket.write("k", b"1")
    relay.add(Rule(method="DELETE", turns={1}), LoseAnswer())
    assert far.delete("k", if_version=version if conditional else None)
    assert list(bucket.list()) == []


def test_somebody_else_is_a_conflict(relay: Relay, far: Bucket, bucket: Bucket) -> None:
    """A creation that never arrived, and finds another's work when sent again, is refused."""
    theirs = bucket.write("k", b"same")
    relay.add(Rule(method="PUT", turns={1}), Reset())
    with pytest.raises(ConflictError) as caught:
        far.write("k", b"same", if_version=ABSENT)
    assert (caught.value.expected, caught.value.actual) == (ABSENT, theirs)


@pytest.mark.parametrize("lost", [1, 2, 3], ids=["a block", "another", "the end"])
def test_upload_whose_answer_is_lost(relay: Relay, far: Bucket, bucket: Bucket, lost: int) -> None:
    """A large upload is there whole, and once, whichever answer was lost."""
    data = random.Random(1).randbytes(9 * MIB)
    relay.add(Rule(method="PUT", turns={lost}), LoseAnswer())
    version = far.upload("k", io.BytesIO(data), len(data))
    assert bucket.read("k") == Blob(data, version)


def test_uploads_of_the_same_file_at_the_same_time(
    relay: Relay, far: Bucket, bucket: Bucket
) -> None:
    """Whoever ends first does not take the other's blocks away: both succeed."""
    data = random.Random(1).randbytes(20 * MIB)

    def meanwhile(_: Request) -> bool:
        bucket.upload("k", io.BytesIO(data), len(data))
        return False

    relay.add(Rule(method="PUT", where=meanwhile), Reset())
    far.upload("k", io.BytesIO(data), len(data))
    assert bucket.read("k").data == data


def test_upload_beside_another_file(relay: Relay, far: Bucket, bucket: Bucket) -> None:
    """Two files under one key are never mixed: one upload may fail, and says why."""
    ours, theirs = bytes(9 * MIB), random.Random(1).randbytes(9 * MIB)

    def meanwhile(request: Request) -> bool:
        if "comp=blocklist" in request.target:
            bucket.upload("k", io.BytesIO(theirs), len(theirs))
        return False

    relay.add(Rule(where=meanwhile), Reset())
    with pytest.raises(ConflictError, match="InvalidBlockList"):
        far.upload("k", io.BytesIO(ours), len(ours))
    assert bucket.read("k").data == theirs


def test_delete_in_batches(relay: Relay, far: Bucket) -> None:
    """Many blobs are deleted with one request for 256 of them."""
    keys = [f"{number}" for number in range(257)]
    assert list(far.delete_many(keys)) == [(key, None) for key in keys]
    assert len(relay.requests) == 2


@pytest.mark.parametrize("call", CALLS)
def test_web_page_in_the_place_of_azure(relay: Relay, far: Bucket, call: str) -> None:
    """What does not speak the protocol is neither a success nor an error of the SDK's."""
    page = {"Content-Type": "text/html", "Last-Modified": "today"}
    relay.add(Rule(), Answer(200, b"<html>Please sign in", page))
    if call == "delete_many":
        ((_, outcome),) = far.delete_many(["k"])
        assert isinstance(outcome, BackendError)
        return
    with pytest.raises(BackendError):
        CALLS[call](far)


def test_unreliable_network(relay: Relay, far: Bucket, bucket: Bucket) -> None:
    """Where a third of the requests fail in one way or another, nothing is lost or doubled."""
    relay.add(Rule(turns=every(7)), LoseAnswer())
    relay.add(Rule(probability=0.1, seed=1), Reset())
    relay.add(Rule(probability=0.1, seed=2), BUSY)
    blobs = {f"{n:02}": random.Random(n).randbytes(1_000) for n in range(50)}
    versions = dict(far.write_many(blobs.items(), if_version=ABSENT))
    read = {key: blob for key, blob in far.read_many(blobs) if isinstance(blob, Blob)}
    assert {key: blob.data for key, blob in read.items()} == blobs
    assert {info.key: info.version for info in bucket.list()} == versions
    assert set(dict(far.delete_many(blobs)).values()) == {None}
    assert list(bucket.list()) == []


class Zeros(io.RawIOBase):
    """A file of nothing but zeros, that takes no memory."""

    def read(self, size: int = -1) -> bytes:
        """So many zeros."""
        return bytes(size)


def test_large_files_in_constant_memory(bucket: Bucket) -> None:
    """A file goes up in blocks, of which a few are held at a time."""
    size = 200 * MIB
    tracemalloc.start()
    try:
        bucket.upload("k", cast("BinaryIO", Zeros()), size)
        assert tracemalloc.get_traced_memory()[1] < size / 2
    finally:
        tracemalloc.stop()
