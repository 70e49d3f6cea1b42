"""What must hold when many write at once: in threads, in processes, after a fork."""

from __future__ import annotations

import multiprocessing
import os
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from devqubit.errors import ConflictError
from devqubit.plugin import ABSENT, Bucket, open_bucket
from devqubit.testing._base import Conformance, require
from devqubit.testing._children import finished, in_processes, start_child

__all__ = ["PROCESSES", "RaceConformance", "finished", "start_child"]

THREADS = 16
PROCESSES = 4
ATTEMPTS = 1_000
"""How often a writer may be second; far more than happens where writers are that few."""


class RaceConformance(Conformance):
    """Creation and replacement under contention."""

    def test_racing_threads_create_once(self, bucket: Bucket) -> None:
        """Of 16 threads that create one key, one wins, and its bytes are there."""
        require(bucket, "conditional_create")
        start = threading.Barrier(THREADS)

        def create(number: int) -> int | None:
            start.wait()
            return number if _creates(bucket, number) else None

        with ThreadPoolExecutor(THREADS) as pool:
            winners = [n for n in pool.map(create, range(THREADS)) if n is not None]
        assert len(winners) == 1
        assert bucket.read("contended").data == str(winners[0]).encode()

    def test_racing_processes_create_once(self, bucket: Bucket, url: str) -> None:
        """Of 4 processes that create one key, one wins, and its bytes are there."""
        require(bucket, "conditional_create")
        require(bucket, "persistent")
        start = str(time.time() + 2)
        calls = [(url, start, str(number)) for number in range(PROCESSES)]
        winners = [number for number in in_processes(create_at, calls) if number]
        assert len(winners) == 1
        assert bucket.read("contended").data == winners[0].encode()

    def test_counting_threads_lose_nothing(self, bucket: Bucket) -> None:
        """8 threads that each add 25 to one counter make 200."""
        require(bucket, "conditional_replace")
        bucket.write("counter", b"0")
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: count(bucket, 25), range(8)))
        assert bucket.read("counter").data == b"200"

    def test_counting_processes_lose_nothing(self, bucket: Bucket, url: str) -> None:
        """4 processes that each add 10 to one counter make 40."""
        require(bucket, "conditional_replace")
        require(bucket, "persistent")
        bucket.write("counter", b"0")
        in_processes(count_in_child, [(url, "10")] * PROCESSES)
        assert bucket.read("counter").data == b"40"

    def test_threads_do_not_meet(self, bucket: Bucket) -> None:
        """16 threads that use one bucket for a blob each get each their own."""

        def use(number: int) -> set[tuple[str, bytes, int]]:
            key, data = f"thread-{number}", str(number).encode() * (number + 1)
            seen = set()
            for _ in range(10):
                bucket.write(key, data)
                (info,) = bucket.list(key)
                seen.add((info.key, bucket.read(key).data, bucket.stat(key).size))
            return seen

        numbers = range(10, 10 + THREADS)  # none's name begins with that of another
        with ThreadPoolExecutor(THREADS) as pool:
            seen = list(pool.map(use, numbers))
        data = [str(number).encode() * (number + 1) for number in numbers]
        assert seen == [{(f"thread-{n}", d, len(d))} for n, d in zip(numbers, data, strict=True)]

    def test_readers_never_see_a_torn_blob(self, bucket: Bucket) -> None:
        """While a blob is replaced, readers see one whole version or another."""
        size = 200_000
        bucket.write("torn", b"\0" * size)
        stop = threading.Event()

        def replace() -> None:
            try:
                for number in range(1, 30):
                    bucket.write("torn", bytes([number]) * size)
            finally:
                stop.set()  # or the readers would read for ever

        def read() -> set[tuple[int, int]]:
            seen = set()
            while not stop.is_set():
                data = bucket.read("torn").data
                seen.add((len(data), len(set(data))))
            return seen

        with ThreadPoolExecutor(4) as pool:
            readers = [pool.submit(read) for _ in range(3)]
            pool.submit(replace).result()
            seen = set().union(*(reader.result() for reader in readers))
        assert seen <= {(size, 1)}

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")
    @pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
    def test_used_after_fork(self, bucket: Bucket) -> None:
        """A forked child and its parent use one bucket at the same time, each right."""
        require(bucket, "persistent")
        for name in ("parent", "child"):
            bucket.write(name, name.encode() * 1000)
        child = multiprocessing.get_context("fork").Process(target=_expect, args=(bucket, "child"))
        child.start()
        _expect(bucket, "parent")
        child.join(60)
        assert child.exitcode == 0


def create_at(url: str, start: str, number: str) -> str:
    """In a child: at a moment of time, creates the contended key; its number if it won."""
    bucket = open_bucket(url)
    time.sleep(max(0.0, float(start) - time.time()))
    return number if _creates(bucket, int(number)) else ""


def count_in_child(url: str, times: str) -> str:
    """In a child: adds to the counter."""
    count(open_bucket(url), int(times))
    return ""


def count(bucket: Bucket, times: int) -> None:
    """Adds one to the counter, `times` times, each as read-modify-write."""
    for _ in range(times):
        assert any(_counts(bucket) for _ in range(ATTEMPTS)), "every write is a conflict"


def _counts(bucket: Bucket) -> bool:
    blob = bucket.read("counter")
    try:
        bucket.write("counter", str(int(blob.data) + 1).encode(), if_version=blob.version)
    except ConflictError:
        time.sleep(random.uniform(0, 0.02))  # noqa: S311
        return False
    return True


def _creates(bucket: Bucket, number: int) -> bool:
    try:
        bucket.write("contended", str(number).encode(), if_version=ABSENT)
    except ConflictError:
        return False
    return True


def _expect(bucket: Bucket, name: str) -> None:
    for _ in range(30):
        if bucket.read(name).data != name.encode() * 1000:
            raise SystemExit(f"read another blob than {name!r}")
