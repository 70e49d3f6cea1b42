"""Copying documents, runs and baselines: as their bytes are, and never over a later change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from devqubit.errors import BlobNotFoundError, ConflictError, StorageError
from devqubit.maintenance._copy_blobs import copy_points, copy_referenced
from devqubit.maintenance._copy_job import Job, failure, joined
from devqubit.maintenance._copy_report import BASELINES, RUNS, Done, Outcome
from devqubit.maintenance._references import references
from devqubit.storage._bucket import ABSENT
from devqubit.storage._documents import Document, DocumentFolder, Problem
from devqubit.storage._names import candidate_keys, encode_name
from devqubit.storage._pool import each
from devqubit.storage._records import RunRecord

if TYPE_CHECKING:
    from devqubit.storage._bucket import BlobInfo, Bucket, Version

__all__ = [
    "Selection",
    "baseline_keys",
    "copy_baselines",
    "copy_runs",
    "list_baselines",
    "points_folder",
    "project_runs",
    "select_runs",
]

Pair = tuple["BlobInfo", "BlobInfo | None"]
"""A document at the source, and what the target has under its key."""

# S3 tells when a blob was written in whole seconds.
_RESOLUTION: Final = timedelta(seconds=1)
_CHANGED: Final = "it differs, and the target's is not older: it was kept"
_SET_MEANWHILE: Final = "it was set while runs were copied: copy again"
_MEANWHILE: Final = "somebody wrote it at the target meanwhile: it was kept"


@dataclass(frozen=True)
class Selection:
    """The runs that a copy began with, before it copied what they refer to.

    Attributes:
        versions: Every file of the source's runs.
        wanted: Those of the project; None for all.
        digests: What they refer to; of no use without a project.
        folders: Where their metric points are; of no use without a project.
    """

    versions: dict[str, Version] = field(default_factory=dict)
    wanted: set[str] | None = None
    digests: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)

    def passes_over(self, info: BlobInfo) -> bool:
        """Whether a file is known to be of another project."""
        known = self.versions.get(info.key) == info.version
        return known and self.wanted is not None and info.key not in self.wanted


@dataclass(frozen=True)
class _Late:
    """A run that was written after the objects were copied."""

    info: BlobInfo
    there: BlobInfo | None


def select_runs(job: Job) -> Selection:
    """Lists the runs of the source; those of a project are read."""
    bucket = job.source.registry.bucket
    infos = {info.key: info for info in bucket.list("runs/")}
    versions = {key: info.version for key, info in infos.items()}
    if job.project is None:
        return Selection(versions)
    wanted: set[str] = set()
    selection = Selection(versions, wanted)
    for key, found in _fetched(bucket, infos):
        if isinstance(found, Problem):
            wanted.add(key)  # it may be one of the project's: it is reported below
        elif RunRecord(found.content).project == job.project:
            wanted.add(key)
            selection.digests.update(references(found.content))
            selection.folders.add(points_folder(found.name))
    return selection


def project_runs(bucket: Bucket, project: str) -> dict[str, str]:
    """The files of a project's runs, and where the points of each are."""
    infos = {info.key: info for info in bucket.list("runs/")}
    return {
        key: points_folder(found.name)
        for key, found in _fetched(bucket, infos)
        if isinstance(found, Document) and RunRecord(found.content).project == project
    }


def baseline_keys(project: str) -> list[str]:
    """The files that the baseline of a project may be in."""
    return candidate_keys("baselines", project)


def _fetched(
    bucket: Bucket, infos: dict[str, BlobInfo]
) -> Iterator[tuple[str, Document | Problem]]:
    folder = _runs(bucket)
    for key, blob in folder.fetch(infos.values()):
        found = folder.examine(key, blob, infos)
        if found is not None:
            yield key, found


def copy_runs(job: Job, selection: Selection) -> None:
    """Copies the records of runs, whose objects and points are at the target by now.

    Of a run that was written meanwhile, these are copied before.
    """
    late: list[_Late] = []

    def in_time() -> Iterator[Pair]:
        for here, there in _listed(job, "runs/"):
            if selection.passes_over(here):
                continue
            if selection.versions.get(here.key) == here.version:
                yield here, there
            else:
                late.append(_Late(here, there))

    runs = _runs(job.source.registry.bucket)

    def settle(pair: Pair) -> Done | _Late | None:
        found = _read(runs, pair[0], selection.versions)
        if isinstance(found, Document) and found.version != pair[0].version:
            return _Late(*pair)
        return found if isinstance(found, Done) or found is None else _settle(job, pair, found)

    for pair, done in each(in_time(), settle, width=job.width):
        if isinstance(done, _Late):
            late.append(done)
        elif done is not None:
            _add(job, RUNS, pair[0].key, done)
    for each_late in late:
        _copy_late(job, runs, each_late, selection)


