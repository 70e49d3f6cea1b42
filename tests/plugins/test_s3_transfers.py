"""S3: large uploads in parts, and deletions in batches."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest

from devqubit.errors import AccessDeniedError, StorageError, ThrottledError, UnreachableError
from devqubit.plugin import Blob, Bucket, open_bucket
from tests.servers.relay import Answer, Delay, Fault, LoseAnswer, Relay, Reset, Rule

MIB = 1024 * 1024
SIZE = 20 * MIB + 7


class Pipe(io.BytesIO):
    """A source that can only be read once, and remembers in which pieces."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.sizes: list[int] = []

    def read(self, size: int | None = -1) -> bytes:
        assert size is not None
        self.sizes.append(size)
        return super().read(size)

    def seekable(self) -> bool:
        return False

    def tell(self) -> int:
        raise OSError("a pipe has no position")


@pytest.fixture(scope="module")
def data() -> bytes:
    """What is uploaded: 20 MiB and a little, no two parts alike."""
    return random.Random(1).randbytes(SIZE)


@pytest.fixture
def unfinished(plain_s3: Any, s3_bucket: str) -> Callable[[], list[str]]:
    """Asks for the keys of uploads that were begun, and neither ended nor given up."""

    def ask() -> list[str]:
        answer = plain_s3.list_multipart_uploads(Bucket=s3_bucket)
        return [upload["Key"] for upload in answer.get("Uploads", ())]

    return ask


def test_upload_in_parts(relay: Relay, s3: Bucket, data: bytes) -> None:
    """A large file goes up in parts of 8 MiB, read one after another, without seeking."""
    source = Pipe(data)
    version = s3.upload("big", source, SIZE)
    assert source.sizes == [8 * MIB, 8 * MIB, 4 * MIB + 7]
    assert [request.method for request in relay.requests] == ["POST", "PUT", "PUT", "PUT", "POST"]
    assert sorted(len(r.body) for r in relay.requests[1:4]) == sorted(source.sizes)
    assert s3.read("big") == Blob(data, version)


def test_upload_from_where_the_file_stands(s3: Bucket, data: bytes) -> None:
    """What was read of the file before is not uploaded, nor what is behind the size."""
    source = io.BytesIO(data)
    source.seek(5)
    s3.upload("big", source, 9 * MIB)
    assert s3.read("big").data == data[5 : 9 * MIB + 5]


@pytest.mark.parametrize(
    "fault", [Answer(503), Reset(), LoseAnswer()], ids=["503", "reset", "lost"]
)
@pytest.mark.parametrize(
    "target", ["uploads", "partNumber=1", "partNumber=3"], ids=["begin", "first", "last"]
)
def test_step_that_fails_is_done_again(
    relay: Relay, s3: Bucket, data: bytes, fault: Fault, target: str
) -> None:
    """A part, or the beginning, that fails once is sent again, and the file is whole."""
    relay.add(Rule(target=target, turns={1}), fault)
    version = s3.upload("big", io.BytesIO(data), SIZE)
    assert s3.read("big") == Blob(data, version)


@pytest.mark.parametrize("target", ["partNumber=2", "uploadId=[^&]*$"], ids=["part", "end"])
def test_upload_that_fails_is_given_up(
    s3: Bucket,
    data: bytes,
    refuse: Callable[..., None],
    unfinished: Callable[[], list[str]],
    target: str,
) -> None:
    """After a failure for good nothing is seen of the upload, and nothing left to pay for."""
    refuse(403, "AccessDenied", target=target, where=lambda request: request.method != "DELETE")
    with pytest.raises(AccessDeniedError):
        s3.upload("big", io.BytesIO(data), SIZE)
    assert (list(s3.list()), unfinished()) == ([], [])


def test_short_source_is_given_up(
    s3: Bucket, data: bytes, unfinished: Callable[[], list[str]]
) -> None:
    """A file that ends before its size is refused, and nothing is left of it."""
    with pytest.raises(StorageError, match=f"fewer than {SIZE + 1} bytes"):
        s3.upload("big", io.BytesIO(data), SIZE + 1)
    assert (list(s3.list()), unfinished()) == ([], [])


