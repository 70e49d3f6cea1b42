"""Deleting old runs: by project, status and age, never a baseline, and not the newest."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from devqubit.errors import ConflictError, CorruptRecordError, InvalidArgumentError

if TYPE_CHECKING:
    from devqubit.storage import Registry, RunSummary
    from devqubit.storage._transfer import Progress

__all__ = ["PruneReport", "PrunedRun", "prune_runs"]

_RUNNING: Final = "RUNNING"
# After so many deletions, the baselines are looked at again.
_BATCH: Final = 100
_ALL: Final = 2**62


@dataclass(frozen=True, slots=True, kw_only=True)
class PrunedRun:
    """A run that was judged old.

    Attributes:
        run_id: Its id.
        project: Its project.
        status: Its status.
        created_at: When it was created.
        deleted: Whether it was deleted: not in a dry run, and not if it changed meanwhile.
    """

    run_id: str
    project: str
    status: str
    created_at: str
    deleted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneReport:
    """What pruning found and did.

    Attributes:
        dry_run: Whether it only looked.
        runs: Runs of the registry.
        old: Runs that were judged old.
        deleted: Those that were deleted; 0 in a dry run.
        changed: Those that stayed since somebody wrote, or deleted, them meanwhile.
        seconds: How long it took.
    """

    dry_run: bool
    runs: int
    old: int
    deleted: int
    changed: int
    seconds: float


def prune_runs(
    registry: Registry,
    *,
    project: str | None = None,
    status: str | None = None,
    older_than: timedelta | None = None,
    keep: int = 0,
    dry_run: bool = True,
    each: Callable[[PrunedRun], object] | None = None,
    progress: Progress | None = None,
) -> PruneReport:
    """Deletes old runs with their metric points. Artifacts stay until `collect_garbage`.

    Baselines stay, of whichever project, and so does a run that somebody writes meanwhile, or
    that has no time of creation. Runs that are RUNNING stay unless `status` asks for them.

    Args:
        registry: The registry.
        project: Only runs of this project.
        status: Only runs with this status.
        older_than: Only runs created longer ago than this, by this computer's clock.
        keep: How many runs of each project stay, the newest ones, whatever their status.
        dry_run: Only look.
        each: Is called with every run that was judged old, when it was deleted.
        progress: Is called with how many were done, and with how many there are.

    Raises:
        InvalidArgumentError: Nothing says which runs are old, or a number is negative.
        CorruptRecordError: A baseline cannot be read.
        StorageError: The registry cannot be read or written; `each` has what was deleted.
    """
    if older_than is None and status is None and keep == 0:
        raise InvalidArgumentError(
            "Say which runs are old: older_than (--older-than), status (--status) or keep (--keep)"
        )
    if keep < 0 or (older_than is not None and older_than < timedelta(0)):
        raise InvalidArgumentError("'keep' and 'older_than' must not be negative")
    began = time.monotonic()
    registry.refresh()
    runs = registry.count_runs()
    old = list(_old_runs(registry, project, status, older_than, keep))
    deleted = 0
    for number, (run, is_deleted) in enumerate(_pruned(registry, old, dry_run), 1):
        deleted += is_deleted
        if each is not None:
            each(_result(run, is_deleted))
        if progress is not None:
            progress(number, len(old))
    return PruneReport(
        dry_run=dry_run,
        runs=runs,
        old=len(old),
        deleted=deleted,
        changed=0 if dry_run else len(old) - deleted,
        seconds=time.monotonic() - began,
    )


def _old_runs(
    registry: Registry,
    project: str | None,
    status: str | None,
    older_than: timedelta | None,
    keep: int,
) -> Iterator[RunSummary]:
    """The runs to delete, newest first; they are few beside what the index holds."""
    before = None if older_than is None else (datetime.now(UTC) - older_than).isoformat()
    baselines = _baselines(registry)
    newest: dict[str, set[str]] = {}
    found = registry.list_runs(project=project, status=status, created_before=before, limit=_ALL)
    for run in found:
        name = run["project"]
        if keep and name not in newest:
            kept = registry.list_runs(project=name, limit=keep)
            newest[name] = {run["run_id"] for run in kept}
        wanted = status is not None or run["status"] != _RUNNING
        spared = run["run_id"] in baselines or run["run_id"] in newest.get(name, ())
        if wanted and not spared and run["created_at"]:
            yield run


def _pruned(
    registry: Registry, old: Sequence[RunSummary], dry_run: bool
) -> Iterator[tuple[RunSummary, bool]]:
    baselines: set[str] = set()
    for number, run in enumerate(old):
        if number % _BATCH == 0 and not dry_run:
            baselines = _baselines(registry)
        yield run, not dry_run and run["run_id"] not in baselines and _delete(registry, run)


def _delete(registry: Registry, judged: RunSummary) -> bool:
    """Deletes a run that is still what was judged; False if it is another, or gone."""
    try:
        run = registry.load_or_none(judged["run_id"])
    except CorruptRecordError:
        return False
    if run is None or run.summary() != judged:
        return False
    can = registry.bucket.capabilities.conditional_delete
    try:
        return registry.delete(run.run_id, if_version=run.version if can else None)
    except ConflictError:
        return False


def _baselines(registry: Registry) -> set[str]:
    for problem in registry.baseline_problems():
        raise CorruptRecordError(
            f"{registry.location}: {problem.key} cannot be read, and nobody knows which run it "
            f"keeps ({problem.reason}). Mend or delete it, then try again"
        )
    return {baseline["run_id"] for baseline in registry.list_baselines()}


def _result(run: RunSummary, deleted: bool) -> PrunedRun:
    return PrunedRun(
        run_id=run["run_id"],
        project=run["project"],
        status=run["status"],
        created_at=run["created_at"],
        deleted=deleted,
    )
