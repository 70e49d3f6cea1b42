"""`devqubit groups`: runs that belong together."""

from __future__ import annotations

import click

from devqubit.cli._options import registry_option
from devqubit.cli._output import json_option, print_json, print_table
from devqubit.storage import create_registry

__all__ = ["command"]


@click.command("groups")
@click.option("--project", help="Only groups of this project.")
@click.option("--limit", type=click.IntRange(min=0), default=100, show_default=True)
@registry_option
@json_option
def command(project: str | None, limit: int, registry: str | None, as_json: bool) -> None:
    """List groups of runs, the one with the newest run first.

    \b
    Examples:
    devqubit groups --project bell
    devqubit runs list --group sweep-7
    """
    with create_registry(registry) as opened:
        found = opened.list_groups(project=project, limit=limit)
    if as_json:
        for group in found:
            print_json(group)
        return
    names = ("group_id", "group_name", "project", "run_count", "first_run", "last_run")
    columns = ("group", "name", "project", "runs", "first run", "last run")
    print_table(columns, ([group[name] for name in names] for group in found))
