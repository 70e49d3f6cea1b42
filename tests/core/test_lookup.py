"""Long lists and many lookups: how many pages and questions they take, and what they hold."""

from __future__ import annotations

import hashlib
import threading
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice

import pytest

from devqubit.errors import BlobNotFoundError, ObjectNotFoundError, UnreachableError
from devqubit.plugin import Absent, Blob, BlobInfo, Bucket, Capabilities, Version
from devqubit.storage import ObjectStore

PAGE = 1_000
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def digest_of(number: int) -> str:
    """The digest of an object."""
    return "sha256:" + hashlib.sha256(str(number).encode()).hexdigest()


def key_of(digest: str) -> str:
    """Where an object lies."""
    return f"sha256/{digest[7:9]}/{digest[7:]}"


class PagedBucket(Bucket):
    """Keys without bytes, listed in pages as servers do, with each request counted."""

    def __init__(self, keys: Sequence[str]) -> None:
        self.location = "paged://bucket"
        self.keys = sorted(keys)
        self.pages = self.asked = 0
        self.refused = False
        self._lock = threading.Lock()

    def stat(self, key: str) -> BlobInfo:
        with self._lock:
            self.asked += 1
        at = bisect_left(self.keys, key)
        if self.keys[at : at + 1] != [key]:
            raise BlobNotFoundError(key, self.location)
        return BlobInfo(key, len(key), Version("1"), NOW)

    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[BlobInfo]:
        at = max(bisect_left(self.keys, prefix), bisect_right(self.keys, start_after))
        while True:
            if self.refused:
                raise UnreachableError("no answer")
            with self._lock:
                self.pages += 1
            page = [key for key in self.keys[at : at + PAGE] if key.startswith(prefix)]
            yield from (BlobInfo(key, len(key), Version("1"), NOW) for key in page)
            at += PAGE
            if len(page) < PAGE or not self.keys[at : at + 1]:
                return

    def read(self, key: str, *, start: int = 0, length: int | None = None) -> Blob:
        raise NotImplementedError

    def write(
        self, key: str, data: bytes, *, if_version: Version | Absent | None = None
    ) -> Version:
        raise NotImplementedError

    def delete(self, key: str, *, if_version: Version | None = None) -> bool:
        raise NotImplementedError


def stored(count: int) -> PagedBucket:
    """A bucket with so many objects."""
    return PagedBucket([key_of(digest_of(number)) for number in range(count)])


@pytest.mark.parametrize("count", [0, 1, 999, 1_000, 1_001, 4_000, 20_000])
@pytest.mark.parametrize("digits", ["", "a", "ab"])
def test_list_is_the_list(count: int, digits: str) -> None:
    """However it is listed, it is the same: all, in order, once, in hardly more pages."""
    bucket = stored(count)
    plain = [f"sha256:{key[10:]}" for key in bucket.keys if key[10:].startswith(digits)]
    assert list(ObjectStore(bucket).list_digests(f"sha256:{digits}")) == plain
    assert bucket.pages <= 1 + 1.2 * (len(plain) // PAGE)


def test_list_begins_small() -> None:
    """The first page is asked for alone, and what is listed ahead is bounded."""
    bucket = stored(50_000)
    listed = ObjectStore(bucket).list_digests()
    assert len(list(islice(listed, PAGE))) == PAGE
    assert bucket.pages == 1
    next(listed)
    assert bucket.pages <= 2 + bucket.max_concurrency
    listed.close()  # type: ignore[attr-defined]  # it is a generator


@pytest.mark.parametrize("clump", ["0000", "00ff", "ab12", "ffff"])
def test_list_of_uneven_objects(clump: str) -> None:
    """Objects that no hash gave, all in one place, are listed all the same, not for ever."""
    digits = [f"{clump}{number:04x}".ljust(64, "0") for number in range(3_000)]
    spread = [digest_of(number)[7:] for number in range(1_000)]
    bucket = PagedBucket([f"sha256/{d[:2]}/{d}" for d in {*digits, *spread}])
    found = list(ObjectStore(bucket).list_digests())
    assert found == [f"sha256:{key[10:]}" for key in bucket.keys]
    assert bucket.pages < 300


def test_foreign_files_among_objects() -> None:
    """What is no object, before, between and behind objects, is passed over."""
    own = [key_of(digest_of(number)) for number in range(10_000)]
    foreign = [f"sha256/{place}/x{n}" for place in ("!", "7f", "zz") for n in range(1_500)]
    bucket = PagedBucket([*own, *foreign])
    assert len(list(ObjectStore(bucket).list_digests())) == 10_000
    digests = [digest_of(number) for number in range(0, 10_000, 50)]
    assert set(dict(ObjectStore(bucket).exists_many(digests)).values()) == {True}


def test_list_fails() -> None:
    """A page that cannot be had is an error, after all that came before it."""
    bucket = stored(20_000)
    listed = ObjectStore(bucket).list_digests()
    before = list(islice(listed, PAGE))
    bucket.refused = True
    with pytest.raises(UnreachableError):
        next(listed)
    assert before == [f"sha256:{key[10:]}" for key in bucket.keys[:PAGE]]


@pytest.mark.parametrize("there", [0, 500, 20_000, 100_000])
@pytest.mark.parametrize("wanted", [2, 100, 1_000, 20_000])
def test_requests_of_lookups(there: int, wanted: int) -> None:
    """As many requests as digests, or as pages of the folders concerned, if those are fewer."""
    bucket = stored(there)
    digests = [digest_of(number * 7) for number in range(wanted)]
    found = dict(ObjectStore(bucket).get_sizes(digests))
    assert {d: isinstance(size, int) for d, size in found.items()} == {
        digest_of(number * 7): number * 7 < there for number in range(wanted)
    }
    folders = {digest[7:9] for digest in digests}
    pages = len(folders) * max(1, there // 256 // PAGE)
    assert bucket.pages + bucket.asked <= 1.2 * min(wanted, pages)


def test_lookups_of_a_generator() -> None:
    """Digests that come one by one are looked for ten thousand at a time."""
    bucket = stored(5_000)
    taken = 0

    def digests() -> Iterator[str]:
        nonlocal taken
        for taken in range(1, 25_001):
            yield digest_of(taken)

    found = ObjectStore(bucket).exists_many(digests())
    next(found)
    assert taken == 10_000
    assert sum(there is True for _, there in found) == 4_999 - 1
    assert bucket.pages <= 3 * 7


def test_lookups_fail() -> None:
    """A page that cannot be had is the error of all that it would have answered."""
    bucket = stored(2_000)
    bucket.refused = True
    digests = [digest_of(number) for number in range(500)]
    found = list(ObjectStore(bucket).exists_many(digests))
    assert [(digest, type(error)) for digest, error in found] == [
        (digest, UnreachableError) for digest in digests
    ]


def test_where_ranges_cost_more() -> None:
    """A bucket that lists no ranges is asked for each, and listed in one go."""
    bucket = stored(5_000)
    bucket.capabilities = Capabilities(ranged_listing=False)
    digests = [digest_of(number) for number in (1, 6_000) * 100]
    found = [size for _, size in ObjectStore(bucket).get_sizes(digests)]
    assert [isinstance(size, ObjectNotFoundError) for size in found] == [False, True] * 100
    assert (bucket.pages, bucket.asked) == (0, 200)
    assert len(list(ObjectStore(bucket).list_digests())) == 5_000
    assert bucket.pages == 5
