"""`devqubit prune`: old runs, deleted."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from devqubit.cli._durations import duration
from devqubit.cli._options import confirm, dry_run_option, registry_option, yes_option
from devqubit.cli._output import json_option, print_json, print_table
from devqubit.cli._progress import progress
from devqubit.maintenance import prune_runs
from devqubit.storage import create_registry

if TYPE_CHECKING:
    from devqubit.maintenance import PrunedRun
    from devqubit.storage import Registry

__all__ = ["command"]


@click.command("prune")
@click.option("--project", help="Only runs of this project.")
@click.option("--status", help="Only RUNNING, FINISHED, FAILED or KILLED ones.")
@click.option(
    "--older-than", type=duration, metavar="TIME", help="Only runs created longer ago, such as 90d."
)
@click.option("--keep", type=click.IntRange(0), default=0, help="The newest of each project stay.")
@registry_option
@yes_option
@dry_run_option
@json_option
def command(
    project: str | None,
    status: str | None,
    older_than: timedelta | None,
    keep: int,
    registry: str | None,
    yes: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Delete old runs and their metric points; baselines stay, and so do artifacts until gc.

    Shows the runs and asks before it deletes them.

    \b
    Examples:
    devqubit prune --project bell --older-than 90d --keep 100 --dry-run
    devqubit prune --status FAILED --older-than 4w --yes
    """
    with create_registry(registry) as opened:
        found: list[PrunedRun] = []
        prune_runs(
            opened,
            project=project,
            status=status,
            older_than=older_than,
            keep=keep,
            each=found.append,
        )
        if not as_json:
            names = ("run_id", "project", "status", "created_at")
            print_table(("run", *names[1:]), ([asdict(r)[name] for name in names] for r in found))
        if not dry_run and found:
            confirm(f"Delete {len(found):,} run(s) in {opened.location}?", yes)
            found = _prune(opened, project, status, older_than, keep)
    if as_json:
        for run in found:
            print_json(asdict(run))
    elif not dry_run:
        deleted = sum(run.deleted for run in found)
        click.echo(f"Deleted {deleted:,} of {len(found):,} run(s)", err=True)


def _prune(
    registry: Registry,
    project: str | None,
    status: str | None,
    older_than: timedelta | None,
    keep: int,
) -> list[PrunedRun]:
    found: list[PrunedRun] = []
    with progress("Deleting", unit="items") as draw:
        try:
            prune_runs(
                registry,
                project=project,
                status=status,
                older_than=older_than,
                keep=keep,
                dry_run=False,
                each=found.append,
                progress=draw,
            )
        except BaseException:
            deleted = sum(run.deleted for run in found)
            click.echo(f"Deleted {deleted:,} run(s) before that", err=True)
            raise
    return found
