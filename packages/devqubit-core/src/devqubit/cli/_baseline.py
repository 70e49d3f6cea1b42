"""`devqubit baseline`: the run that a project compares others with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from devqubit.cli._exit_codes import PROBLEM
from devqubit.cli._options import confirm, dry_run_option, registry_option, yes_option
from devqubit.cli._output import json_option, print_json, print_table
from devqubit.storage import create_registry

if TYPE_CHECKING:
    from devqubit.storage import BaselineInfo

__all__ = ["command"]


@click.group("baseline")
def command() -> None:
    """Set, get, clear or list the runs that projects compare others with.

    \b
    Example:
    devqubit baseline set bell 01HZX3
    """


@command.command("set")
@click.argument("project")
@click.argument("run_id", metavar="RUN")
@registry_option
@json_option
def set_baseline(project: str, run_id: str, registry: str | None, as_json: bool) -> None:
    """Make RUN the baseline of PROJECT.

    \b
    Example:
    devqubit baseline set bell 01HZX3
    """
    with create_registry(registry) as opened:
        opened.set_baseline(project, run_id)
        if as_json:
            print_json(opened.get_baseline(project))


@command.command("get")
@click.argument("project")
@registry_option
@json_option
def get_baseline(project: str, registry: str | None, as_json: bool) -> None:
    """Print the run that is the baseline of PROJECT; exit code 1 if there is none.

    \b
    Example:
    devqubit runs show $(devqubit baseline get bell)
    """
    with create_registry(registry) as opened:
        found = opened.get_baseline(project)
    if found is None:
        click.echo(f"{project!r} has no baseline", err=True)
        click.get_current_context().exit(PROBLEM)
    elif as_json:
        print_json(found)
    else:
        click.echo(found["run_id"])


@command.command("clear")
@click.argument("project")
@registry_option
@yes_option
@dry_run_option
@json_option
def clear_baseline(
    project: str, registry: str | None, yes: bool, dry_run: bool, as_json: bool
) -> None:
    """Remove the baseline of PROJECT; the run stays.

    \b
    Example:
    devqubit baseline clear bell
    """
    with create_registry(registry) as opened:
        found = opened.get_baseline(project)
        if found is not None and not as_json:
            _print([found])
        if found is not None and not dry_run:
            confirm(f"Clear the baseline of {project!r}?", yes)
        cleared = not dry_run and opened.clear_baseline(project)
    if as_json:
        print_json({"project": project, "cleared": cleared})
    elif found is None:
        click.echo(f"{project!r} has no baseline", err=True)


@command.command("list")
@registry_option
@json_option
def list_baselines(registry: str | None, as_json: bool) -> None:
    """List the baselines of all projects.

    \b
    Example:
    devqubit baseline list
    """
    with create_registry(registry) as opened:
        found = opened.list_baselines()
    if as_json:
        for baseline in found:
            print_json(baseline)
    else:
        _print(found)


def _print(found: Iterable[BaselineInfo]) -> None:
    rows = ((b["project"], b["run_id"], b["set_at"]) for b in found)
    print_table(("project", "run", "set"), rows)
