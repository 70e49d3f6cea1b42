"""Bulk calls: how much they hold, when they end, and what they send to other processes."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from devqubit.errors import InvalidArgumentError
from devqubit.storage import ObjectStore, create_registry, create_store
from tests.servers.relay import Relay, Rule, Silence

MIB = 1024 * 1024
CALLS = ["get_many", "get_sizes", "exists_many", "delete_many"]
RUN = {"run_id": "r", "project": {"name": "p"}, "created_at": "2026-01-01T00:00:00Z"}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ObjectStore]:
    """A local store."""
    with create_store(tmp_path / "store", durability="fast") as store:
        yield store


class Counted(Iterator[Any]):
    """The same item for ever, and how often it was taken."""

    def __init__(self, make: Callable[[], object]) -> None:
        self.taken = 0
        self._make = make

    def __next__(self) -> Any:
        self.taken += 1
        return self._make()


@pytest.mark.parametrize("call", [*CALLS[:3], "put_many"])
@pytest.mark.parametrize("width", [1, 4])
def test_endless(store: ObjectStore, call: str, width: int) -> None:
    """Of what never ends, what is needed is taken, and twice the concurrency ahead."""
    digest = store.put_bytes(b"x")
    items = Counted(lambda: b"x" if call == "put_many" else digest)
    outcomes = getattr(store, call)(items, max_concurrency=width)
    for _ in range(10):
        next(outcomes)
    assert items.taken <= 10 + 2 * width
    outcomes.close()


def test_nothing_before_it_is_asked_for(store: ObjectStore) -> None:
    """What nobody iterates over is not begun."""
    items = Counted(bytes)
    store.put_many(items)
    assert (items.taken, list(store.list_digests())) == (0, [])


@pytest.mark.parametrize("count", [60, 240])
def test_memory(store: ObjectStore, count: int) -> None:
    """What is held of many large objects depends on the concurrency, not on how many."""

    def bodies() -> Iterator[bytes]:
        for number in range(count):
            yield number.to_bytes(4, "big") * (MIB // 4)

    tracemalloc.start()
    try:
        digests = [str(digest) for digest in store.put_many(bodies(), max_concurrency=4)]
        for _ in store.get_many(digests, max_concurrency=4):
            pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Twice the concurrency is held, and threads have a few more between two hands.
    assert peak < 20 * MIB


def test_errors_argument(store: ObjectStore) -> None:
    """Only "raise" and "return" mean something."""
    with pytest.raises(InvalidArgumentError, match="'raise' or 'return'"):
        store.put_many([], errors="ignore")  # type: ignore[arg-type]  # that is the point


def test_many_failures_are_counted(store: ObjectStore, tmp_path: Path) -> None:
    """Of very many failures, all are counted and a hundred are kept."""
    with pytest.raises(ExceptionGroup, match=r"250 of 251 .* 99, 100 and 150 more") as caught:
        list(store.put_many([b"a", *[tmp_path / "missing"] * 250]))
    assert len(caught.value.exceptions) == 100


class Recording(Executor):
    """Keeps the tasks that it is given, and does them when they are asked for."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.open = self.most = 0

    def submit(self, call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.sizes.append(len(args[2]))
        self.open += 1
        self.most = max(self.most, self.open)
        task = pickle.dumps((call, args, kwargs))
        return _Later(self, task)


class _Later(Future[Any]):
    def __init__(self, executor: Recording, task: bytes) -> None:
        super().__init__()
        self._executor, self._task = executor, task

    def result(self, timeout: float | None = None) -> Any:
        self._executor.open -= 1
        call, args, kwargs = pickle.loads(self._task)
        return call(*args, **kwargs)


def test_batches(store: ObjectStore) -> None:
    """An executor is not paid for each item, and has a bounded number of tasks at a time."""
    executor = Recording()
    digest = store.put_bytes(b"x")
    found = list(store.get_many([digest] * 402, executor=executor, max_concurrency=4))
    assert found == [(digest, b"x")] * 402
    assert executor.sizes == [4] * 100 + [2]
    assert executor.most == 32


def test_batches_of_large_objects(store: ObjectStore) -> None:
    """What is sent with one task is bounded in bytes."""
    executor = Recording()
    list(store.put_many([bytes(3 * MIB)] * 7, executor=executor))
    assert executor.sizes == [3, 3, 1]


def test_threads_have_one_object_each(store: ObjectStore) -> None:
    """An executor of threads has one object a task, all in its own threads."""
    digest = store.put_bytes(b"x")
    seen: list[str] = []

    class Store(ObjectStore):
        def get_bytes(self, digest: str) -> bytes:
            seen.append(threading.current_thread().name)
            return super().get_bytes(digest)

    mine = Store(store._bucket)
    with ThreadPoolExecutor(2, thread_name_prefix="mine") as executor:
        list(mine.get_many([digest] * 50, executor=executor))
    assert {name.partition("_")[0] for name in seen} == {"mine"}


def test_executor_is_left_open(store: ObjectStore) -> None:
    """Somebody's executor is not shut down, also when the consumer stops."""
    digest = store.put_bytes(b"x")
    with ThreadPoolExecutor(1) as executor:
        outcomes = store.get_many([digest] * 500, executor=executor)
        next(outcomes)
        outcomes.close()  # type: ignore[attr-defined]  # it is a generator
        assert executor.submit(int).result() == 0


def test_registry_is_sent(tmp_path: Path) -> None:
    """A registry is opened again where it is sent, with its options."""
    with create_registry(tmp_path, max_staleness=None, durability="fast") as registry:
        registry.save(RUN)
        with pickle.loads(pickle.dumps(registry)) as received:
            assert received.load("r").run_id == "r"
            assert received.list_runs() == registry.list_runs()


def test_relative_path_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was opened by a relative path, or by nothing, is the same place elsewhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DEVQUBIT_HOME", str(tmp_path / "home"))
    with create_store("here") as here, create_store() as home:
        sent = pickle.dumps([here, home])
        monkeypatch.chdir("/")
        monkeypatch.setenv("DEVQUBIT_HOME", "/elsewhere")
        assert [store.location for store in pickle.loads(sent)] == [here.location, home.location]


def test_cache_is_sent(tmp_path: Path) -> None:
    """The cache is the same folder elsewhere."""
    with create_store(tmp_path / "store", cache=tmp_path / "cache", cache_size="1 MB") as store:
        digest = store.put_bytes(b"x")
        with pickle.loads(pickle.dumps(store)) as received:
            received.get_bytes(digest)
    assert [path.name for path in (tmp_path / "cache").rglob("*") if path.name in digest] != []


def test_closed_is_opened_again(tmp_path: Path) -> None:
    """What was received, and closed, is opened again when it is received again."""
    with create_store(tmp_path) as store:
        sent = pickle.dumps(store)
        first = pickle.loads(sent)
        first.close()
        with pickle.loads(sent) as second:
            assert second is not first


def test_bucket_without_url(store: ObjectStore) -> None:
    """What nobody opened by a URL cannot be sent, and the message says how it can."""
    with pytest.raises(TypeError, match="create_store"):
        pickle.dumps(ObjectStore(store._bucket))


INTERRUPTED = """
import signal
import sys
from devqubit.storage import create_store
signal.signal(signal.SIGINT, signal.default_int_handler)  # shells have jobs ignore it
store = create_store(sys.argv[1])
print("begun", flush=True)
list(store.get_many("sha256:" + f"{number:064x}" for number in range(10_000)))
"""


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is another thing there")
def test_interrupt(tmp_path: Path) -> None:
    """Ctrl-C ends a bulk call, and the program, while requests still wait for their answers."""
    with Relay("http://127.0.0.1:9") as relay:
        relay.add(Rule(), Silence())
        url = f"s3://bucket/x?endpoint_url={relay.endpoint}&region=us-east-1&timeout=600"
        child = subprocess.Popen(
            [sys.executable, "-c", INTERRUPTED, url],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            while len(relay.requests) < 32:
                assert child.poll() is None
                time.sleep(0.01)
            # One that comes while Python collects garbage is lost: a person presses again.
            for _ in range(6):
                child.send_signal(signal.SIGINT)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(10)
                    break
            _, error = child.communicate(timeout=1)  # one request alone waits for longer
        finally:
            child.kill()
            child.communicate()
    assert "KeyboardInterrupt" in error
