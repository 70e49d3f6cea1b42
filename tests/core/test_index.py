"""The index of a registry: a cache that is never trusted, and what it costs to keep."""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import sqlite3
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from devqubit.errors import UnreachableError, UnsupportedError
from devqubit.plugin import Capabilities, open_bucket
from devqubit.storage import Registry, create_registry
from devqubit.storage._file_systems import shares_memory
from devqubit.storage._index import index_path
from tests.servers.gcs import GCSServer


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own."""
    monkeypatch.setenv("DEVQUBIT_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A registry with three runs."""
    url = f"file://{tmp_path}/registry?durability=fast"
    with create_registry(url) as registry:
        for name in "abc":
            registry.save({"run_id": name, "project": {"name": "p"}})
    return url


@pytest.fixture
def gs_url(gcs_server: GCSServer, gcs_bucket: str) -> str:
    """A registry behind HTTP, where requests are counted."""
    return f"gs://{gcs_bucket}/r?endpoint_url={gcs_server.endpoint}&anonymous=true"


def index_of(url: str) -> Path:
    """The index file of a registry."""
    with create_registry(url) as registry:
        return Path(index_path(registry.location))


def names(registry: Registry) -> list[str]:
    """The runs that a registry lists."""
    return sorted(run["run_id"] for run in registry.list_runs())


def rewritten(path: Path, statement: str) -> None:
    """Changes an index file by hand."""
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()


def _made_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES: dict[str, Callable[[Path], object]] = {
    "deleted": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "garbage": lambda path: path.write_bytes(os.urandom(5000)),
    "text": lambda path: path.write_text("not a database\n" * 100),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:6000]),
    "holes": lambda path: path.write_bytes(
        path.read_bytes()[:4096] + b"\xa5" * (path.stat().st_size - 4096)
    ),
    "older": lambda path: rewritten(path, "PRAGMA user_version = 0"),
    "newer": lambda path: rewritten(path, "PRAGMA user_version = 999"),
    "foreign": lambda path: rewritten(path, "PRAGMA application_id = 42"),
    "of another registry": lambda path: rewritten(path, "UPDATE meta SET value = 's3://x'"),
    "without a table": lambda path: rewritten(path, "DROP TABLE runs"),
    "without a column": lambda path: rewritten(path, "ALTER TABLE runs DROP COLUMN ended"),
    "a folder": lambda path: _made_a_folder(path),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_index_is_made_anew(url: str, damage: str) -> None:
    """Whatever became of the index file, answers are right and nothing is raised."""
    path = index_of(url)
    with create_registry(url) as registry:
        assert names(registry) == ["a", "b", "c"]
    for leftover in ("-wal", "-shm"):
        Path(f"{path}{leftover}").unlink(missing_ok=True)
    DAMAGES[damage](path)
    with create_registry(url) as registry:
        assert names(registry) == ["a", "b", "c"]
        registry.save({"run_id": "d"})
        assert names(registry) == ["a", "b", "c", "d"]


def test_index_damaged_in_use(url: str) -> None:
    """An index that is destroyed while it is open is made anew."""
    with create_registry(url, max_staleness=0) as registry:
        assert names(registry) == ["a", "b", "c"]
        path = index_of(url)
        with path.open("r+b") as file:
            file.write(b"\0" * path.stat().st_size)
        for leftover in ("-wal", "-shm"):
            Path(f"{path}{leftover}").unlink(missing_ok=True)
        registry.close()
        assert names(registry) == ["a", "b", "c"]


def test_cache_that_cannot_be_written(url: str, cache: Path) -> None:
    """Without a place for the file, the index is in memory, and answers are right."""
    with create_registry(url) as registry:
        registry.close()
    for path in (cache / "registries").iterdir():
        path.unlink()
    (cache / "registries").rmdir()
    (cache / "registries").write_text("a file in the way")
    with create_registry(url) as registry:
        assert names(registry) == ["a", "b", "c"]


def test_each_registry_has_its_own_index(tmp_path: Path, cache: Path) -> None:
    """Places whose names resemble each other, and one place at two endpoints, do not meet."""
    urls = [
        f"{tmp_path}/a_b",
        f"{tmp_path}/a/b",
        f"{tmp_path}/a-b",
        "s3://bucket/x?endpoint_url=http://127.0.0.1:1",
        "s3://bucket/x?endpoint_url=http://127.0.0.1:2",
        "s3://bucket/x?region=us-east-1",
        "s3://bucket/X?region=us-east-1",
    ]
    assert len({index_of(url) for url in urls}) == len(urls)
    assert index_of(f"{tmp_path}/a_b/") == index_of(f"file://{tmp_path}/a_b?durability=fast")


def test_threads_share_an_index(url: str) -> None:
    """16 threads that write and ask at once each see their own writes."""
    with create_registry(url) as registry:

        def work(number: int) -> bool:
            registry.save({"run_id": f"t{number}", "adapter": f"a{number}"})
            return [r["run_id"] for r in registry.list_runs(adapter=f"a{number}")] == [f"t{number}"]

        with ThreadPoolExecutor(16) as pool:
            assert all(pool.map(work, range(64)))
        assert registry.count_runs() == 67


