"""A long list of a bucket, several ranges of it at the same time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from devqubit.errors import StorageError
from devqubit.storage._bucket import BlobInfo, Bucket
from devqubit.storage._pool import each

__all__ = ["Range", "list_ranges"]

Range = tuple[str, str | None]
"""The key behind which a range begins, and the last key that it may have; None for all."""


def list_ranges(
    bucket: Bucket, prefix: str, ranges: Iterable[Range], *, width: int
) -> Iterator[tuple[Range, list[BlobInfo]]]:
    """Lists ranges of keys at the same time, and yields them in order.

    Args:
        bucket: One that says by `ranged_listing` that this costs no more.
        prefix: Of all the keys.
        ranges: One behind the other; they are taken as they are needed.
        width: How many are listed at a time. As many are held.

    Yields:
        Each range, with the blobs in it.

    Raises:
        StorageError: One cannot be listed; those before it were yielded.
    """

    def listed(bounds: Range) -> list[BlobInfo]:
        start, end = bounds
        found = []
        for info in bucket.list(prefix, start_after=start):
            if end is not None and info.key > end:
                break
            found.append(info)
        return found

    for bounds, outcome in each(ranges, listed, width=width, held=width + 1):
        if isinstance(outcome, StorageError):
            raise outcome
        yield bounds, outcome
