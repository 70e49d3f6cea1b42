"""What makes a copy a mirror: deletes at the target what the source does not have."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

from devqubit.errors import ConflictError, InvalidArgumentError, StorageError
from devqubit.maintenance._copy_blobs import folder_of
from devqubit.maintenance._copy_documents import Selection, baseline_keys, project_runs
from devqubit.maintenance._copy_job import Job, failure, joined
from devqubit.maintenance._copy_report import BASELINES, OBJECTS, POINTS, RUNS, Done, Outcome
from devqubit.storage._digest import digest_of_key, object_prefix
from devqubit.storage._lookup import list_objects
from devqubit.storage._names import names_of_key
from devqubit.storage._pool import each

if TYPE_CHECKING:
    from devqubit.storage._bucket import BlobInfo

__all__ = ["mirror", "require_something"]


def require_something(job: Job) -> None:
    """Refuses to make a mirror of nothing, which would delete everything.

    Raises:
        InvalidArgumentError: The source has no objects and no runs, or none of the project.
    """
    if job.project is not None:
        if project_runs(job.source.registry.bucket, job.project):
            return
        raise InvalidArgumentError(
            f"{job.source.registry.location} has no runs of the project {job.project!r}, and a "
            "mirror of it would be empty as well: check the name"
        )
    runs = job.source.registry.bucket.list("runs/")
    objects = list_objects(job.source.store.bucket, object_prefix(None))
    if any(True for _ in islice(runs, 1)) or any(True for _ in islice(objects, 1)):
        return
    raise InvalidArgumentError(
        f"{job.source.registry.location} is empty, and a mirror of it would be empty as well: "
        "check the URL, or delete the target yourself"
    )


def mirror(job: Job, selection: Selection) -> None:
    """Deletes what the source does not have: names first, then what they refer to.

    With a project, only what is of it, and no objects.
    """
    if job.project is None:
        _delete(job, BASELINES, _extra(job, "baselines/", _is_document("baselines")))
        _delete(job, RUNS, _extra(job, "runs/", _is_document("runs")))
        _delete(job, POINTS, _extra(job, "metrics/", lambda key: key.endswith(".json")))
        _delete_objects(job)
        return
    runs = project_runs(job.target.registry.bucket, job.project)
    folders = selection.folders | set(runs.values())
    baselines = baseline_keys(job.project)
    _delete(job, BASELINES, _extra(job, "baselines/", lambda key: key in baselines))
    _delete(job, RUNS, _extra(job, "runs/", lambda key: key in runs))
    _delete(job, POINTS, _extra(job, "metrics/", lambda key: folder_of(key) in folders))


def _extra(job: Job, prefix: str, wanted: Callable[[str], bool]) -> Iterator[BlobInfo]:
    source, target = job.source.registry.bucket, job.target.registry.bucket
    for here, there in joined(source.list(prefix), target.list(prefix)):
        if here is None and there is not None and wanted(there.key):
            yield there


def _is_document(folder: str) -> Callable[[str], bool]:
    """Whether a key is that of a document; anybody else's files are left alone."""
    return lambda key: bool(names_of_key(folder, key))


def _delete(job: Job, kind: str, extra: Iterable[BlobInfo]) -> None:
    bucket = job.target.registry.bucket
    conditional = bucket.capabilities.conditional_delete

    def delete(info: BlobInfo) -> Done:
        try:
            if not job.dry_run:
                bucket.delete(info.key, if_version=info.version if conditional else None)
        except ConflictError:
            reason = "somebody wrote it at the target meanwhile: it was kept"
            return Done(info.key, Outcome.CONFLICT, reason=reason)
        return Done(info.key, Outcome.DELETED)

    for info, done in each(extra, delete, width=job.width):
        job.ledger.add(kind, failure(info.key, done) if isinstance(done, StorageError) else done)


def _delete_objects(job: Job) -> None:
    everything = object_prefix(None)
    source, target = job.source.store.bucket, job.target.store.bucket
    pairs = joined(list_objects(source, everything), list_objects(target, everything))
    extra = (
        digest
        for here, there in pairs
        if here is None and there is not None and (digest := digest_of_key(there.key)) is not None
    )
    if job.dry_run:
        for digest in extra:
            job.ledger.add(OBJECTS, Done(digest, Outcome.DELETED))
        return
    for digest, error in job.target.store.delete_many(extra):
        done = Done(digest, Outcome.DELETED) if error is None else failure(digest, error)
        job.ledger.add(OBJECTS, done)