def _save_and_count(url: str, number: int, results: Any) -> None:
    with create_registry(url, max_staleness=None) as registry:
        for step in range(20):
            registry.save({"run_id": f"p{number}-{step}"})
        results.put(len([n for n in names(registry) if n.startswith(f"p{number}-")]))


def test_processes_share_an_index(url: str) -> None:
    """4 processes that write into one index at once each see their own writes, then all."""
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    children = [
        context.Process(target=_save_and_count, args=(url, number, results)) for number in range(4)
    ]
    for child in children:
        child.start()
    assert [results.get(timeout=60) for _ in children] == [20] * 4
    for child in children:
        child.join()
    with create_registry(url, max_staleness=None) as registry:
        assert len(names(registry)) == 83


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_index_after_fork(url: str) -> None:
    """A forked child opens the index anew; parent and child both answer rightly."""
    with create_registry(url) as registry:
        assert names(registry) == ["a", "b", "c"]
        context = multiprocessing.get_context("fork")
        results = context.Queue()
        child = context.Process(target=lambda: results.put(names(registry)))
        child.start()
        assert results.get(timeout=60) == ["a", "b", "c"]
        child.join()
        registry.save({"run_id": "d"})
        assert names(registry) == ["a", "b", "c", "d"]


def test_closed_registry_opens_again(url: str) -> None:
    """Closing twice is harmless, and a question after it opens the index again."""
    registry = create_registry(url)
    assert names(registry) == ["a", "b", "c"]
    registry.close()
    registry.close()
    assert names(registry) == ["a", "b", "c"]
    registry.close()


class Requests:
    """Counts requests to a server, by what they are for."""

    def __init__(self, server: GCSServer) -> None:
        self._server = server
        server.requests.clear()

    def taken(self) -> dict[str, int]:
        """Lists, reads and others since the last call."""
        counts = {"lists": 0, "reads": 0, "others": 0}
        for method, target in self._server.requests:
            path = target.split("?")[0]
            if method == "GET" and path.endswith("/o"):
                counts["lists"] += 1
            elif method == "GET" and "alt=media" in target:
                counts["reads"] += 1
            else:
                counts["others"] += 1
        self._server.requests.clear()
        return counts


def test_requests_of_a_refresh(gcs_server: GCSServer, gcs_bucket: str, gs_url: str) -> None:
    """Opening asks nothing, saving lists nothing, and a refresh reads only what changed."""
    for number in range(30):
        record = json.dumps({"run_id": f"r{number:02}"}).encode()
        gcs_server.plant(gcs_bucket, f"r/runs/r{number:02}.json", record)
    requests = Requests(gcs_server)
    with create_registry(gs_url, max_staleness=60) as registry:
        assert requests.taken() == {"lists": 0, "reads": 0, "others": 0}
        registry.save({"run_id": "mine"})
        assert requests.taken() == {"lists": 0, "reads": 0, "others": 1}
        assert len(registry.list_runs()) == 31
        assert requests.taken() == {"lists": 1, "reads": 30, "others": 0}
        registry.search_runs("project exists")
        assert registry.count_runs() == 31
        assert requests.taken() == {"lists": 0, "reads": 0, "others": 0}
        registry.refresh()
        assert requests.taken() == {"lists": 1, "reads": 0, "others": 0}
        for number in range(5):
            record = json.dumps({"run_id": f"r{number:02}", "adapter": "x"}).encode()
            gcs_server.plant(gcs_bucket, f"r/runs/r{number:02}.json", record)
        assert registry.refresh().changed == 5
        assert requests.taken() == {"lists": 1, "reads": 5, "others": 0}
    with create_registry(gs_url, max_staleness=60) as registry:
        assert len(registry.list_runs(limit=50)) == 31
        assert requests.taken() == {"lists": 0, "reads": 0, "others": 0}


def test_long_lists_are_asked_in_ranges(
    gcs_server: GCSServer, gcs_bucket: str, gs_url: str
) -> None:
    """Of 4,500 known runs, 2 ranges are listed at once, with hardly a page more than needed."""
    for number in range(4_500):
        name = f"r/runs/{number:05}.json"
        gcs_server.plant(gcs_bucket, name, b'{"run_id": "%05d"}' % number)
    with create_registry(gs_url, max_concurrency=8) as registry:
        assert registry.refresh().added == 4_500
        requests = Requests(gcs_server)
        assert registry.refresh().listed == 4_500
        taken = requests.taken()
        assert (5 <= taken["lists"] <= 5 + 2, taken["reads"]) == (True, 0)
        for gone in ("00000", "02249", "02250", "04499"):
            del gcs_server.objects(gcs_bucket)[f"r/runs/{gone}.json"]
        gcs_server.plant(gcs_bucket, "r/runs/99999.json", b'{"run_id": "99999"}')
        result = registry.refresh()
        assert (result.listed, result.removed, result.added) == (4_497, 4, 1)