@pytest.mark.parametrize("error", [OSError("the disk"), KeyboardInterrupt()], ids=repr)
def test_source_that_fails(
    relay: Relay,
    s3: Bucket,
    data: bytes,
    unfinished: Callable[[], list[str]],
    error: BaseException,
) -> None:
    """A file that cannot be read raises its own error, when no part is on its way any more."""

    class Source(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 8 * MIB:
                raise error
            return super().read(size)

    relay.add(Rule(target="partNumber"), Delay(0.2))
    with pytest.raises(type(error)) as caught:
        s3.upload("big", Source(data), SIZE)
    assert caught.value is error
    assert (list(s3.list()), unfinished()) == ([], [])
    parts = [request.status for request in relay.requests if request.method == "PUT"]
    assert parts == [200, 200]


def test_upload_that_cannot_be_given_up(
    s3_url: str, data: bytes, refuse: Callable[..., None]
) -> None:
    """If giving up fails as well, the error is still that of the upload."""
    refuse(403, "AccessDenied", target="partNumber=2")
    refuse(500, "InternalError", method="DELETE")
    impatient = open_bucket(s3_url, {"max_attempts": 1})
    with pytest.raises(AccessDeniedError):
        impatient.upload("big", io.BytesIO(data), SIZE)


def test_parts_in_flight_are_few(relay: Relay, s3: Bucket) -> None:
    """A long file is read as it is sent, so that it need not fit into memory."""
    size = 15 * 8 * MIB
    sent: list[int] = []

    class Source(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            sent.append(sum(r.method == "PUT" and r.status == 200 for r in relay.requests))
            return bytes(size)

    relay.add(Rule(target="partNumber"), Answer(200, b"", {"ETag": '"e"'}))
    relay.add(Rule(target="uploadId=[^&]*$"), Answer(200, b"<R><ETag>e</ETag></R>"))
    s3.upload("big", Source(), size)  # type: ignore[arg-type]  # all that is needed of a file
    ahead = [read - done for read, done in enumerate(sent)]
    assert max(ahead) <= 8


def test_batch(relay: Relay, s3: Bucket) -> None:
    """1,000 keys are deleted by one request, in order, whether they are there or not."""
    present = [f"k/{number:03}" for number in range(0, 1_000, 100)]
    for key in present:
        s3.write(key, b"1")
    keys = [f"k/{number:03}" for number in range(1_000)]
    relay.requests.clear()
    assert list(s3.delete_many(keys)) == [(key, None) for key in keys]
    assert [request.method for request in relay.requests] == ["POST"]
    assert list(s3.list()) == []


def test_batches(relay: Relay, s3: Bucket) -> None:
    """10,001 keys are eleven requests, some at a time, the last ones when they are needed."""
    outcomes = s3.delete_many(f"k/{number}" for number in range(10_001))
    next(outcomes)
    assert 1 <= len(relay.requests) <= 8
    assert len(list(outcomes)) == 10_000
    assert len(relay.requests) == 11


def test_batch_of_odd_keys(relay: Relay, s3: Bucket) -> None:
    """Keys with letters that XML or URLs use otherwise are deleted in the batch too."""
    keys = ["<&>", "a b", "a%20b", "é", "\U0001f642", "'\"", "a+b?#"]
    for key in keys:
        s3.write(key, b"1")
    relay.requests.clear()
    assert list(s3.delete_many(keys)) == [(key, None) for key in keys]
    assert [request.method for request in relay.requests] == ["POST"]
    assert list(s3.list()) == []


def in_batch(**errors: str) -> Answer:
    """An answer to a batch of `a`, `b` and `c`, with the service's codes for those that failed."""
    results = "".join(
        f"<Error><Key>x/{key}</Key><Code>{errors[key]}</Code></Error>"
        if key in errors
        else f"<Deleted><Key>x/{key}</Key></Deleted>"
        for key in "abc"
    )
    return Answer(200, f"<DeleteResult>{results}</DeleteResult>".encode())


def test_error_of_one_key(relay: Relay, s3: Bucket, refuse: Callable[..., None]) -> None:
    """A key that may not be deleted has its own error, the others none."""
    s3.write("b", b"1")
    relay.add(Rule(method="POST"), in_batch(b="AccessDenied"))
    refuse(403, "AccessDenied", method="DELETE")
    outcomes = list(s3.delete_many("abc"))
    assert [(key, type(error)) for key, error in outcomes] == [
        ("a", type(None)),
        ("b", AccessDeniedError),
        ("c", type(None)),
    ]
    assert "'b'" in str(outcomes[1][1])


@pytest.mark.parametrize("code", ["InternalError", "SlowDown"])
def test_failure_of_one_key_is_tried_again(relay: Relay, s3: Bucket, code: str) -> None:
    """A key that failed for the moment is deleted by a request of its own."""
    s3.write("b", b"1")
    relay.add(Rule(method="POST"), in_batch(b=code))
    assert list(s3.delete_many("abc")) == [("a", None), ("b", None), ("c", None)]
    assert list(s3.list()) == []


def test_missing_key_that_is_an_error(relay: Relay, s3: Bucket) -> None:
    """A server that calls a missing key an error means that nothing was there."""
    relay.add(Rule(method="POST"), in_batch(b="NoSuchKey"))
    assert list(s3.delete_many("abc")) == [("a", None), ("b", None), ("c", None)]


@pytest.mark.parametrize(
    ("status", "code"),
    [(501, "NotImplemented"), (400, "MissingContentMD5"), (405, "MethodNotAllowed")],
)
def test_server_without_batches(
    s3: Bucket, refuse: Callable[..., None], status: int, code: str
) -> None:
    """Where batches are refused, keys are deleted one by one."""
    for key in "abc":
        s3.write(key, b"1")
    refuse(status, code, method="POST")
    assert list(s3.delete_many("abd")) == [("a", None), ("b", None), ("d", None)]
    assert [info.key for info in s3.list()] == ["c"]


@pytest.mark.parametrize(
    "fault", [Answer(503), Reset(), LoseAnswer()], ids=["503", "reset", "lost"]
)
def test_batch_that_fails_is_sent_again(relay: Relay, s3: Bucket, fault: Fault) -> None:
    """A batch that fails once is sent again; what it did already is no error."""
    for key in "abc":
        s3.write(key, b"1")
    relay.add(Rule(method="POST", turns={1}), fault)
    assert list(s3.delete_many("abc")) == [("a", None), ("b", None), ("c", None)]
    assert list(s3.list()) == []


@pytest.mark.parametrize(
    ("fault", "expected"),
    [(Answer(503), ThrottledError), (Answer(403), AccessDeniedError), (Reset(), UnreachableError)],
    ids=["503", "403", "reset"],
)
def test_batch_that_fails_for_good(
    relay: Relay, s3_url: str, fault: Fault, expected: type[StorageError]
) -> None:
    """A batch that is given up is the error of each of its keys, not of the call."""
    relay.add(Rule(), fault)
    outcomes = dict(open_bucket(s3_url, {"max_attempts": 1}).delete_many("abc"))
    assert {key: type(error) for key, error in outcomes.items()} == dict.fromkeys("abc", expected)


def test_sweep(s3: Bucket, s3_endpoint: str, s3_bucket: str) -> None:
    """Uploads that were broken off are given up, those of this place and old enough alone."""
    client = boto3.client("s3", endpoint_url=s3_endpoint, region_name="us-east-1")
    name = f"{s3.location.partition('?')[0].partition(s3_bucket)[2].strip('/')}/big"
    for key in (name, f"other/{name}"):
        client.create_multipart_upload(Bucket=s3_bucket, Key=key)
    # The server says of each that it was begun in 2010.
    assert s3.sweep(datetime(2010, 1, 1, tzinfo=UTC)) == 0
    assert s3.sweep(datetime(2011, 1, 1, tzinfo=UTC)) == 1
    left = client.list_multipart_uploads(Bucket=s3_bucket)["Uploads"]
    assert [upload["Key"] for upload in left] == [f"other/{name}"]
