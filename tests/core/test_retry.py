"""Trying again: how often, how long, and after what."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from devqubit.errors import AccessDeniedError, StorageError, ThrottledError, UnreachableError
from devqubit.plugin import Retry


def failing(times: int, error: StorageError) -> tuple[list[int], Callable[[int], str]]:
    """An action that fails some times, and the list of attempts it saw."""
    attempts: list[int] = []

    def action(attempt: int) -> str:
        attempts.append(attempt)
        if len(attempts) <= times:
            raise error
        return "done"

    return attempts, action


@pytest.mark.parametrize("error", [ThrottledError("slow"), UnreachableError("gone")])
def test_transient_errors_are_tried_again(error: StorageError) -> None:
    """Throttled and unreachable calls are repeated, and told which attempt they are."""
    attempts, action = failing(2, error)
    assert Retry(max_attempts=5).call(action) == "done"
    assert attempts == [1, 2, 3]


def test_other_errors_are_not() -> None:
    """An error that the next attempt would meet again is raised at once."""
    attempts, action = failing(1, AccessDeniedError("no"))
    with pytest.raises(AccessDeniedError):
        Retry().call(action)
    assert attempts == [1]


def test_attempts_run_out() -> None:
    """The last attempt's error is raised."""
    attempts, action = failing(9, ThrottledError("slow"))
    with pytest.raises(ThrottledError):
        Retry(max_attempts=3).call(action)
    assert attempts == [1, 2, 3]


def test_time_runs_out() -> None:
    """No attempt begins after two thirds of the time."""
    _, action = failing(10**6, UnreachableError("gone"))
    began = time.monotonic()
    with pytest.raises(UnreachableError):
        Retry(max_attempts=10**6, timeout=0.9).call(action)
    assert time.monotonic() - began < 0.9
