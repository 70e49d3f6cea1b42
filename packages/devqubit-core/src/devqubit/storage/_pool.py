"""Many storage calls in flight at once: bounded, lazy, in order, each with its own error."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from devqubit.errors import StorageError

if TYPE_CHECKING:
    from queue import SimpleQueue

__all__ = ["Ahead", "Pending", "each", "in_order"]

T = TypeVar("T")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Pending(Protocol[R_co]):
    """What was begun and has a result later, such as a `concurrent.futures.Future`."""

    def done(self) -> bool:
        """Whether it has its result."""

    def result(self) -> R_co:
        """The result, waited for; raises what it raised."""

    def cancel(self) -> object:
        """Drops it, if it has not begun."""


def each(
    items: Iterable[T], call: Callable[[T], R], *, width: int, held: int | None = None
) -> Iterator[tuple[T, R | StorageError]]:
    """Calls `call` on each item in threads and yields the outcomes in the items' order.

    Items are taken as they are needed, in the consumer's thread; what taking one raises is
    raised after the outcomes of those before it.
    When the consumer stops, or is interrupted, calls that have not begun are dropped, and
    nothing waits for the others, not even the end of the program.

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
    todo = Ahead(items)
    first = list(islice(todo, 2))
    if len(first) < 2:
        # One item needs no thread.
        for item in first:
            yield item, _outcome(call, item)
        todo.check()
        return
    threads = _Threads(call, width)
    rest, first = chain(iter(first), todo), []
    try:
        yield from in_order(rest, threads.begin, held or 2 * width)
        todo.check()
    finally:
        threads.stop()


def in_order(
    items: Iterable[T], begin: Callable[[T], Pending[R]], held: int
) -> Iterator[tuple[T, R]]:
    """Begins something for each item, ahead of the consumer, and yields the results in order.

    Args:
        items: Taken as they are needed; what that raises comes after the results before it.
        begin: Begins it and does not wait.
        held: How many are begun, or done and not yet taken by the consumer, at most.

    Yields:
        Each item with its result.
    """
    todo = Ahead(items)
    waiting: deque[tuple[T, Pending[R]]] = deque()
    try:
        for item in todo:
            waiting.append((item, begin(item)))
            del item  # what was yielded is held by nobody here
            while waiting and (len(waiting) >= held or waiting[0][1].done()):
                yield _taken(*waiting.popleft())
        while waiting:
            yield _taken(*waiting.popleft())
        todo.check()
    finally:
        for _, pending in waiting:
            pending.cancel()


class Ahead(Iterator[T]):
    """Items that are taken ahead: what taking one raises ends them, and is kept for `check`.

    So what was begun for the items before is not lost. An interrupt is not kept.

    Args:
        items: The items.
    """

    def __init__(self, items: Iterable[T]) -> None:
        self._items = iter(items)
        self._error: Exception | None = None

    def __next__(self) -> T:
        try:
            return next(self._items)
        except StopIteration:
            raise
        except Exception as exc:
            self._error = exc
            self._items = iter(())
        raise StopIteration

    def check(self) -> None:
        """Raises what ended the items, if that was an error."""
        if self._error is not None:
            raise self._error


class _Call(Generic[T, R]):
    """One item's call; a `Future` costs several times as much, and small objects notice."""

    __slots__ = ("_cancelled", "_error", "_item", "_outcome", "_unfinished")

    def __init__(self, item: T) -> None:
        self._item = item
        self._cancelled = False
        self._error: BaseException | None = None
        self._outcome: R | StorageError
        self._unfinished = threading.Lock()
        self._unfinished.acquire()

    def run(self, call: Callable[[T], R]) -> None:
        try:
            if not self._cancelled:
                self._outcome = _outcome(call, self._item)
        except BaseException as exc:
            self._error = exc
        finally:
            self._unfinished.release()

    def done(self) -> bool:
        return not self._unfinished.locked()

    def result(self) -> R | StorageError:
        with self._unfinished:
            if self._error is not None:
                raise self._error
            return self._outcome

    def cancel(self) -> None:
        self._cancelled = True


class _Threads(Generic[T, R]):
    """Threads for one run of `each`, as many as there are calls, up to `width`.

    They are daemons, which those of `concurrent.futures` are not: after Ctrl-C a program
    would not end before every request in flight had, with all the times it is tried again.
    """

    def __init__(self, call: Callable[[T], R], width: int) -> None:
        from queue import SimpleQueue  # only where there is more than one item

        self._call = call
        self._width = width
        self._started = 0
        self._queue: SimpleQueue[_Call[T, R] | None] = SimpleQueue()

    def begin(self, item: T) -> _Call[T, R]:
        begun: _Call[T, R] = _Call(item)
        self._queue.put(begun)
        if self._started < self._width:
            self._started += 1
            name = f"devqubit-{self._started}"
            threading.Thread(target=self._work, name=name, daemon=True).start()
        return begun

    def stop(self) -> None:
        for _ in range(self._started):
            self._queue.put(None)

    def _work(self) -> None:
        while (begun := self._queue.get()) is not None:
            begun.run(self._call)
            del begun  # what is done is held no longer than by whoever waits for it


def _taken(item: T, pending: Pending[R]) -> tuple[T, R]:
    """A function of its own, since a generator's variables hold what it yielded."""
    return item, pending.result()


def _outcome(call: Callable[[T], R], item: T) -> R | StorageError:
    try:
        return call(item)
    except StorageError as exc:
        return exc
