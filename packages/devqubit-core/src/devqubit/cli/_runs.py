"""`devqubit runs`: look at runs, delete them, and write them out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import click

from devqubit.cli._options import (
    confirm,
    dry_run_option,
    force_option,
    registry_option,
    require_new,
    yes_option,
)
from devqubit.cli._output import json_line, json_option, print_json, print_record, print_table
from devqubit.errors import InvalidArgumentError
from devqubit.storage import create_registry

if TYPE_CHECKING:
    from devqubit.storage import Registry, RunRecord

__all__ = ["command"]

COLUMNS = ("run", "project", "name", "status", "adapter", "created")

limit_option = click.option(
    "--limit", type=click.IntRange(min=0), default=100, show_default=True, help="How many at most."
)
status_option = click.option(
    "--status",
    type=click.Choice(["RUNNING", "FINISHED", "FAILED", "KILLED"], case_sensitive=False),
    help="Only runs with this status.",
)
offset_option = click.option(
    "--offset", type=click.IntRange(min=0), default=0, help="How many to pass over first."
)


@click.group("runs")
def command() -> None:
    """Look at runs, delete them, and write them out.

    \b
    Examples:
    devqubit runs list --project bell
    devqubit runs search "metric.fidelity > 0.95 and params.shots = 4096"
    devqubit runs show 01HZX3
    """


def _filters(function: Callable[..., None]) -> Callable[..., None]:
    """The filters of `Registry.list_runs`."""
    for option in reversed(
        (
            click.option("--project", help="Only runs of this project."),
            click.option("--name", help="Only runs of this name."),
            click.option("--adapter", help="Only runs of this SDK, such as qiskit."),
            status_option,
            click.option("--backend", "backend_name", help="Only runs on this device."),
            click.option("--fingerprint", help="Only runs with this fingerprint."),
            click.option("--commit", "git_commit", help="Only runs at this commit."),
            click.option("--group", "group_id", help="Only runs of this group."),
            click.option("--after", "created_after", metavar="TIME", help="Only later ones."),
            click.option("--before", "created_before", metavar="TIME", help="Only earlier ones."),
        )
    ):
        function = option(function)
    return function


@command.command("list")
@_filters
@limit_option
@offset_option
@registry_option
@json_option
def list_runs(registry: str | None, as_json: bool, **filters: Any) -> None:
    """List runs, newest first.

    TIME is ISO 8601, such as 2026-01-31 or 2026-01-31T12:00:00Z.

    \b
    Examples:
    devqubit runs list --project bell --status FINISHED
    devqubit runs list --after 2026-01-31 --json
    """
    with create_registry(registry) as opened:
        found = opened.list_runs(**filters)
    if as_json:
        for run in found:
            print_json(run)
    else:
        names = ("run_id", "project", "run_name", "status", "adapter", "created_at")
        print_table(COLUMNS, ([dict(run)[name] for name in names] for run in found))


@command.command("search")
@click.argument("query")
@click.option("--sort", "sort_by", metavar="FIELD", help="By this field, not by creation.")
@click.option("--ascending", is_flag=True, help="Smallest, or oldest, first.")
@limit_option
@offset_option
@registry_option
@json_option
def search_runs(
    query: str, registry: str | None, as_json: bool, ascending: bool, **arguments: Any
) -> None:
    """Search runs with a QUERY: FIELD OPERATOR VALUE, joined by and, or, not.

    Operators are = != > >= < <= ~ (holds the text) and exists. Fields are params.*,
    metric.*, tag.*, project, adapter, status, backend, fingerprint, created_at, ended_at,
    name and group.

    \b
    Examples:
    devqubit runs search "metric.fidelity > 0.95 and not tag.draft exists"
    devqubit runs search "params.shots >= 1000" --sort metric.fidelity --json
    """
    with create_registry(registry) as opened:
        found = opened.search_runs(query, descending=not ascending, **arguments)
    if as_json:
        for run in found:
            print_json(run.record)
        return
    print_table(COLUMNS, map(_cells, found))


@command.command("show")
@click.argument("run_ids", nargs=-1, required=True, metavar="RUN...")
@registry_option
@json_option
def show_runs(run_ids: tuple[str, ...], registry: str | None, as_json: bool) -> None:
    """Show the whole records of runs, as they are in the bucket now.

    \b
    Examples:
    devqubit runs show 01HZX3
    devqubit runs show 01HZX3 --json | jq .data.metrics
    """
    with create_registry(registry) as opened:
        for run_id in run_ids:
            print_record(opened.load(run_id).record, as_json)


@command.command("delete")
@click.argument("run_ids", nargs=-1, required=True, metavar="RUN...")
@registry_option
@yes_option
@dry_run_option
@json_option
def delete_runs(
    run_ids: tuple[str, ...], registry: str | None, yes: bool, dry_run: bool, as_json: bool
) -> None:
    """Delete runs and their metric points. Artifacts stay until `devqubit gc`.

    A run that is the baseline of a project is refused: set or clear that first.

    \b
    Examples:
    devqubit runs delete 01HZX3 01HZX4 --dry-run
    devqubit runs delete 01HZX3 --yes
    """
    with create_registry(registry) as opened:
        runs = [opened.load(run_id) for run_id in dict.fromkeys(run_ids)]
        _refuse_baselines(opened, runs)
        if not as_json:
            print_table(COLUMNS, map(_cells, runs))
        if not dry_run:
            confirm(f"Delete {len(runs)} run(s) in {opened.location}?", yes)
        count = 0
        try:
            for run in runs:
                deleted = not dry_run and opened.delete(run.run_id)
                count += deleted
                if as_json:
                    print_json({"run_id": run.run_id, "deleted": deleted})
        finally:  # also where it is interrupted, or the backend fails half way
            if not dry_run and not as_json:
                click.echo(f"Deleted {count} of {len(runs)} run(s)", err=True)


@command.command("export")
@click.option("--project", help="Only runs of this project.")
@status_option
@click.option("-o", "--output", type=click.Path(dir_okay=False), help="A file; else the output.")
@force_option
@registry_option
@json_option
def export_runs(
    project: str | None,
    status: str | None,
    output: str | None,
    force: bool,
    registry: str | None,
    as_json: bool,
) -> None:
    """Write records out, one JSON document a line.

    A file appears under its name only when it is whole.

    \b
    Examples:
    devqubit runs export --project bell -o bell.jsonl
    devqubit runs export --status FINISHED | jq .run_id
    """
    from devqubit.storage._transfer import open_target

    if output is not None:
        require_new(output, force)
    with create_registry(registry) as opened:
        records = (run.record for run in opened.iter_runs(project=project, status=status))
        if output is None:
            for record in records:
                print_json(record)
            return
        with open_target(output) as file:
            count = sum(1 for record in records if file.write(json_line(record)))
    if as_json:
        print_json({"output": output, "runs": count})
    else:
        click.echo(f"Wrote {count:,} runs to {output}", err=True)


def _cells(run: RunRecord) -> tuple[str, ...]:
    name = run.run_name or ""
    return run.run_id, run.project, name, run.status, run.adapter, run.created_at


def _refuse_baselines(registry: Registry, runs: Iterable[RunRecord]) -> None:
    projects = {run.run_id: run.project for run in runs}
    for baseline in registry.list_baselines():
        if baseline["run_id"] in projects:
            raise InvalidArgumentError(
                f"Run {baseline['run_id']} is the baseline of {baseline['project']!r}: set "
                "another first, or clear it with `devqubit baseline clear`"
            )
