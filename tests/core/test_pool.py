"""Calls in flight: ordered, lazy, bounded, each with its own error."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from devqubit.errors import StorageError
from devqubit.storage._pool import each, in_order


def test_order_is_kept() -> None:
    """Outcomes come in the order of the items, also when later ones are faster."""

    def call(number: int) -> int:
        time.sleep(0.001 * (number % 5))
        return number * 2

    assert list(each(range(50), call, width=8)) == [(n, n * 2) for n in range(50)]


def test_errors_stay_with_their_item() -> None:
    """One item's StorageError is its outcome; the others have theirs."""

    def call(number: int) -> int:
        if number == 3:
            raise StorageError("three")
        return number

    outcomes = dict(each(range(6), call, width=2))
    assert isinstance(outcomes.pop(3), StorageError)
    assert outcomes == {n: n for n in (0, 1, 2, 4, 5)}


def test_bugs_end_the_iteration() -> None:
    """Any other exception is raised."""
    with pytest.raises(ZeroDivisionError):
        list(each([1, 0, 2], lambda n: 1 // n, width=2))


def test_items_are_taken_as_needed() -> None:
    """Of an endless iterable, no more than twice the width is taken ahead."""
    taken = 0

    def endless() -> Iterator[int]:
        nonlocal taken
        while True:
            taken += 1
            yield taken

    outcomes = each(endless(), lambda n: n, width=4)
    assert [next(outcomes)[1] for _ in range(10)] == list(range(1, 11))
    assert taken <= 10 + 2 * 4
    outcomes.close()  # type: ignore[attr-defined]  # it is a generator


def test_width_bounds_what_is_in_flight() -> None:
    """Never more than `width` calls run at once."""
    lock, running, most = threading.Lock(), 0, 0

    def call(_: int) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.002)
        with lock:
            running -= 1

    list(each(range(40), call, width=5))
    assert 1 < most <= 5


def test_one_item_starts_no_thread() -> None:
    """A single item is called in the caller's own thread."""
    ((_, thread),) = each([1], lambda _: threading.current_thread(), width=8)
    assert thread is threading.current_thread()


def test_done_is_not_kept_waiting() -> None:
    """What is done is yielded, though the items that follow it take their time."""
    yielded = threading.Event()

    def items() -> Iterator[int]:
        for number in range(500):
            yield number
            if yielded.wait(0.01):
                return

    outcomes = each(items(), lambda n: n, width=2, held=1_000)
    assert next(outcomes) == (0, 0)
    yielded.set()
    assert len(list(outcomes)) < 498


@pytest.mark.parametrize("count", [0, 1, 2, 20])
def test_error_of_the_items(count: int) -> None:
    """What taking an item raises comes after the outcomes of all items before it."""

    def items() -> Iterator[int]:
        yield from range(count)
        raise ValueError("no more")

    outcomes: list[tuple[int, int | StorageError]] = []
    with pytest.raises(ValueError, match="no more"):
        outcomes.extend(each(items(), lambda n: n, width=4))
    assert outcomes == [(n, n) for n in range(count)]


def test_interrupt_is_not_kept() -> None:
    """An interrupt while an item is taken is raised at once."""

    def items() -> Iterator[int]:
        yield from range(3)
        raise KeyboardInterrupt

    never = threading.Event()
    with pytest.raises(KeyboardInterrupt):
        list(each(items(), lambda n: n if n == 0 else never.wait(60), width=4))
    never.set()


def test_what_has_not_begun_is_dropped() -> None:
    """When the consumer stops, what waits for a thread is never called."""
    called: list[int] = []
    go_on = threading.Event()

    def call(number: int) -> None:
        called.append(number)
        if number:
            go_on.wait(60)

    outcomes = each(range(100), call, width=1, held=10)
    next(outcomes)
    outcomes.close()  # type: ignore[attr-defined]  # it is a generator
    go_on.set()
    for thread in threading.enumerate():
        if thread.name.startswith("devqubit"):
            thread.join(60)
    assert called in ([0], [0, 1])


def test_nothing_done_is_held() -> None:
    """An item and its outcome are let go of as soon as the consumer does."""

    class Large:
        pass

    alive: list[weakref.ref[Large]] = []

    def call(_: Large) -> Large:
        alive.append(weakref.ref(made := Large()))
        return made

    outcomes = each((Large() for _ in range(50)), call, width=2)
    for _ in range(50):
        alive.append(weakref.ref(next(outcomes)[0]))
    for _ in range(1_000):  # a thread may be about to let go of its last one
        if not [reference for reference in alive if reference() is not None]:
            break
        time.sleep(0.01)
    assert [reference() for reference in alive if reference() is not None] == []
    assert list(outcomes) == []


def test_anything_that_is_pending() -> None:
    """Futures of others are waited for in order, and cancelled when the consumer stops."""
    futures: list[Future[int]] = []

    def begin(number: int) -> Future[int]:
        futures.append(Future())
        if number < 3:
            futures[-1].set_result(number)
        return futures[-1]

    outcomes = in_order(range(2, 100), begin, held=4)
    assert next(outcomes) == (2, 2)
    outcomes.close()  # type: ignore[attr-defined]  # it is a generator
    assert all(future.done() for future in futures)
