"""`devqubit doctor`: whether a place can be used, and what to do if not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import click

from devqubit.cli._exit_codes import PROBLEM
from devqubit.cli._options import registry_option, store_option
from devqubit.cli._output import json_option, print_json, print_table
from devqubit.errors import DevQubitError, InvalidArgumentError
from devqubit.maintenance import Diagnosis, diagnose
from devqubit.storage import ObjectStore, Registry, create_registry, create_store

__all__ = ["command"]


@click.command("doctor")
@click.argument("url", required=False)
@store_option
@registry_option
@json_option
def command(url: str | None, store: str | None, registry: str | None, as_json: bool) -> None:
    """Try what devqubit does at URL, or in the registry and store of the environment.

    Some hundred small requests; what they write is gone at the end. Exit code 1 if there is a
    problem.

    \b
    Examples:
    devqubit doctor s3://my-bucket/devqubit
    devqubit doctor --json
    """
    if url is not None and (store or registry):
        raise InvalidArgumentError("Give a URL, or --store and --registry, not both")
    places: list[tuple[str, Callable[[str | None], ObjectStore | Registry], str | None]]
    places = [("registry", create_registry, url or registry)]
    if url is None:
        places.append(("store", create_store, store))
    healthy, failed = True, []
    for place, create, where in places:
        try:
            with create(where) as opened:
                diagnosis = diagnose(opened.bucket)
        except DevQubitError as exc:  # the other place may be all right
            failed.append(exc)
            continue
        healthy = healthy and diagnosis.healthy
        _print(place, diagnosis, as_json)
    for error in failed[1:]:
        click.echo(f"Error: {error}", err=True)
    if failed:
        raise failed[0]
    if not healthy:
        click.get_current_context().exit(PROBLEM)


def _print(place: str, diagnosis: Diagnosis, as_json: bool) -> None:
    if as_json:
        for check in diagnosis.checks:
            print_json({"place": place, "location": diagnosis.location, **asdict(check)})
        return
    rows = ((place, c.name, c.status, c.found, c.advice) for c in diagnosis.checks)
    columns = ("place", "check", "status", "found", "what to do")
    print_table(columns, rows, title=diagnosis.location)
