"""What every bucket must do, one promise a test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from devqubit.plugin import Blob, Bucket, open_bucket
from devqubit.testing._blobs import BlobChecks
from devqubit.testing._failures import FailureChecks
from devqubit.testing._listing import ListingChecks
from devqubit.testing._streams import StreamChecks

__all__ = ["BucketConformance"]


class BucketConformance(BlobChecks, ListingChecks, StreamChecks, FailureChecks):
    """Reading, writing, conditions, ranges, listing, streams, errors and places.

    Beside `url`, a subclass may give the fixture `secrets`: texts such as a key in the URL
    or in the environment, of which the tests then see that they show nowhere.
    """

    @pytest.fixture
    def again(self, bucket: Bucket, url: str) -> Iterator[Bucket]:
        """The same place, opened a second time while the first is open."""
        again = open_bucket(url)
        yield again
        again.close()

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
        bucket.close()
        again = open_bucket(url)
        assert again.read("a/b") == Blob(b"kept", version)
        assert again.location == bucket.location
        again.close()

    def test_seen_by_others_at_once(self, bucket: Bucket, again: Bucket) -> None:
        """What one client writes is what another reads and lists next, whatever it saw before."""
        seen = []
        for data in (b"1", b"22", b"333"):
            version = bucket.write("a", data)
            assert again.read("a") == Blob(data, version)
            seen += [[(info.key, info.size, info.version == version) for info in again.list()]]
        assert seen == [[("a", size, True)] for size in (1, 2, 3)]
        bucket.delete("a")
        assert (list(again.list()), again.delete("a")) == ([], False)
