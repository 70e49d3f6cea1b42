"""Copying everything, or one project, from one place to another.

Data comes before what names it: objects, then metric points, then runs, then baselines. So
whatever is seen at the target while it is copied, and after it was broken off, is whole.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from devqubit.maintenance._copy_blobs import copy_objects, copy_points, copy_referenced
from devqubit.maintenance._copy_documents import (
    Selection,
    copy_baselines,
    copy_runs,
    list_baselines,
    select_runs,
)
from devqubit.maintenance._copy_job import Job, require_apart
from devqubit.maintenance._copy_mirror import mirror, require_something
from devqubit.maintenance._copy_report import RUNS, CopyReport, Ledger, Tally
from devqubit.storage._lease import wait_for_collections
from devqubit.storage._names import check_name

if TYPE_CHECKING:
    from devqubit.maintenance._place import Place
    from devqubit.storage._transfer import Progress

__all__ = ["CopyReport", "Tally", "copy"]


def copy(
    source: Place,
    target: Place,
    *,
    project: str | None = None,
    overwrite: bool = False,
    delete: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> CopyReport:
    """Copies objects, metric points, runs and baselines that the target lacks, or has otherwise.

    Begin it again after it was broken off: what is there is not copied twice. Records keep
    their bytes, so nothing in them is lost. Objects are verified. Where a record differs, the
    one that was written last holds, by the clocks of the two servers: one at the target that
    is older by a second or more is replaced, any other is kept and reported as a conflict.

    An item that cannot be copied is reported, and all others are copied. A run is copied also
    if an artifact of it could not be: it refers to something that is not there, as it does at
    the source.

    Args:
        source: From where. Nothing is written there.
        target: To where.
        project: Only the runs of this project, the objects that they refer to, their points,
            and the project's baseline.
        overwrite: Replace records at the target also where they are newer.
        delete: Make the target a mirror: delete there what the source does not have. With
            `project`, only of that, and no objects. Nothing is deleted if anything failed.
        dry_run: Only report what would be done.
        progress: Is called with the number of items done, and with None.

    Raises:
        InvalidArgumentError: The places overlap, or a mirror of nothing is asked for.
        InvalidNameError: No project can have that name.
        StorageError: The source cannot be listed, or nothing can be written to the target.
            What was copied by then is in the error's `__notes__`, as it is if Ctrl-C ends it.
    """
    if project is not None:
        check_name(project)
    require_apart(source, target)
    job = Job(source, target, project, overwrite, dry_run, Ledger(progress))
    if delete:
        require_something(job)
    try:
        _run(job, delete)
    except BaseException as exc:
        exc.add_note(str(job.ledger.report()))
        raise
    return job.ledger.report()


def _run(job: Job, delete: bool) -> None:
    # Runs are listed first: objects of those that are there are there, and what is written
    # from now on is known to be late.
    selection = select_runs(job)
    _copy_objects(job, selection)
    copy_points(job, lambda folder: job.project is None or folder in selection.folders)
    baselines = list_baselines(job)
    copy_runs(job, selection)
    copy_baselines(job, baselines)
    if job.ledger.wrote(RUNS) and not job.dry_run:
        _copy_collected(job, selection)
    if delete and not job.ledger.failed:
        mirror(job, selection)


def _copy_objects(job: Job, selection: Selection) -> None:
    if job.project is None:
        copy_objects(job)
    else:
        copy_referenced(job, selection.digests)


def _copy_collected(job: Job, selection: Selection) -> None:
    """Copies objects again that were at the target, but went before a run there named them."""
    wait_for_collections(job.target.store.bucket)
    again = replace(job, ledger=Ledger(None))
    _copy_objects(again, selection)
    job.ledger.add_copied(again.ledger)
