"""`devqubit copy`: everything, or one project, from one place to another."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from devqubit.cli._exit_codes import PROBLEM
from devqubit.cli._options import confirm, dry_run_option, yes_option
from devqubit.cli._output import json_option, print_json, print_table
from devqubit.cli._progress import progress
from devqubit.errors import DevQubitError
from devqubit.maintenance import copy, open_place, open_workspace
from devqubit.maintenance._workspace import DATABASE, is_workspace
from devqubit.storage._url import parse_url

if TYPE_CHECKING:
    from devqubit.maintenance import CopyReport, Place

__all__ = ["command"]

KINDS = ("objects", "points", "runs", "baselines")
COUNTS = ("copied", "replaced", "present", "conflicts", "failed", "deleted", "bytes")


@click.command("copy")
@click.argument("source", metavar="SRC")
@click.argument("target", metavar="DST")
@click.option("--src-store", metavar="URL", help="SRC's objects; else in or below SRC.")
@click.option("--dst-store", metavar="URL", help="DST's objects; else as SRC has them.")
@click.option("--project", help="Only the runs of this project, and what they refer to.")
@click.option("--overwrite", is_flag=True, help="Replace records at DST also if they are newer.")
@click.option("--delete", is_flag=True, help="Delete at DST what SRC does not have.")
@yes_option
@dry_run_option
@json_option
def command(
    source: str,
    target: str,
    src_store: str | None,
    dst_store: str | None,
    yes: bool,
    dry_run: bool,
    as_json: bool,
    **what: Any,
) -> None:
    """Copy objects, metric points, runs and baselines from SRC to DST.

    SRC and DST are URLs or folders of registries. SRC may be a workspace of devqubit 0.1.12,
    with its registry.db. Only what DST lacks or has otherwise is copied: after an interruption,
    start it again. Exit code 1 if something could not be copied.

    \b
    Examples:
    devqubit copy ~/.devqubit s3://my-bucket/lab
    devqubit copy s3://my-bucket/lab gs://backup/lab --delete --dry-run
    devqubit copy s3://my-bucket/lab ./bell --project bell
    """
    with _open_source(source, src_store) as ours:
        if dst_store is None and ours.store.location == ours.registry.location:
            dst_store = _beside(target)
        with open_place(target, store=dst_store) as theirs:
            if what["delete"] and not dry_run:
                _ask(ours, theirs, yes, what)
            report = _copy(ours, theirs, dry_run=dry_run, **what)
    _print(report, as_json)
    if dry_run and not as_json:
        click.echo("Nothing was changed", err=True)
    if not report.complete:
        click.get_current_context().exit(PROBLEM)


@contextmanager
def _open_source(source: str, store: str | None) -> Iterator[Place]:
    url = parse_url(source)
    if url.scheme == "file" and is_workspace(url.prefix):
        with open_workspace(url.prefix, store=store) as place:
            yield place
        return
    if url.scheme == "file" and os.path.isfile(old := os.path.join(url.prefix, DATABASE)):
        click.echo(f"Copying the runs beside {old}; those in it: devqubit copy {old}", err=True)
    with open_place(source, store=store) as place:
        yield place


def _beside(target: str) -> str | None:
    """The target itself as its store, if it does not have one yet."""
    with open_place(target) as place:
        return target if next(iter(place.store.list_digests()), None) is None else None


def _ask(source: Place, target: Place, yes: bool, what: dict[str, Any]) -> None:
    if yes:
        return
    planned = copy(source, target, dry_run=True, **what)
    counts = ", ".join(f"{getattr(planned, kind).deleted:,} {kind}" for kind in KINDS)
    confirm(f"Delete {counts} in {target.registry.location}?", yes)


def _copy(source: Place, target: Place, **what: Any) -> CopyReport:
    with progress("Copying", unit="items") as told:
        try:
            return copy(source, target, progress=told, **what)
        except (DevQubitError, OSError, KeyboardInterrupt) as exc:
            for note in getattr(exc, "__notes__", ()):
                click.echo(note, err=True)
            raise


def _print(report: CopyReport, as_json: bool) -> None:
    counts = {
        kind: {count: getattr(getattr(report, kind), count) for count in COUNTS} for kind in KINDS
    }
    if as_json:
        problems = [{"key": problem.key, "reason": problem.reason} for problem in report.problems]
        print_json({**counts, "problems": problems, "seconds": round(report.seconds, 3)})
        return
    print_table(("", *COUNTS), ((kind, *found.values()) for kind, found in counts.items()))
    if not any(any(found.values()) for found in counts.values()):
        click.echo("SRC is empty: there is nothing to copy", err=True)
    for problem in report.problems:
        click.echo(f"{problem.key}: {problem.reason}", err=True)
