"""What every bucket must do, one promise a test."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import pytest

from devqubit.errors import BlobNotFoundError, ConflictError
from devqubit.plugin import ABSENT, Blob, Bucket, Version
from devqubit.storage._open import open_bucket
from devqubit.testing._base import Conformance, require

__all__ = ["BucketConformance"]

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


class BucketConformance(Conformance):
    """Reading, writing, conditions, ranges and listing."""

    @pytest.mark.parametrize(
        "data", [b"", b"x", bytes(range(256)), b"\r\n\0" * MIB], ids=["empty", "one", "all", "3MiB"]
    )
    def test_reads_what_was_written(self, bucket: Bucket, data: bytes) -> None:
        """Any bytes come back as they were written, with the version that write gave."""
        version = bucket.write("a/b", data)
        assert bucket.read("a/b") == Blob(data, version)

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

    def test_forms_of_one_letter_are_two_keys(self, bucket: Bucket) -> None:
        """Keys that differ in their Unicode form or case do not meet."""
        keys = ["e\u0301", "\u00e9", "A", "a"]
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

    def test_list_in_order_with_literal_prefix(self, bucket: Bucket) -> None:
        """Keys come in the order of their bytes, and a prefix is no folder."""
        keys = ["a-b", "a/b", "a/c/d", "a0", "ab", "b", "é", "z/z", "\U0001f642"]
        for key in keys:
            bucket.write(key, b"")
        ordered = sorted(keys, key=str.encode)
        for prefix in ["", "a", "a/", "a/c", "a/c/", "b", "c", "a/b/"]:
            listed = [info.key for info in bucket.list(prefix)]
            assert (prefix, listed) == (prefix, [k for k in ordered if k.startswith(prefix)])

    def test_list_start_after(self, bucket: Bucket) -> None:
        """`start_after` leaves out that key and all before it, whether it is there or not."""
        keys = ["a-b", "a/b", "a/c", "a0", "b/a"]
        for key in keys:
            bucket.write(key, b"")
        for after in ["", "a", "a-", "a/", "a/b", "a/b0", "a/c", "b", "b/a", "zz"]:
            listed = [info.key for info in bucket.list(start_after=after)]
            assert (after, listed) == (after, [k for k in keys if k > after])
        assert [i.key for i in bucket.list("a/", start_after="a/b")] == ["a/c"]

    def test_list_sizes(self, bucket: Bucket) -> None:
        """Listing tells sizes, and what was replaced and deleted a moment ago."""
        bucket.write("a", b"1")
        bucket.write("b", b"22")
        bucket.write("b", b"333")
        bucket.write("c", b"")
        bucket.delete("c")
        assert [(info.key, info.size) for info in bucket.list()] == [("a", 1), ("b", 3)]

    def test_more_than_a_page(self, bucket: Bucket) -> None:
        """More than 1,000 keys are listed whole, and deleted whole."""
        keys = [f"many/{number:05}" for number in range(1_050)]
        outcomes = list(bucket.write_many((key, b"") for key in keys))
        assert [key for key, version in outcomes if isinstance(version, str)] == keys
        assert [info.key for info in bucket.list("many/")] == keys
        assert [i.key for i in bucket.list("many/", start_after=keys[499])] == keys[500:]
        assert list(bucket.delete_many(keys)) == [(key, None) for key in keys]
        assert list(bucket.list()) == []

    def test_many(self, bucket: Bucket) -> None:
        """Bulk reads keep the order and tie each error to its key."""
        for key in "abc":
            bucket.write(key, key.encode())
        keys = ["c", "missing", "a", "b"]
        read = dict(bucket.read_many(keys))
        stats = dict(bucket.stat_many(keys))
        assert list(read) == list(stats) == keys
        assert isinstance(read["missing"], BlobNotFoundError)
        assert isinstance(stats["missing"], BlobNotFoundError)
        blobs = [blob.data for blob in read.values() if isinstance(blob, Blob)]
        assert blobs == [b"c", b"a", b"b"]
        assert list(bucket.delete_many(["a", "missing"])) == [("a", None), ("missing", None)]

    def test_write_many_if_absent(self, bucket: Bucket) -> None:
        """Bulk creation refuses what is there, and only that."""
        require(bucket, "conditional_create")
        bucket.write("b", b"old")
        outcomes = dict(bucket.write_many([(key, b"new") for key in "abc"], if_version=ABSENT))
        assert [isinstance(outcomes[key], ConflictError) for key in "abc"] == [False, True, False]
        assert bucket.read("b").data == b"old"

    @pytest.mark.parametrize("size", [0, 10, 20 * MIB + 7])
    def test_upload_and_download(self, bucket: Bucket, size: int) -> None:
        """A file goes in and comes out whole, and its version is the blob's."""
        data = bytes(range(256)) * (size // 256 + 1)
        version = bucket.upload("file", io.BytesIO(data), size)
        target = io.BytesIO()
        assert bucket.download("file", target) == version == bucket.stat("file").version
        assert target.getvalue() == data[:size]

    def test_upload_of_a_short_file(self, bucket: Bucket) -> None:
        """A file that ends early is refused, and nothing is seen of it."""
        from devqubit.errors import StorageError

        for size in (10, 20 * MIB):
            with pytest.raises(StorageError):
                bucket.upload("short", io.BytesIO(b"x" * (size - 1)), size)
        assert list(bucket.list()) == []

    def test_download_of_nothing(self, bucket: Bucket) -> None:
        """What is not there cannot be downloaded."""
        with pytest.raises(BlobNotFoundError):
            bucket.download("nothing", io.BytesIO())

    def test_prefixes_are_isolated(self, bucket: Bucket, url: str) -> None:
        """A place under `…/x` sees nothing of `…/xy`, and the other way round."""
        base, question, query = url.partition("?")
        other = open_bucket(f"{base}y{question}{query}")
        bucket.write("k", b"here")
        other.write("k", b"there")
        assert [bucket.read("k").data, other.read("k").data] == [b"here", b"there"]
        assert [[i.key for i in place.list()] for place in (bucket, other)] == [["k"], ["k"]]
        other.close()

    def test_reopened(self, bucket: Bucket, url: str) -> None:
        """Opened again, the place holds what was written, with the same versions."""
        version = bucket.write("a/b", b"kept")
        again = open_bucket(url)
        assert again.read("a/b") == Blob(b"kept", version)
        assert again.location == bucket.location
        again.close()

    def test_versions_of_equal_bytes(self, bucket: Bucket) -> None:
        """A version is text, not empty, and never that of other bytes."""
        versions = [bucket.write("a", bytes([n])) for n in range(20)]
        assert all(isinstance(version, str) and version for version in versions)
        assert len(set(versions)) == 20
        assert bucket.stat("a").version == Version(versions[-1])
