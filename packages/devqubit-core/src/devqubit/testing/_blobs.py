"""Blobs one by one: bytes, keys, ranges and conditions."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from devqubit.errors import BlobNotFoundError, ConflictError, UnsupportedError
from devqubit.plugin import ABSENT, Blob, Bucket, Version
from devqubit.testing._base import Conformance, gist, require

__all__ = ["CONDITIONAL", "MIB", "ODD_KEYS", "BlobChecks"]

MIB = 1024 * 1024

ODD_KEYS = [
    "a space/b c",
    "percent%20and%25",
    "plus+plus",
    "hash#question?",
    "nfc-\u00e9",
    "nfd-e\u0301",
    "emoji-\U0001f642/\U0001f4a0",
    "dots../..a/...",
    "quotes'\"<>&;=,:@!$*()[]{}|^`~",
    "-dash",
    "/".join(["long" * 25] * 9)[:900],
]

CONDITIONAL: dict[str, Callable[[Bucket, Version], object]] = {
    "conditional_create": lambda bucket, _: bucket.write("b", b"2", if_version=ABSENT),
    "conditional_replace": lambda bucket, version: bucket.write("a", b"2", if_version=version),
    "conditional_delete": lambda bucket, version: bucket.delete("a", if_version=version),
}
"""For each capability the call that needs it, on a blob `a` of a version, and none at `b`."""


class BlobChecks(Conformance):
    """Reading, writing and deleting, with and without conditions."""

    @pytest.mark.parametrize(
        "data", [b"", b"x", bytes(range(256)), b"\r\n\0" * MIB], ids=["empty", "one", "all", "3MiB"]
    )
    def test_reads_what_was_written(self, bucket: Bucket, data: bytes) -> None:
        """Any bytes come back as they were written, with the version that write gave."""
        version = bucket.write("a/b", data)
        blob = bucket.read("a/b")
        assert (gist(blob.data), blob.version) == (gist(data), version)

    def test_write_replaces(self, bucket: Bucket) -> None:
        """A second write replaces the first, also with fewer bytes."""
        first = bucket.write("a", b"long enough")
        second = bucket.write("a", b"short")
        assert (bucket.read("a"), first != second) == (Blob(b"short", second), True)

    @pytest.mark.parametrize("key", ODD_KEYS)
    def test_odd_keys(self, bucket: Bucket, key: str) -> None:
        """Every key that is allowed is kept as it is: read, listed, deleted."""
        version = bucket.write(key, key.encode())
        assert bucket.read(key).data == key.encode()
        assert [(i.key, i.version) for i in bucket.list()] == [(key, version)]
        assert bucket.delete(key)
        assert list(bucket.list()) == []

    @pytest.mark.parametrize(
        "keys",
        [("e\u0301", "\u00e9"), ("A", "a"), ("a b", "a+b", "a%20b", "a%2Bb", "a%2520b")],
        ids=["unicode", "case", "escapes"],
    )
    def test_keys_do_not_meet(self, bucket: Bucket, keys: tuple[str, ...]) -> None:
        """Keys that differ in Unicode form, case or escapes alone are different blobs."""
        for key in keys:
            bucket.write(key, key.encode())
        assert [bucket.read(key).data for key in keys] == [key.encode() for key in keys]

    @pytest.mark.parametrize("call", ["read", "stat"])
    def test_missing_key(self, bucket: Bucket, call: str) -> None:
        """What is not there is BlobNotFoundError, with the key."""
        with pytest.raises(BlobNotFoundError) as caught:
            getattr(bucket, call)("not/there")
        assert caught.value.key == "not/there"

    @pytest.mark.parametrize(
        ("start", "length", "expected"),
        [
            (0, 4, b"0123"),
            (3, 4, b"3456"),
            (3, None, b"3456789"),
            (8, 100, b"89"),
            (10, None, b""),
            (10, 5, b""),
            (1000, 5, b""),
            (4, 0, b""),
        ],
    )
    def test_ranges(self, bucket: Bucket, start: int, length: int | None, expected: bytes) -> None:
        """A range gives its bytes; what lies behind the end is empty, not an error."""
        version = bucket.write("digits", b"0123456789")
        assert bucket.read("digits", start=start, length=length) == Blob(expected, version)

    def test_range_of_an_empty_blob(self, bucket: Bucket) -> None:
        """Any range of an empty blob is empty."""
        version = bucket.write("empty", b"")
        assert bucket.read("empty", start=0, length=10) == Blob(b"", version)

    def test_range_of_a_missing_blob(self, bucket: Bucket) -> None:
        """A range of what is not there is BlobNotFoundError, not empty."""
        with pytest.raises(BlobNotFoundError):
            bucket.read("nothing", start=5, length=0)

    def test_stat(self, bucket: Bucket) -> None:
        """Size, version and a time near now, without the body."""
        version = bucket.write("a", b"four")
        info = bucket.stat("a")
        assert (info.key, info.size, info.version) == ("a", 4, version)
        assert abs(info.modified - datetime.now(UTC)) < timedelta(minutes=5)

    def test_delete(self, bucket: Bucket) -> None:
        """Deleting says whether something was there, and then nothing is."""
        bucket.write("a", b"1")
        assert (bucket.delete("a"), bucket.delete("a")) == (True, False)
        with pytest.raises(BlobNotFoundError):
            bucket.read("a")

    def test_create_only_if_absent(self, bucket: Bucket) -> None:
        """ABSENT writes where nothing is, and refuses, changing nothing, where something is."""
        require(bucket, "conditional_create")
        version = bucket.write("a", b"first", if_version=ABSENT)
        with pytest.raises(ConflictError):
            bucket.write("a", b"second", if_version=ABSENT)
        assert bucket.read("a") == Blob(b"first", version)

    def test_create_again_after_delete(self, bucket: Bucket) -> None:
        """What was deleted is absent."""
        require(bucket, "conditional_create")
        bucket.write("a", b"first", if_version=ABSENT)
        bucket.delete("a")
        version = bucket.write("a", b"second", if_version=ABSENT)
        assert bucket.read("a") == Blob(b"second", version)

    def test_replace_only_a_version(self, bucket: Bucket) -> None:
        """A version writes once: then it is stale, and a stale one changes nothing."""
        require(bucket, "conditional_replace")
        first = bucket.write("a", b"1")
        second = bucket.write("a", b"2", if_version=first)
        with pytest.raises(ConflictError) as caught:
            bucket.write("a", b"3", if_version=first)
        assert (caught.value.expected, caught.value.actual) == (first, second)
        assert bucket.read("a") == Blob(b"2", second)

    def test_replace_with_a_listed_version(self, bucket: Bucket) -> None:
        """The versions of list, stat, read and write are the same tokens."""
        require(bucket, "conditional_replace")
        written = bucket.write("a", b"1")
        (listed,) = bucket.list()
        assert {written, listed.version, bucket.stat("a").version, bucket.read("a").version} == {
            written
        }
        bucket.write("a", b"2", if_version=listed.version)

    def test_replace_what_is_gone(self, bucket: Bucket) -> None:
        """A version of what was deleted is a conflict, and nothing is written."""
        require(bucket, "conditional_replace")
        version = bucket.write("a", b"1")
        bucket.delete("a")
        with pytest.raises(ConflictError) as caught:
            bucket.write("a", b"2", if_version=version)
        assert (caught.value.actual, list(bucket.list())) == (ABSENT, [])

    def test_replace_with_a_foreign_version(self, bucket: Bucket) -> None:
        """A version of another blob, or made up, is a conflict."""
        require(bucket, "conditional_replace")
        bucket.write("a", b"1")
        other = bucket.write("b", b"22")
        with pytest.raises(ConflictError):
            bucket.write("a", b"3", if_version=other)

    def test_delete_only_a_version(self, bucket: Bucket) -> None:
        """A stale version deletes nothing, the right one does."""
        require(bucket, "conditional_delete")
        stale = bucket.write("a", b"1")
        version = bucket.write("a", b"22")
        with pytest.raises(ConflictError):
            bucket.delete("a", if_version=stale)
        assert bucket.read("a").data == b"22"
        assert bucket.delete("a", if_version=version)
        assert not bucket.delete("a", if_version=version)

    def test_refuses_what_it_cannot(self, bucket: Bucket) -> None:
        """A condition that the bucket declares not to honour is refused, never passed over."""
        lacking = [name for name in CONDITIONAL if not getattr(bucket.capabilities, name)]
        if not lacking:
            pytest.skip(f"{bucket!r} declares {', '.join(CONDITIONAL)}")
        version = bucket.write("a", b"1")
        for capability in lacking:
            with pytest.raises(UnsupportedError):
                CONDITIONAL[capability](bucket, version)
        assert [(info.key, info.version) for info in bucket.list()] == [("a", version)]

    def test_written_again(self, bucket: Bucket) -> None:
        """The same bytes, written again, are as young as the last write: clean-ups rest on it."""
        bucket.write("a", b"same")
        before = bucket.stat("a").modified
        time.sleep(1.1)  # some storages have times of whole seconds
        bucket.write("a", b"same")
        (listed,) = bucket.list("a")
        assert (bucket.stat("a").modified > before, listed.modified > before) == (True, True)

    def test_versions_of_equal_sizes(self, bucket: Bucket) -> None:
        """A version is text, not empty, and never that of other bytes of one size."""
        versions = [bucket.write("a", bytes([n])) for n in range(20)]
        assert all(isinstance(version, str) and version for version in versions)
        assert len(set(versions)) == 20
        assert bucket.stat("a").version == Version(versions[-1])
