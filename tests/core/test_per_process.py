"""What each process has one of: made once, anew in a forked child, and on demand."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from devqubit.plugin import PerProcess

THREADS = 8


class Made:
    """Something that is made; counts how often."""

    count = 0

    def __init__(self) -> None:
        Made.count += 1
        time.sleep(0.05)


@pytest.fixture(autouse=True)
def _from_zero() -> None:
    Made.count = 0


def test_made_once() -> None:
    """It is made at the first need, once for all threads, and again after it was dropped."""
    one = PerProcess(Made)
    assert (Made.count, one.drop()) == (0, None)
    with ThreadPoolExecutor(THREADS) as pool:
        found = set(pool.map(lambda _: one.get(), range(THREADS)))
    assert (Made.count, found) == (1, {one.get()})
    assert found == {one.drop()}
    assert one.drop() is None
    assert one.get() not in found


def test_renewed_once() -> None:
    """Of threads that all found it useless, one makes another."""
    one = PerProcess(Made)
    old = one.get()
    with ThreadPoolExecutor(THREADS) as pool:
        found = set(pool.map(lambda _: one.renew(old), range(THREADS)))
    assert (Made.count, found) == (2, {one.get()})


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_forked_child_has_its_own() -> None:
    """A child makes its own, also if a thread was making the parent's, and drops none but its."""
    making, go_on = threading.Event(), threading.Event()

    def make() -> Made:
        making.set()
        go_on.wait(20)
        return Made()

    first, second = PerProcess(Made), PerProcess(make)
    mine = first.get()
    with ThreadPoolExecutor(1) as pool:
        made = pool.submit(second.get)
        assert making.wait(20)
        child = os.fork()
        if child == 0:
            signal.alarm(20)  # the end of a child that waits for ever
            go_on.set()
            right = first.drop() is None and first.get() is not mine and second.get()
            os._exit(0 if right else 1)
        assert os.waitpid(child, 0)[1] == 0
        go_on.set()
        assert made.result() is second.get()
    assert first.get() is mine
