"""Many objects with one call: on threads of this process, or on anybody's executor."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sized
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast

from devqubit.errors import InvalidArgumentError, ObjectNotFoundError, StorageError
from devqubit.storage._bucket import Bucket
from devqubit.storage._digest import object_key
from devqubit.storage._lookup import find_sizes
from devqubit.storage._pool import Ahead, each, in_order

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from devqubit.storage._many import ManyObjects
    from devqubit.storage._objects import ObjectStore
    from devqubit.storage._transfer import Progress

__all__ = ["DELETE", "EXISTS", "GET", "PUT", "SIZES", "Item", "Work", "bulk", "raise_at_the_end"]

T = TypeVar("T")
R = TypeVar("R")
Item = bytes | bytearray | memoryview | os.PathLike[str]

# What one task of an executor has. Digests are small, and the more are looked for together,
# the fewer requests it takes; of objects, there are as many as are in flight in the task.
_DIGESTS: Final = 10_000
_OBJECT_BYTES: Final = 8 * 1024 * 1024
# How many tasks an executor has at a time: those of objects, and those of digests.
_OBJECT_TASKS: Final = 32
_DIGEST_TASKS: Final = 8
# Digests that are in a list already are looked for together, up to so many.
_LISTED: Final = 100_000
# What backends delete with one request, or with few.
_DELETED: Final = 1_000
_DELETIONS: Final = 4
# How many failures are kept to be named at the end.
_NAMED: Final = 100


@dataclass(frozen=True, slots=True)
class Work(Generic[T, R]):
    """What is done with many items; its functions are of a module's top level.

    Attributes:
        check: Raises if an item cannot be meant.
        do: Does it with items that were checked, so many requests at a time, and yields an
            outcome for each in order. How many items there are is given if it is known.
        batch: How many items one task of an executor has; None for as many as it has in
            flight.
    """

    check: Callable[[T], T]
    do: Callable[[ObjectStore, Iterable[T], int, int | None], Iterator[R]]
    batch: int | None = None


def bulk(
    work: Work[T, R],
    owner: ManyObjects,
    items: Iterable[T],
    max_concurrency: int | None,
    executor: Executor | None,
    progress: Progress | None,
) -> Iterator[R]:
    """Does something with many items; `ObjectStore.get_many` says what the arguments mean.

    Raises:
        InvalidArgumentError: `max_concurrency` is no number of requests.
    """
    store = cast("ObjectStore", owner)
    width = store._bucket.max_concurrency if max_concurrency is None else max_concurrency
    if isinstance(width, bool) or not isinstance(width, int) or width < 1:
        raise InvalidArgumentError(f"'max_concurrency' must be a number from 1, not {width!r}")
    total = len(items) if isinstance(items, Sized) else None
    checked = map(work.check, items)
    if executor is None:
        outcomes = work.do(store, checked, width, total)
    else:
        outcomes = _on(executor, work, store, checked, width)
    return outcomes if progress is None else _told(outcomes, progress, total)


def raise_at_the_end(outcomes: Iterator[R]) -> Iterator[R]:
    """Passes outcomes on, and raises after the last one if there were errors among them."""
    count, failed, errors = 0, 0, list[tuple[int, Exception]]()
    for number, outcome in enumerate(outcomes):
        count = number + 1
        if isinstance(outcome, Exception):
            failed += 1
            if failed <= _NAMED:
                errors.append((number, outcome))
        yield outcome
    if errors:
        numbers = ", ".join(str(number) for number, _ in errors)
        more = f" and {failed - _NAMED} more" if failed > _NAMED else ""
        raise ExceptionGroup(
            f"{failed} of {count} items were not stored (counted from 0: {numbers}{more})",
            [error for _, error in errors],
        )


def _told(outcomes: Iterator[R], progress: Progress, total: int | None) -> Iterator[R]:
    for done, outcome in enumerate(outcomes, 1):
        progress(done, total)
        yield outcome


def _on(
    executor: Executor, work: Work[T, R], store: ObjectStore, items: Iterable[T], width: int
) -> Iterator[R]:
    from concurrent.futures import ThreadPoolExecutor

    size, tasks = work.batch or width, _DIGEST_TASKS if work.batch else _OBJECT_TASKS
    if isinstance(executor, ThreadPoolExecutor):
        if work.batch is None:
            # Nothing has to be sent: its threads do one item each, and start no others.
            size, tasks = 1, 2 * width
        batches = _batches(items, size)
    else:
        batches = _batches(map(_sendable, items), size)

    def begin(batch: list[T]) -> Any:
        return executor.submit(_task, work, store, batch, width)

    for _, outcomes in in_order(batches, begin, tasks):
        yield from outcomes


def _task(work: Work[T, R], store: ObjectStore, batch: list[T], width: int) -> list[R]:
    """What an executor does with one batch, perhaps in another process."""
    return list(work.do(store, batch, width, len(batch)))


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    todo = Ahead(items)
    while True:
        batch: list[T] = []
        weight = 0
        for item in todo:
            batch.append(item)
            weight += len(item) if isinstance(item, bytes) else 0
            if len(batch) >= size or weight >= _OBJECT_BYTES:
                break
        else:
            break
        yield batch
    if batch:
        yield batch
    todo.check()


def _sendable(item: T) -> T:
    """A view of memory cannot be sent to another process."""
    return cast("T", bytes(item)) if isinstance(item, (bytearray, memoryview)) else item


def _canonical(digest: str) -> str:
    object_key(digest)
    return digest


def _storable(item: Item) -> Item:
    if not isinstance(item, (bytes, bytearray, memoryview, os.PathLike)):
        raise TypeError(
            f"An object is bytes, or a path such as pathlib.Path, not {type(item).__name__}"
        )
    return item


def _get(
    store: ObjectStore, digests: Iterable[str], width: int, total: int | None
) -> Iterator[tuple[str, bytes | StorageError]]:
    return each(digests, store.get_bytes, width=width)


def _put(
    store: ObjectStore, items: Iterable[Item], width: int, total: int | None
) -> Iterator[str | StorageError | OSError]:
    def put(item: Item) -> str | OSError:
        try:
            return store.put_file(item) if isinstance(item, os.PathLike) else store.put_bytes(item)
        except OSError as exc:  # of one file, which says nothing of the others
            return exc

    return (outcome for _, outcome in each(items, put, width=width))


def _sizes(
    store: ObjectStore, digests: Iterable[str], width: int, total: int | None
) -> Iterator[tuple[str, int | StorageError]]:
    window = _DIGESTS if total is None else _LISTED
    return find_sizes(store._bucket, digests, store.get_size, width=width, window=window)


def _exist(
    store: ObjectStore, digests: Iterable[str], width: int, total: int | None
) -> Iterator[tuple[str, bool | StorageError]]:
    for digest, found in _sizes(store, digests, width, total):
        if isinstance(found, ObjectNotFoundError):
            yield digest, False
        else:
            yield digest, found if isinstance(found, StorageError) else True


def _delete(
    store: ObjectStore, digests: Iterable[str], width: int, total: int | None
) -> Iterator[tuple[str, StorageError | None]]:
    bucket, cache = store._bucket, store._cache

    def delete(digest: str) -> None:
        store.delete(digest)

    def delete_batch(batch: list[str]) -> list[StorageError | None]:
        return [error for _, error in bucket.delete_many(map(object_key, batch))]

    if type(bucket).delete_many is Bucket.delete_many:  # the default, which has no batches
        yield from each(digests, delete, width=width)
        return
    batches = each(_batches(digests, _DELETED), delete_batch, width=min(width, _DELETIONS))
    for batch, outcome in batches:
        errors = [outcome] * len(batch) if isinstance(outcome, StorageError) else outcome
        for digest, error in zip(batch, errors, strict=True):
            if cache is not None:
                cache.delete(digest)
            yield digest, error


GET: Final = Work(_canonical, _get)
PUT: Final = Work(_storable, _put)
SIZES: Final = Work(_canonical, _sizes, _DIGESTS)
EXISTS: Final = Work(_canonical, _exist, _DIGESTS)
DELETE: Final = Work(_canonical, _delete, _DELETED)