def list_baselines(job: Job) -> dict[str, Version]:
    """The files of the source's baselines."""
    return {info.key: info.version for info in job.source.registry.bucket.list("baselines/")}


def copy_baselines(job: Job, listed: dict[str, Version]) -> None:
    """Copies the baselines: all of them, or the project's.

    Args:
        job: The copy.
        listed: Those that were there before the runs were copied, and so name one of them.
    """
    folder = _baselines(job.source.registry.bucket)

    def settle(pair: Pair) -> Done | None:
        found = _read(folder, pair[0], listed)
        if isinstance(found, Document):
            if job.project not in (None, found.name):
                return None
            if listed.get(found.key) != found.version:
                return Done(found.key, Outcome.FAILED, reason=_SET_MEANWHILE)
        return found if isinstance(found, Done) or found is None else _settle(job, pair, found)

    for pair, done in each(_listed(job, "baselines/"), settle, width=job.width):
        if done is not None:
            _add(job, BASELINES, pair[0].key, done)


def points_folder(run_id: str) -> str:
    """Where the segments of a run's metric points are."""
    return f"metrics/{encode_name(run_id)}/"


def _copy_late(job: Job, runs: DocumentFolder, late: _Late, selection: Selection) -> None:
    found = _read(runs, late.info, selection.versions)
    if found is None:
        return
    if isinstance(found, Done):
        job.ledger.add(RUNS, found)
        return
    if job.project not in (None, RunRecord(found.content).project):
        return
    copy_referenced(job, references(found.content))
    copy_points(job, lambda folder: True, points_folder(found.name))
    try:
        done: Done | StorageError = _settle(job, (late.info, late.there), found)
    except StorageError as exc:
        done = exc
    _add(job, RUNS, late.info.key, done)


def _listed(job: Job, prefix: str) -> Iterator[Pair]:
    source, target = job.source.registry.bucket, job.target.registry.bucket
    for here, there in joined(source.list(prefix), target.list(prefix)):
        if here is not None:
            yield here, there


def _read(
    folder: DocumentFolder, info: BlobInfo, listed: dict[str, Version]
) -> Document | Done | None:
    """The document; what is wrong with it; or None if it is nobody's, or gone."""
    ((key, blob),) = folder.fetch([info])
    found = folder.examine(key, blob, listed)
    if isinstance(found, Problem):
        return Done(key, Outcome.FAILED, reason=found.reason)
    return found


def _settle(job: Job, pair: Pair, document: Document) -> Done:
    """Writes a document to the target, unless that has it, or a later one."""
    info, there = pair
    data, bucket = document.data, job.target.registry.bucket
    if there is not None:
        if there.size == len(data) and _same(bucket, there, data):
            return Done(info.key, Outcome.PRESENT)
        if not job.overwrite and info.modified < there.modified + _RESOLUTION:
            return Done(info.key, Outcome.CONFLICT, reason=_CHANGED)
    if not job.dry_run:
        try:
            _write(bucket, info.key, data, there)
        except ConflictError:
            return Done(info.key, Outcome.CONFLICT, reason=_MEANWHILE)
    outcome = Outcome.COPIED if there is None else Outcome.REPLACED
    return Done(info.key, outcome, len(data))


def _same(bucket: Bucket, there: BlobInfo, data: bytes) -> bool:
    try:
        return bucket.read(there.key).data == data
    except BlobNotFoundError:
        return False


def _write(bucket: Bucket, key: str, data: bytes, there: BlobInfo | None) -> None:
    can = bucket.capabilities
    if there is None:
        bucket.write(key, data, if_version=ABSENT if can.conditional_create else None)
    else:
        bucket.write(key, data, if_version=there.version if can.conditional_replace else None)


def _add(job: Job, kind: str, key: str, done: Done | StorageError) -> None:
    job.ledger.add(kind, failure(key, done) if isinstance(done, StorageError) else done)


def _runs(bucket: Bucket) -> DocumentFolder:
    return DocumentFolder(bucket, "runs", lambda run: run.get("run_id"))


def _baselines(bucket: Bucket) -> DocumentFolder:
    return DocumentFolder(bucket, "baselines", lambda baseline: baseline.get("project"))
