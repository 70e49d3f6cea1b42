"""Many blobs: lists of them, and calls that take many keys at once."""

from __future__ import annotations

import pytest

from devqubit.errors import BlobNotFoundError, ConflictError
from devqubit.plugin import ABSENT, Blob, Bucket
from devqubit.testing._base import Conformance, require
from devqubit.testing._blobs import ODD_KEYS

__all__ = ["ListingChecks"]


class ListingChecks(Conformance):
    """Order, prefixes, pages, and what was written a moment ago."""

    def test_list_in_order_with_literal_prefix(self, bucket: Bucket) -> None:
        """Keys come in the order of their bytes, and a prefix is no folder."""
        keys = ["a-b", "a/b", "a/c/d", "a0", "ab", "b", "é", "z/z", "\uffee", "\U0001f642"]
        for key in keys:
            bucket.write(key, b"")
        ordered = sorted(keys, key=str.encode)
        for prefix in ["", "a", "a/", "a/c", "a/c/", "b", "c", "a/b/"]:
            listed = [info.key for info in bucket.list(prefix)]
            assert (prefix, listed) == (prefix, [k for k in ordered if k.startswith(prefix)])

    @pytest.mark.parametrize("key", ODD_KEYS)
    def test_odd_prefixes(self, bucket: Bucket, key: str) -> None:
        """A prefix, and a key to start after, mean what they say in any letters."""
        keys = [key, key + "+", key + "~"]
        for name in [*keys, "other"]:
            bucket.write(name, b"")
        assert [info.key for info in bucket.list(key)] == keys
        assert [info.key for info in bucket.list(key, start_after=key)] == keys[1:]

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
        assert [(info.key, info.size) for info in bucket.list()] == [("a", 1), ("b", 2)]
        bucket.write("b", b"333")
        bucket.write("c", b"")
        bucket.delete("a")
        assert [(info.key, info.size) for info in bucket.list()] == [("b", 3), ("c", 0)]

    def test_more_than_a_page(self, bucket: Bucket) -> None:
        """More than 1,000 keys are listed whole, and deleted whole."""
        keys = [f"many/{number:05}" for number in range(1_050)]
        outcomes = list(bucket.write_many((key, b"") for key in keys))
        assert [key for key, version in outcomes if isinstance(version, str)] == keys
        assert [info.key for info in bucket.list("many/")] == keys
        assert [i.key for i in bucket.list("many/", start_after=keys[499])] == keys[500:]
        assert list(bucket.delete_many(keys)) == [(key, None) for key in keys]
        assert list(bucket.list()) == []

    def test_delete_while_listing(self, bucket: Bucket) -> None:
        """What is listed can be deleted while the list goes on, and all of it is listed."""
        keys = [f"a/{number:02}" for number in range(20)]
        for key in keys:
            bucket.write(key, b"")
        deleted = [info.key for info in bucket.list() if bucket.delete(info.key)]
        assert (deleted, list(bucket.list())) == (keys, [])

    def test_many(self, bucket: Bucket) -> None:
        """Bulk calls keep the order and tie each error to its key; what they delete is gone."""
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
        gone = ["a", "missing", "c"]
        assert list(bucket.delete_many(gone)) == [(key, None) for key in gone]
        assert [info.key for info in bucket.list()] == ["b"]

    def test_many_of_none(self, bucket: Bucket) -> None:
        """Bulk calls with no keys do nothing."""
        bucket.write("a", b"")
        calls = (bucket.read_many, bucket.stat_many, bucket.delete_many)
        assert [list(call([])) for call in calls] == [[], [], []]
        assert list(bucket.write_many([])) == []
        assert [info.key for info in bucket.list()] == ["a"]

    def test_write_many_if_absent(self, bucket: Bucket) -> None:
        """Bulk creation refuses what is there, and only that."""
        require(bucket, "conditional_create")
        bucket.write("b", b"old")
        outcomes = dict(bucket.write_many([(key, b"new") for key in "abc"], if_version=ABSENT))
        assert [isinstance(outcomes[key], ConflictError) for key in "abc"] == [False, True, False]
        assert bucket.read("b").data == b"old"
