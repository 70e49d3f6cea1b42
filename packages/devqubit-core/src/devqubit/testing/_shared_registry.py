"""What a registry must do when several clients share it, on every backend."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from devqubit.errors import ConflictError, RunNotFoundError, UnsupportedError
from devqubit.plugin import Bucket
from devqubit.storage import Registry
from devqubit.storage._open import create_registry, open_bucket
from devqubit.testing._base import Conformance, require
from devqubit.testing._children import in_processes
from devqubit.testing._races import PROCESSES

__all__ = ["SharedRegistryConformance"]


BAD_POINTS: list[dict[str, Any]] = [
    {"step": 1.5},
    {"step": True},
    {"key": ""},
    {"value": "1"},
    {"run_id": ""},
    {"timestamp": 1},
]


def run(run_id: str, **changes: Any) -> dict[str, Any]:
    """A small run record."""
    return {"run_id": run_id, "created_at": "2026-01-01T00:00:00Z", **changes}


def ids(runs: list[Any]) -> list[str]:
    """The ids of summaries or records."""
    return [run["run_id"] if isinstance(run, dict) else run.run_id for run in runs]


class SharedRegistryConformance(Conformance):
    """Two clients of one registry: what each sees of the other, and who wins."""

    @pytest.fixture
    def mine(self, bucket: Bucket) -> Iterator[Registry]:
        """A client that looks at the bucket for every answer."""
        with Registry(bucket, max_staleness=0) as registry:
            yield registry

    @pytest.fixture
    def theirs(self, url: str) -> Iterator[Registry]:
        """Another client of the same registry."""
        with Registry(open_bucket(url), max_staleness=0) as registry:
            yield registry

    def test_update_of_a_colleague_is_seen(
        self, mine: Registry, theirs: Registry, bucket: Bucket
    ) -> None:
        """A status that a colleague changes is in the next answer."""
        require(bucket, "conditional_replace")
        mine.save(run("r", info={"status": "RUNNING"}))
        assert mine.list_runs()[0]["status"] == "RUNNING"
        theirs.update("r", lambda record: record["info"].update(status="FINISHED"))
        assert mine.list_runs()[0]["status"] == "FINISHED"
        assert mine.count_runs(status="RUNNING") == 0

    def test_new_and_deleted_runs_are_seen(self, mine: Registry, theirs: Registry) -> None:
        """What others add and delete is in the next answer."""
        theirs.save(run("a"))
        theirs.save(run("b"))
        assert ids(mine.list_runs()) == ["b", "a"]
        theirs.delete("a")
        assert ids(mine.list_runs()) == ["b"]

    def test_refresh_tells_what_it_did(
        self, mine: Registry, theirs: Registry, bucket: Bucket
    ) -> None:
        """Listed, added, changed, removed and failed are counted."""
        for name in "abcd":
            theirs.save(run(name))
        first = mine.refresh()
        assert (first.listed, first.added + first.changed + first.removed + first.failed) in (
            (4, 4),
            (4, 0),  # both clients share one index
        )
        # As another client of any make would.
        bucket.write("runs/new.json", json.dumps(run("new")).encode())
        bucket.write("runs/a.json", json.dumps(run("a", adapter="x")).encode())
        bucket.write("runs/b.json", b"{")
        bucket.delete("runs/c.json")
        result = mine.refresh()
        assert (result.listed, result.added, result.changed) == (4, 1, 1)
        assert (result.removed, result.failed) == (1, 1)
        again = mine.refresh()
        assert (again.added, again.changed, again.removed, again.failed) == (0, 0, 0, 0)

    def test_own_writes_need_no_refresh(self, url: str, bucket: Bucket) -> None:
        """What a client writes is in its answers although it never looks."""
        require(bucket, "conditional_replace")
        with create_registry(url, max_staleness=None) as registry:
            registry.save(run("a", project={"name": "p"}))
            registry.save(run("b", project={"name": "q"}))
            registry.update("a", lambda record: {**record, "adapter": "cirq"})
            registry.delete("b")
            assert ids(registry.list_runs()) == ["a"]
            assert ids(registry.search_runs("adapter = cirq")) == ["a"]
            assert registry.list_projects() == ["p"]

    def test_mended_record_is_served(self, mine: Registry, bucket: Bucket) -> None:
        """A damaged record is a problem until it is written anew."""
        mine.save(run("r"))
        bucket.write("runs/r.json", b"damaged")
        assert (ids(mine.list_runs()), [p.key for p in mine.problems()]) == ([], ["runs/r.json"])
        bucket.write("runs/r.json", json.dumps(run("r")).encode())
        assert (ids(mine.list_runs()), mine.problems()) == (["r"], [])

    def test_save_if_version(self, mine: Registry, theirs: Registry, bucket: Bucket) -> None:
        """A conditional save refuses when somebody else was first, and changes nothing."""
        require(bucket, "conditional_replace")
        mine.save(run("r", adapter="first"))
        seen = mine.load("r")
        theirs.save(run("r", adapter="second"))
        with pytest.raises(ConflictError) as caught:
            mine.save(run("r", adapter="third"), if_version=seen.version)
        current = theirs.load("r")
        assert (caught.value.expected, caught.value.actual) == (seen.version, current.version)
        mine.save(run("r", adapter="third"), if_version=current.version)
        assert theirs.load("r").adapter == "third"

    def test_update(self, mine: Registry, bucket: Bucket) -> None:
        """A change is applied to the record as it is, returned or in place."""
        require(bucket, "conditional_replace")
        mine.save(run("r", data={"params": {"n": 1}}))
        mine.update("r", lambda record: record["data"]["params"].update(n=2))
        updated = mine.update("r", lambda record: {**record, "adapter": "x"})
        assert (updated.params, updated.adapter) == ({"n": 2}, "x")
        assert mine.load("r").version == updated.version
        with pytest.raises(RunNotFoundError):
            mine.update("missing", lambda record: record)

    def test_failed_update_changes_nothing(self, mine: Registry, bucket: Bucket) -> None:
        """A change that raises, or makes another run of it, is not written."""
        require(bucket, "conditional_replace")
        mine.save(run("r"))
        before = mine.load("r").version
        with pytest.raises(ZeroDivisionError):
            mine.update("r", lambda record: {"run_id": 1 // 0})
        with pytest.raises(ValueError, match="must not change its 'run_id'"):
            mine.update("r", lambda record: {**record, "run_id": "other"})
        assert mine.load("r").version == before

    def test_update_is_refused_without_conditions(self, mine: Registry, bucket: Bucket) -> None:
        """Where a version cannot be honoured, a change that relies on one is refused."""
        if bucket.capabilities.conditional_replace:
            pytest.skip(f"{bucket!r} declares conditional_replace")
        mine.save(run("r"))
        before = mine.load("r")
        with pytest.raises(UnsupportedError):
            mine.update("r", lambda record: {**record, "adapter": "x"})
        with pytest.raises(UnsupportedError):
            mine.save(run("r", adapter="x"), if_version=before.version)
        assert mine.load("r").version == before.version

    def test_updates_of_threads_lose_nothing(
        self, mine: Registry, theirs: Registry, bucket: Bucket
    ) -> None:
        """8 threads of two clients that each add to one record 5 times lose none."""
        require(bucket, "conditional_replace")
        mine.save(run("r", n=0))
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda client: add(client, 5), [mine, theirs] * 4))
        assert mine.load("r").record["n"] == 40

    def test_updates_of_processes_lose_nothing(
        self, mine: Registry, url: str, bucket: Bucket
    ) -> None:
        """4 processes of 4 threads that each add to one record 3 times lose none."""
        require(bucket, "conditional_replace")
        require(bucket, "persistent")
        mine.save(run("r", n=0))
        in_processes(add_in_child, [(url,)] * PROCESSES)
        assert mine.load("r").record["n"] == 48

    def test_baseline_of_a_colleague(self, mine: Registry, theirs: Registry) -> None:
        """A baseline is read from the bucket, not from what was known of it."""
        mine.save(run("a"))
        mine.save(run("b"))
        mine.set_baseline("p", "a")
        theirs.set_baseline("p", "b")
        baseline = mine.get_baseline("p")
        assert baseline is not None
        assert baseline["run_id"] == "b"

    def test_metric_points(self, mine: Registry, theirs: Registry) -> None:
        """Points are read by another client, by step, the last write of a step holding."""
        mine.save_metric_points([point("loss", step, step / 2) for step in (3, 1, 2)])
        mine.save_metric_points([point("loss", 2, 9.0), point("acc", 1, math.inf)])
        series = theirs.load_metric_series("r")
        assert [(p["step"], p["value"]) for p in series["loss"]] == [(1, 0.5), (2, 9.0), (3, 1.5)]
        assert series["acc"] == [{"step": 1, "timestamp": "t", "value": math.inf}]
        part = theirs.iter_metric_points("r", "loss", start_step=2, end_step=2)
        assert [p["value"] for p in part] == [9.0]
        assert theirs.load_metric_series("another") == {}

    def test_metric_points_are_merged_at_the_end(self, mine: Registry, bucket: Bucket) -> None:
        """When a run ends, its segments become one, and hold the same points."""
        mine.save(run("r"))
        for step in range(12):
            mine.save_metric_points(
                [point("loss", step, float(step)), point("nan", step, math.nan)]
            )
        before = mine.load_metric_series("r")
        assert len(list(bucket.list("metrics/r/"))) == 12
        mine.save(run("r", info={"status": "FINISHED"}))
        assert len(list(bucket.list("metrics/r/"))) == 1
        after = mine.load_metric_series("r")
        assert after["loss"] == before["loss"]
        assert all(math.isnan(p["value"]) for p in after["nan"])
        mine.save_metric_points([point("loss", 3, 33.0)])
        assert mine.load_metric_series("r")["loss"][3]["value"] == 33.0
        mine.delete("r")
        assert list(bucket.list("metrics/")) == []

    @pytest.mark.parametrize("change", BAD_POINTS)
    def test_bad_metric_points(
        self, mine: Registry, bucket: Bucket, change: dict[str, Any]
    ) -> None:
        """A point that is none is refused, with all that were given with it."""
        with pytest.raises(ValueError, match=r"."):
            mine.save_metric_points([point("loss", 1, 1.0), {**point("loss", 2, 1.0), **change}])
        assert list(bucket.list()) == []

    def test_stale_runs_are_recovered(self, mine: Registry, bucket: Bucket) -> None:
        """Runs that are RUNNING for too long are KILLED; others stay as they are."""
        require(bucket, "conditional_replace")
        new = datetime.now(UTC).isoformat()
        for name, created, status in (
            ("old", "2026-01-01T00:00:00Z", "RUNNING"),
            ("new", new, "RUNNING"),
            ("done", "2026-01-01T00:00:00Z", "FINISHED"),
        ):
            mine.save({"run_id": name, "created_at": created, "info": {"status": status}})
        assert ids(mine.recover_stale_runs(dry_run=True)) == ["old"]
        assert mine.load("old").status == "RUNNING"
        (recovered,) = mine.recover_stale_runs(older_than_hours=1)
        assert (recovered["run_id"], recovered["project"]) == ("old", "")
        assert [mine.load(name).status for name in ("old", "new", "done")] == [
            "KILLED",
            "RUNNING",
            "FINISHED",
        ]
        ended = datetime.fromisoformat(mine.load("old").ended_at or "")
        assert abs(ended - datetime.now(UTC)) < timedelta(minutes=5)
        assert mine.recover_stale_runs() == []

    def test_groups(self, mine: Registry) -> None:
        """Groups are counted by project, the one with the newest run first."""
        for number, (group, project) in enumerate([("g", "p"), ("h", "p"), ("g", "p"), ("g", "q")]):
            mine.save(
                run(
                    f"r{number}",
                    created_at=f"2026-01-0{number + 1}T00:00:00Z",
                    project={"name": project},
                    group_id=group,
                    group_name=group.upper(),
                )
            )
        mine.save(run("alone"))
        groups = mine.list_groups(project="p")
        assert groups == [
            {
                "group_id": "g",
                "group_name": "G",
                "project": "p",
                "run_count": 2,
                "first_run": "2026-01-01T00:00:00Z",
                "last_run": "2026-01-03T00:00:00Z",
            },
            {
                "group_id": "h",
                "group_name": "H",
                "project": "p",
                "run_count": 1,
                "first_run": "2026-01-02T00:00:00Z",
                "last_run": "2026-01-02T00:00:00Z",
            },
        ]
        assert len(mine.list_groups()) == 3
        assert ids(mine.list_runs_in_group("g")) == ["r3", "r2", "r0"]
        assert ids(mine.list_runs_in_group("g", limit=1, offset=1)) == ["r2"]


def point(key: str, step: int, value: float) -> dict[str, Any]:
    """A metric point of run `r`."""
    return {"run_id": "r", "key": key, "step": step, "timestamp": "t", "value": value}


def add(registry: Registry, times: int) -> None:
    """Adds one to the field `n` of run `r`, `times` times."""
    for _ in range(times):
        registry.update("r", lambda record: {**record, "n": record["n"] + 1})


def add_in_child(url: str) -> str:
    """In a child: four threads that add three times each."""
    with create_registry(url) as registry, ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: add(registry, 3), range(4)))
    return ""
