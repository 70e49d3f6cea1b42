"""S3: a write is done and its acknowledgement lost: sent again, it is not in its own way."""

from __future__ import annotations

import hashlib
import io
import random
from typing import Any

import pytest

from devqubit.errors import BackendError, ConflictError
from devqubit.plugin import ABSENT, Absent, Blob, Bucket, Version, open_bucket
from devqubit.storage import create_registry
from tests.servers.relay import Answer, LoseAnswer, Relay, Reset, Rule, every

MIB = 1024 * 1024


@pytest.fixture
def other(s3_endpoint: str, s3_bucket: str) -> Bucket:
    """The same place for somebody else, past the relay."""
    return open_bucket(f"s3://{s3_bucket}/x?endpoint_url={s3_endpoint}&region=us-east-1")


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("before", [None, b"old"], ids=["new", "replaced"])
def test_write(relay: Relay, s3: Bucket, other: Bucket, before: bytes | None, times: int) -> None:
    """An unconditional write is there once, with the version that it returns."""
    if before is not None:
        other.write("k", before)
    relay.add(Rule(method="PUT", turns=range(1, times + 1)), LoseAnswer())
    version = s3.write("k", b"new")
    assert other.read("k") == Blob(b"new", version)
    assert [info.key for info in other.list()] == ["k"]


@pytest.mark.parametrize("times", [1, 2])
def test_create(relay: Relay, s3: Bucket, other: Bucket, times: int) -> None:
    """A creation is no conflict with itself."""
    relay.add(Rule(method="PUT", turns=range(1, times + 1)), LoseAnswer())
    version = s3.write("k", b"mine", if_version=ABSENT)
    assert other.read("k") == Blob(b"mine", version)
    assert [info.key for info in other.list()] == ["k"]


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("data", [b"new", b"old"], ids=["other bytes", "the same bytes"])
def test_replace(relay: Relay, s3: Bucket, other: Bucket, data: bytes, times: int) -> None:
    """A replacement is no conflict with itself, also by the same bytes."""
    old = other.write("k", b"old")
    relay.add(Rule(method="PUT", turns=range(1, times + 1)), LoseAnswer())
    version = s3.write("k", data, if_version=old)
    assert other.read("k") == Blob(data, version)
    assert [info.key for info in other.list()] == ["k"]


@pytest.mark.parametrize("conditional", [True, False])
def test_delete(relay: Relay, s3: Bucket, other: Bucket, conditional: bool) -> None:
    """A deletion says that something was there, although it is gone when asked again."""
    version = other.write("k", b"1")
    relay.add(Rule(method="DELETE", turns={1}), LoseAnswer())
    assert s3.delete("k", if_version=version if conditional else None)
    assert list(other.list()) == []


def test_state_that_is_lost_too(relay: Relay, s3: Bucket, other: Bucket) -> None:
    """The question whose write it was may fail as well."""
    relay.add(Rule(method="PUT", turns={1}), LoseAnswer())
    relay.add(Rule(method="HEAD", turns={1}), Reset())
    version = s3.write("k", b"mine", if_version=ABSENT)
    assert other.read("k") == Blob(b"mine", version)


@pytest.mark.parametrize("create", [True, False])
def test_somebody_else_is_a_conflict(relay: Relay, s3: Bucket, other: Bucket, create: bool) -> None:
    """A request that never arrived, and finds another's work when sent again, is refused."""
    stale = other.write("k", b"stale")
    theirs = other.write("k", b"theirs")
    relay.add(Rule(method="PUT", turns={1}), Reset())
    expected: Version | Absent = ABSENT if create else stale
    with pytest.raises(ConflictError) as caught:
        s3.write("k", b"mine", if_version=expected)
    assert (caught.value.expected, caught.value.actual) == (expected, theirs)
    assert other.read("k") == Blob(b"theirs", theirs)


def test_somebody_else_with_the_same_bytes(relay: Relay, s3: Bucket, other: Bucket) -> None:
    """Another's blob of the very same bytes is another's: who created it is not guessed."""
    other.write("k", b"same", if_version=ABSENT)
    relay.add(Rule(method="PUT", turns={1}), Reset())
    with pytest.raises(ConflictError):
        s3.write("k", b"same", if_version=ABSENT)


def test_conditional_delete_of_another_version(relay: Relay, s3: Bucket, other: Bucket) -> None:
    """A deletion that never arrived does not delete what somebody wrote meanwhile."""
    version = other.write("k", b"mine")

    def meanwhile(_: Any) -> bool:
        other.write("k", b"theirs")
        return True

    relay.add(Rule(method="DELETE", where=meanwhile, turns={1}), Reset())
    with pytest.raises(ConflictError):
        s3.delete("k", if_version=version)
    assert other.read("k").data == b"theirs"


def test_create_that_was_taken_away(relay: Relay, s3: Bucket, other: Bucket) -> None:
    """What was created, deleted by somebody, and then sent again, is created again."""

    def meanwhile(_: Any) -> bool:
        other.delete("k")
        return False

    relay.add(Rule(method="PUT", turns={1}), LoseAnswer())
    relay.add(Rule(method="PUT", where=meanwhile), Reset())
    version = s3.write("k", b"mine", if_version=ABSENT)
    assert other.read("k") == Blob(b"mine", version)


def test_counting_loses_nothing(relay: Relay, s3_url: str) -> None:
    """Updates of a record add up although every second acknowledgement is lost."""
    with create_registry(s3_url) as registry:
        registry.save({"run_id": "r", "n": 0})
        relay.add(Rule(method="PUT", turns=every(2)), LoseAnswer())
        for _ in range(6):
            registry.update("r", lambda record: {**record, "n": record["n"] + 1})
        assert registry.load("r").record["n"] == 6


@pytest.mark.parametrize("forgotten", [True, False])
def test_large_upload(relay: Relay, s3: Bucket, other: Bucket, forgotten: bool) -> None:
    """An upload whose end is not acknowledged is done, also if the server forgot it by then."""
    data = random.Random(1).randbytes(9 * MIB)
    relay.add(Rule(method="POST", target="uploadId", turns={1}), LoseAnswer())
    if forgotten:  # as AWS does after a while, and other servers at once
        body = b"<Error><Code>NoSuchUpload</Code><Message>No.</Message></Error>"
        relay.add(Rule(method="POST", target="uploadId"), Answer(404, body))
    version = s3.upload("k", io.BytesIO(data), len(data))
    blob = other.read("k")
    assert blob.version == version
    assert hashlib.sha256(blob.data).digest() == hashlib.sha256(data).digest()


def test_large_upload_that_was_given_up_by_others(s3: Bucket, other: Bucket, refuse: Any) -> None:
    """An upload that is gone, and that did not write what is there, failed."""
    other.write("k", b"theirs")
    refuse(404, "NoSuchUpload", method="POST", target="uploadId")
    with pytest.raises(BackendError, match="NoSuchUpload"):
        s3.upload("k", io.BytesIO(bytes(9 * MIB)), 9 * MIB)
    assert other.read("k").data == b"theirs"
