"""Which objects there are, in as few requests as it takes: by asking, or by listing.

Digests are spread at random, so one page of a list tells how dense all objects lie.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, NamedTuple

from devqubit.errors import AccessDeniedError, ObjectNotFoundError, StorageError
from devqubit.storage._bucket import BlobInfo, Bucket
from devqubit.storage._digest import ALGORITHM, digest_of_key, object_key, object_prefix
from devqubit.storage._pool import Ahead, each
from devqubit.storage._ranges import Range, list_ranges

__all__ = ["find_sizes", "list_objects"]

_ALL: Final = object_prefix(None)
# What a request lists, at least: S3 and Cloud Storage give so many keys, Azure more.
_PAGE: Final = 1_000
# A range that is to be one page is made a little shorter: 1,000 keys tell to 3 % how dense
# they lie, and of keys at random any 1,000 vary by as much.
_FILLED: Final = 900
# With fewer pages to come, what one waits for is over when the threads have begun.
_FEW_PAGES: Final = 4
# So many digits of a digest, as a number, say where it lies.
_DIGITS: Final = 16
_END: Final = 16**_DIGITS

Sizes = dict[str, int | StorageError]


class _Density:
    """How dense objects lie, from all that was listed so far."""

    def __init__(self) -> None:
        self._keys = 0
        self._space = 0

    def add(self, keys: int, space: int) -> None:
        self._keys += keys
        self._space += space

    @property
    def page(self) -> int:
        """The space of a page, a little less; 0 if nothing is known."""
        return self._space * _FILLED // max(1, self._keys)


def list_objects(bucket: Bucket, prefix: str) -> Iterator[BlobInfo]:
    """All blobs whose keys start with a prefix of objects' keys, in order, lazily.

    The first page tells how many there are. Where that is worth it, the others are listed
    `max_concurrency` at a time, and no more of them are held.
    """
    blobs = bucket.list(prefix)
    if not bucket.capabilities.ranged_listing:
        yield from blobs
        return
    listed, last = 0, ""
    for info in islice(blobs, _PAGE):
        listed, last = listed + 1, info.key
        yield info
    begin, end = _space(prefix)
    density, at = _Density(), begin
    if digest_of_key(last) is not None:
        at = _position(last)
        density.add(listed, at - begin)
    if listed < _PAGE or density.page == 0 or (end - at) // density.page < _FEW_PAGES:
        yield from blobs
        return
    ranges = _ranges(last, at, end, density)
    for (start, stop), found in list_ranges(bucket, prefix, ranges, width=bucket.max_concurrency):
        density.add(len(found), (end if stop is None else _position(stop)) - _position(start))
        yield from found


def find_sizes(
    bucket: Bucket,
    digests: Iterable[str],
    ask: Callable[[str], int],
    *,
    width: int,
    window: int,
) -> Iterator[tuple[str, int | StorageError]]:
    """The sizes of objects, in order, each or the error that it is not there.

    Of objects that lie far apart, each is asked for; of those that lie closer than the keys
    of a page, pages are listed. Each request answers one digest at least, and each page as
    many as there are in its reach, so there are about as many requests as digests, or as
    pages with one of them, whichever is less.

    Args:
        bucket: Where the objects are.
        digests: What to look for, canonical. They are taken `window` at a time.
        ask: Gives the size of one, or raises that it is not there.
        width: How many requests may be in flight.
        window: How many digests are looked for together, and held. The more, the more of
            them does a page have.
    """
    if not bucket.capabilities.ranged_listing:
        yield from each(digests, ask, width=width)
        return
    density = _Density()
    todo = Ahead(digests)
    while wanted := list(islice(todo, window)):
        ordered = sorted(set(wanted))
        if density.page == 0 and _scattered(ordered):
            yield from each(wanted, ask, width=width)
        else:
            found = _find(bucket, ordered, ask, width, density)
            yield from ((digest, found[digest]) for digest in wanted)
    todo.check()


def _ranges(start: str, at: int, end: int, density: _Density) -> Iterator[Range]:
    """Ranges of about a page, as long as is known when each is needed."""
    while (at := at + max(1, density.page)) < end:
        digits = _digits(at)
        stop = f"{_ALL}{digits[:2]}/{digits}"
        yield start, stop
        start = stop
    yield start, None


def _scattered(ordered: Sequence[str]) -> bool:
    """Whether asking for each is hardly more than a page for each of the 256 folders concerned.

    Then it is not worth a page that only tells how dense objects lie.
    """
    folders = {digest[: len(ALGORITHM) + 2] for digest in ordered}
    return 5 * len(ordered) <= 6 * len(folders)


def _find(
    bucket: Bucket,
    ordered: Sequence[str],
    ask: Callable[[str], int],
    width: int,
    density: _Density,
) -> Sizes:
    found: Sizes = {}
    if density.page == 0:
        try:
            first = _page(bucket, ordered)
        except AccessDeniedError:  # who may read objects may not always list them
            return dict(each(ordered, ask, width=width))
        except StorageError as exc:
            return dict.fromkeys(ordered, exc)
        density.add(first.keys, first.space)
        found.update(first.sizes)
        ordered = ordered[len(found) :]

    def look(group: Sequence[str]) -> _Found:
        return _look(bucket, group, ask)

    for group, outcome in each(_groups(ordered, density), look, width=width):
        if isinstance(outcome, StorageError):
            found.update(dict.fromkeys(group, outcome))
        else:
            found.update(outcome.sizes)
            density.add(outcome.keys, outcome.space)
    return found


def _groups(ordered: Sequence[str], density: _Density) -> Iterator[Sequence[str]]:
    """Digests that lie within a page, as far as is known when each group is needed."""
    at = 0
    while at < len(ordered):
        beyond = ALGORITHM + _digits(_position(ordered[at]) + density.page)
        stop = bisect_left(ordered, beyond, at + 1)
        yield ordered[at:stop]
        at = stop


class _Found(NamedTuple):
    """Sizes, and how many keys lie in the space that was listed for them."""

    sizes: Sizes
    keys: int = 0
    space: int = 0


def _look(bucket: Bucket, group: Sequence[str], ask: Callable[[str], int]) -> _Found:
    sizes: Sizes = {}
    keys = space = 0
    while len(group) > 1:
        page = _page(bucket, group)
        sizes.update(page.sizes)
        keys, space = keys + page.keys, space + page.space
        group = group[len(page.sizes) :]
    sizes.update(each(group, ask, width=1))
    return _Found(sizes, keys, space)


def _page(bucket: Bucket, wanted: Sequence[str]) -> _Found:
    """Lists a page from the first digest on, which answers all digests up to its end."""
    listed: dict[str, int] = {}
    reached = wanted[0]
    before = object_key(reached)[:-1]  # a list begins behind a key
    for info in bucket.list(_ALL, start_after=before):
        digest = digest_of_key(info.key)
        if digest is not None:
            listed[digest] = info.size
            reached = digest
            if len(listed) >= _PAGE or reached >= wanted[-1]:
                stop, end = bisect_right(wanted, reached), _position(reached)
                break
    else:
        stop, end = len(wanted), _END
    sizes: Sizes = {
        digest: listed[digest] if digest in listed else ObjectNotFoundError(digest)
        for digest in wanted[:stop]
    }
    return _Found(sizes, len(listed), end - _position(wanted[0]))


def _space(prefix: str) -> tuple[int, int]:
    """Where the objects of a prefix of keys lie."""
    digits = prefix.rpartition("/")[2]
    begin = _position(prefix)
    return begin, begin + 16 ** max(0, _DIGITS - len(digits))


def _position(name: str) -> int:
    """Where a digest lies, or a key, or a prefix of either, of 0 to 16**16."""
    digits = name[name.rfind(":") + 1 :].rpartition("/")[2]
    return int(digits[:_DIGITS].ljust(_DIGITS, "0"), 16)


def _digits(position: int) -> str:
    return f"{min(position, _END - 1):0{_DIGITS}x}"
