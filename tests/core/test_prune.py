"""Pruning: which runs go, and which never do."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from devqubit.errors import CorruptRecordError, InvalidArgumentError
from devqubit.maintenance import PrunedRun, prune_runs
from devqubit.storage import Registry, create_registry

MONTH = timedelta(days=30)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    """A registry with five runs of each of two projects, one a month, and metric points."""
    with create_registry(f"file://{tmp_path}/runs?durability=fast") as registry:
        for project in ("a", "b"):
            for months in range(5):
                save(registry, f"{project}{months}", project, months)
        points = {"run_id": "a4", "key": "loss", "step": 1, "timestamp": "2026-01-01", "value": 1.0}
        registry.save_metric_points([points])
        yield registry


def save(registry: Registry, run_id: str, project: str, months: int, status: str = "") -> None:
    """Saves a run of so many months ago; the even ones failed."""
    created = (datetime.now(UTC) - months * MONTH).isoformat()
    status = status or ("FAILED" if months % 2 == 0 else "FINISHED")
    info = {"status": status}
    registry.save({"run_id": run_id, "project": project, "created_at": created, "info": info})


def left(registry: Registry) -> set[str]:
    """The runs that are there."""
    return {run["run_id"] for run in registry.list_runs(limit=1000)}


def test_dry_run_is_the_default(registry: Registry) -> None:
    """Without being told to, it deletes nothing, and says what it would."""
    found: list[PrunedRun] = []
    report = prune_runs(registry, older_than=2.5 * MONTH, each=found.append)
    assert {run.run_id for run in found if not run.deleted} == {"a3", "a4", "b3", "b4"}
    assert (report.dry_run, report.runs, report.old, report.deleted) == (True, 10, 4, 0)
    assert len(left(registry)) == 10


def test_by_age_status_and_project(registry: Registry) -> None:
    """All that is asked for must hold; metric points go with their run."""
    report = prune_runs(
        registry, project="a", status="FAILED", older_than=1.5 * MONTH, dry_run=False
    )
    assert report.deleted == 2
    assert left(registry) == {"a0", "a1", "a3", "b0", "b1", "b2", "b3", "b4"}
    assert list(registry.bucket.list("metrics/")) == []


def test_the_newest_of_each_project_stay(registry: Registry) -> None:
    """`keep` counts in each project by itself."""
    prune_runs(registry, keep=2, dry_run=False)
    assert left(registry) == {"a0", "a1", "b0", "b1"}


def test_baselines_stay(registry: Registry) -> None:
    """A run that is a baseline stays, also of another project."""
    registry.set_baseline("a", "a4")
    registry.set_baseline("elsewhere", "b3")
    prune_runs(registry, older_than=2.5 * MONTH, dry_run=False)
    assert left(registry) >= {"a4", "b3"}
    assert not {"a3", "b4"} & left(registry)


def test_running_and_undated_runs_stay(registry: Registry) -> None:
    """A run that is RUNNING goes only if that is asked for, and one without a date never."""
    save(registry, "running", "a", 9, "RUNNING")
    registry.save({"run_id": "undated", "project": "a"})
    prune_runs(registry, older_than=MONTH / 2, dry_run=False)
    assert {"running", "undated"} <= left(registry)
    prune_runs(registry, status="RUNNING", older_than=MONTH / 2, dry_run=False)
    assert "running" not in left(registry)


def test_a_run_that_changes_meanwhile_stays(registry: Registry, tmp_path: Path) -> None:
    """What somebody else writes after it was judged is not deleted."""
    with create_registry(f"file://{tmp_path}/runs?durability=fast") as other:

        def interfere(_: PrunedRun) -> None:
            save(other, "a4", "a", 0)

        report = prune_runs(registry, older_than=3.5 * MONTH, each=interfere, dry_run=False)
    assert (report.old, report.deleted, report.changed) == (2, 1, 1)
    assert "a4" in left(registry)


def test_something_must_be_said(registry: Registry) -> None:
    """A call that would delete every run is an error."""
    with pytest.raises(InvalidArgumentError, match="--older-than"):
        prune_runs(registry, dry_run=False)


def test_unreadable_baseline(registry: Registry) -> None:
    """Where nobody knows which run a baseline keeps, nothing is deleted."""
    registry.bucket.write("baselines/a.json", b"{")
    with pytest.raises(CorruptRecordError, match=r"baselines/a\.json"):
        prune_runs(registry, older_than=MONTH, dry_run=False)
    assert len(left(registry)) == 10
