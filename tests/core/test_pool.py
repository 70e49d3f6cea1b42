"""Calls in flight: ordered, lazy, bounded, each with its own error."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from devqubit.errors import StorageError
from devqubit.storage._pool import each


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
