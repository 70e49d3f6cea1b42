"""`devqubit gc`: objects that no run refers to, deleted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import click

from devqubit.cli._durations import duration, registries_option
from devqubit.cli._options import confirm, dry_run_option, store_option, yes_option
from devqubit.cli._output import json_option, print_json, print_table, size_text
from devqubit.cli._progress import progress
from devqubit.maintenance import collect_garbage
from devqubit.storage import create_registry, create_store

if TYPE_CHECKING:
    from devqubit.maintenance import GarbageReport

__all__ = ["command"]


@click.command("gc")
@click.option(
    "--grace",
    type=duration,
    metavar="TIME",
    default="24h",
    show_default=True,
    help="Younger ones stay.",
)
@click.option("--allow-empty", is_flag=True, help="Also if a registry has no run at all.")
@click.option("--alone", is_flag=True, help="Nobody writes: for servers without conditions.")
@store_option
@registries_option
@yes_option
@dry_run_option
@json_option
def command(
    grace: timedelta,
    allow_empty: bool,
    alone: bool,
    store: str | None,
    registries: tuple[str, ...],
    yes: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Delete the objects that no run of any project refers to.

    Shows what there is and asks before it deletes. Name every registry that uses the store.

    \b
    Examples:
    devqubit gc --dry-run
    devqubit gc --store s3://lab/objects --registry s3://lab/a --registry s3://lab/b --yes
    """
    with ExitStack() as stack:
        opened = stack.enter_context(create_store(store))
        urls: Sequence[str | None] = registries or (None,)
        runs = [stack.enter_context(create_registry(url)) for url in urls]
        collect = partial(
            collect_garbage, opened, runs, grace=grace, allow_empty=allow_empty, alone=alone
        )
        found = collect()
        if dry_run or (found.garbage and not as_json):
            _print(found, as_json)
        if dry_run:
            return
        if found.garbage:
            confirm(f"Delete {found.garbage:,} object(s) in {opened.location}?", yes)
        _print(_deleted(collect), as_json)


def _deleted(collect: Callable[..., GarbageReport]) -> GarbageReport:
    done = 0
    with progress("Deleting", unit="items") as draw:

        def told(deleted: int, total: int | None) -> None:
            nonlocal done
            done = deleted
            draw(deleted, total)

        try:
            return collect(dry_run=False, progress=told)
        except BaseException:
            click.echo(f"Deleted {done:,} object(s) before that", err=True)
            raise


def _print(report: GarbageReport, as_json: bool) -> None:
    if as_json:
        print_json(asdict(report))
        return
    rows = [
        ("runs", report.runs, ""),
        ("objects", report.objects, ""),
        ("foreign files", report.foreign, ""),
        ("within the grace period", report.young, ""),
        ("garbage", report.garbage, size_text(report.garbage_bytes)),
    ]
    if not report.dry_run:
        rows += [
            ("deleted", report.deleted, size_text(report.deleted_bytes)),
            ("wanted or gone meanwhile", report.kept, ""),
            ("not deleted", report.failed, ""),
            ("broken off and removed", report.swept, ""),
        ]
    print_table(("what", "count", "size"), rows)
