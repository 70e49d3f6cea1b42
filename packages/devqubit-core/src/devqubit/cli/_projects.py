"""`devqubit projects`: the projects that have runs."""

from __future__ import annotations

import click

from devqubit.cli._options import registry_option
from devqubit.cli._output import json_option, print_json, print_table
from devqubit.storage import create_registry

__all__ = ["command"]


@click.command("projects")
@registry_option
@json_option
def command(registry: str | None, as_json: bool) -> None:
    """List the projects, with their runs and their baseline.

    \b
    Example:
    devqubit projects
    """
    with create_registry(registry) as opened:
        baselines = {found["project"]: found["run_id"] for found in opened.list_baselines()}
        names = sorted({*opened.list_projects(), *baselines})
        rows = [(name, opened.count_runs(project=name), baselines.get(name)) for name in names]
    if as_json:
        for row in rows:
            print_json(dict(zip(("project", "runs", "baseline"), row, strict=True)))
    else:
        print_table(("project", "runs", "baseline"), rows)
