"""Many storage calls in flight at once: bounded, lazy, in order, each with its own error."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from devqubit.errors import StorageError

if TYPE_CHECKING:
    from concurrent.futures import Future

__all__ = ["each"]

T = TypeVar("T")
R = TypeVar("R")


def each(
    items: Iterable[T], call: Callable[[T], R], *, width: int, held: int | None = None
) -> Iterator[tuple[T, R | StorageError]]:
    """Calls `call` on each item in threads and yields the outcomes in the items' order.

    Items are taken as they are needed.
    When the consumer stops, or is interrupted, calls that have not begun are dropped.

    Args:
        items: What to call it on.
        call: What to do; safe in threads.
        width: How many calls may be in flight.
        held: How many items, with their outcomes, are held at most; None for twice
            `width`. Where each takes much memory, little more than `width` does.

    Yields:
        Each item with its result, or with the `StorageError` that its call raised.
        Any other exception is a bug and ends the iteration.
    """
    todo = iter(items)
    first = list(islice(todo, 2))
    if len(first) < 2:
        # One item needs no thread.
        for item in first:
            yield item, _outcome(call, item)
        return
    from concurrent.futures import ThreadPoolExecutor  # slow to import, rarely needed

    pool = ThreadPoolExecutor(max_workers=width, thread_name_prefix="devqubit")
    waiting: deque[tuple[T, Future[R | StorageError]]] = deque()
    try:
        waiting.extend((item, pool.submit(_outcome, call, item)) for item in first)
        for item in todo:
            waiting.append((item, pool.submit(_outcome, call, item)))
            if len(waiting) >= (held or 2 * width):
                done, future = waiting.popleft()
                yield done, future.result()
        while waiting:
            done, future = waiting.popleft()
            yield done, future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _outcome(call: Callable[[T], R], item: T) -> R | StorageError:
    try:
        return call(item)
    except StorageError as exc:
        return exc
