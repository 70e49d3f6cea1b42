"""What backends of services have in common: ranges past the end, and deletion in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice

from devqubit.errors import BackendError, StorageError
from devqubit.storage._bucket import Blob, Bucket
from devqubit.storage._pool import each

__all__ = ["RangeError", "delete_batches", "read_range"]


class RangeError(BackendError):
    """A range begins at or past the end of a blob, for which services have a status: 416."""


def read_range(
    bucket: Bucket, key: str, start: int, length: int | None, fetch: Callable[[], Blob]
) -> Blob:
    """Reads as `Bucket.read` promises, where the service refuses ranges that are empty.

    Args:
        bucket: The bucket whose `read` this is.
        key: The blob.
        start: As `read` was given it.
        length: As `read` was given it.
        fetch: Asks for the range, which has at least one byte, and raises `RangeError` if the
            service says that it has not.
    """
    if length == 0:
        return Blob(b"", bucket.stat(key).version)
    try:
        return fetch()
    except RangeError:
        there = bucket.stat(key)
        if there.size > start:  # it was replaced by a longer one meanwhile
            return bucket.read(key, start=start, length=length)
        return Blob(b"", there.version)


def delete_batches(
    keys: Iterable[str],
    delete: Callable[[tuple[str, ...]], Mapping[str, StorageError | None]],
    *,
    size: int,
    width: int,
) -> Iterator[tuple[str, StorageError | None]]:
    """Deletes as `Bucket.delete_many` promises, by a request for many keys.

    Args:
        keys: The blobs.
        delete: Deletes a batch; gives the errors of those keys that have one.
        size: How many keys a batch has at most.
        width: How many batches may be in flight.
    """
    todo = iter(keys)
    batches = iter(lambda: tuple(islice(todo, size)), ())
    for batch, failed in each(batches, delete, width=width):
        for key in batch:
            yield key, failed if isinstance(failed, StorageError) else failed.get(key)