def test_one_thread_refreshes_for_all(gcs_server: GCSServer, gs_url: str) -> None:
    """Many threads that ask at once make one list."""
    with create_registry(gs_url) as registry:
        requests = Requests(gcs_server)
        start = threading.Barrier(8)

        def ask(_: int) -> int:
            start.wait()
            return registry.count_runs()

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(ask, range(8))) == [0] * 8
        assert requests.taken()["lists"] == 1


def test_forgotten_registry(url: str) -> None:
    """A registry that nobody closed closes its index when it goes, and nothing warns."""
    registry = create_registry(url)
    assert names(registry) == ["a", "b", "c"]
    path = index_path(registry.location)
    assert path in open_files()
    del registry
    gc.collect()
    assert path not in open_files()


def open_files() -> set[str]:
    """What this process has open."""
    folder = Path("/proc/self/fd")
    return {os.readlink(link) for link in folder.iterdir() if link.is_symlink()}


def test_never_by_itself(gcs_server: GCSServer, gcs_bucket: str, gs_url: str) -> None:
    """With max_staleness=None only refresh() looks."""
    gcs_server.plant(gcs_bucket, "r/runs/x.json", b'{"run_id": "x"}')
    requests = Requests(gcs_server)
    with create_registry(gs_url, max_staleness=None) as registry:
        assert names(registry) == []
        assert requests.taken() == {"lists": 0, "reads": 0, "others": 0}
        registry.refresh()
        assert names(registry) == ["x"]


@pytest.mark.parametrize("first", ["save", "ask"])
def test_never_by_itself_but_when_lost(url: str, first: str) -> None:
    """With max_staleness=None a damaged index is made anew whole: no run that was known is gone."""
    index_of(url).write_bytes(b"no index")
    with create_registry(url, max_staleness=None) as registry:
        if first == "save":
            registry.save({"run_id": "d"})
        assert names(registry) == (["a", "b", "c", "d"] if first == "save" else ["a", "b", "c"])


def test_failed_refresh_changes_nothing(url: str) -> None:
    """When the bucket cannot be read, the question fails and the index stays as it was."""
    with create_registry(url, max_staleness=0) as registry:
        assert names(registry) == ["a", "b", "c"]
        bucket = registry._bucket

        def unreachable(*_: object, **__: object) -> None:
            raise UnreachableError("gone")

        bucket.list = unreachable  # type: ignore[method-assign, assignment]  # a dead disk
        with pytest.raises(UnreachableError):
            registry.list_runs()
    with create_registry(url, max_staleness=None) as registry:
        assert names(registry) == ["a", "b", "c"]


def test_refuses_without_conditional_writes(tmp_path: Path) -> None:
    """Where writes cannot be conditional, update and save(if_version=) say so; save works."""
    bucket = open_bucket(tmp_path)
    bucket.capabilities = Capabilities(conditional_replace=False)
    with Registry(bucket) as registry:
        registry.save({"run_id": "r"})
        version = registry.load("r").version
        with pytest.raises(UnsupportedError, match="conditional writes"):
            registry.update("r", lambda record: record)
        with pytest.raises(UnsupportedError, match="conditional writes"):
            registry.save({"run_id": "r"}, if_version=version)


def test_many_points_are_merged(tmp_path: Path) -> None:
    """200,000 points of a run are merged and read by step without being held."""
    with create_registry(f"file://{tmp_path}/r?durability=fast") as registry:
        for start in range(0, 200_000, 20_000):
            registry.save_metric_points(
                {"run_id": "r", "key": "loss", "step": step, "timestamp": "t", "value": step}
                for step in range(start, start + 20_000)
            )
        registry.save({"run_id": "r", "info": {"status": "FINISHED"}})
        segments = list((tmp_path / "r" / "metrics" / "r").iterdir())
        assert len(segments) == 2
        points = registry.iter_metric_points("r", "loss", start_step=150_000)
        assert next(points) == {"step": 150_000, "timestamp": "t", "value": 150_000.0}
        assert sum(1 for _ in points) == 49_999


def test_where_memory_is_not_shared(url: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a network's file system no file of the index is mapped, and all goes as elsewhere."""
    monkeypatch.setattr("devqubit.storage._index.shares_memory", lambda _: False)
    with create_registry(url) as mine, create_registry(url, max_staleness=0) as theirs:
        assert names(mine) == names(theirs) == ["a", "b", "c"]
        mine.save({"run_id": "d"})
        assert names(mine) == names(theirs) == ["a", "b", "c", "d"]
        assert list(cache.rglob("*-shm")) == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells file systems")
def test_file_systems(tmp_path: Path) -> None:
    """A local disk's file system is told from others."""
    assert shares_memory("/dev/shm")
    assert not shares_memory("/proc")
