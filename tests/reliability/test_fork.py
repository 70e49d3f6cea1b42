"""64 threads on one store and registry, and a fork and a spawn in the midst of them."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from devqubit.maintenance import Place, open_place
from devqubit.storage import ObjectStore, Registry
from tests.servers.gcs import GCSServer

pytestmark = [
    pytest.mark.reliability,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]

THREADS = 64
ROUNDS = 8


@pytest.fixture(params=["file", "s3", "gs"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """An empty place on each backend."""
    if request.param == "file":
        url = f"file://{tmp_path}/place?durability=fast"
    elif request.param == "s3":
        endpoint = request.getfixturevalue("s3_endpoint")
        bucket = request.getfixturevalue("s3_bucket")
        url = f"s3://{bucket}/x?endpoint_url={endpoint}&region=us-east-1"
    else:
        server: GCSServer = request.getfixturevalue("gcs_server")
        bucket = request.getfixturevalue("gcs_bucket")
        url = f"gs://{bucket}/x?endpoint_url={server.endpoint}&anonymous=true"
    with open_place(url) as place:
        yield place


def work(store: ObjectStore, registry: Registry, who: str) -> None:
    """Writes what is one's own, and reads it back: nobody else's may come."""
    for number in range(ROUNDS):
        data = f"{who} {number}".encode() * 100
        digest = store.put_bytes(data)
        if store.get_bytes(digest) != data:
            raise SystemExit(f"{who} read what is not its own")
        registry.save({"run_id": f"{who}-{number}", "ref": digest, "who": who})
        if registry.load(f"{who}-{number}").record["who"] != who:
            raise SystemExit(f"{who} loaded what is not its own")


def test_threads_fork_and_spawn(place: Place) -> None:
    """No cross-talk and no hang: 64 threads, two forked children and a spawned one, all right."""
    store, registry = place.store, place.registry
    # Python itself hangs where a thread is importing a module when another one forks.
    work(store, registry, "first")
    started = threading.Semaphore(0)

    def thread(number: int) -> None:
        started.release()
        work(store, registry, f"thread{number}")

    with ThreadPoolExecutor(THREADS) as pool:
        threads = [pool.submit(thread, number) for number in range(THREADS)]
        for _ in range(THREADS // 2):
            started.acquire()
        fork, spawn = multiprocessing.get_context("fork"), multiprocessing.get_context("spawn")
        children = [
            fork.Process(target=work, args=(store, registry, "fork0")),
            spawn.Process(target=work, args=(store, registry, "spawn1")),
            fork.Process(target=work, args=(store, registry, "fork2")),
        ]
        for child in children:
            child.start()
        for done in threads:
            done.result()
        for child in children:
            child.join(120)
    assert [child.exitcode for child in children] == [0, 0, 0]
    registry.refresh()
    assert registry.count_runs() == (THREADS + 3 + 1) * ROUNDS
