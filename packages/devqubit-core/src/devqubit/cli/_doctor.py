"""`devqubit doctor`: whether a place can be used, and what to do if not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from devqubit.cli._exit_codes import PROBLEM
from devqubit.cli._options import registry_option, store_option
from devqubit.cli._output import json_option, print_json, print_table
from devqubit.errors import InvalidArgumentError
from devqubit.maintenance import Diagnosis, diagnose
from devqubit.storage import create_registry, create_store

if TYPE_CHECKING:
    from devqubit.plugin import Bucket

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
    healthy = True
    for place, bucket in _buckets(url, store, registry):
        diagnosis = diagnose(bucket)
        healthy = healthy and diagnosis.healthy
        _print(place, diagnosis, as_json)
    if not healthy:
        click.get_current_context().exit(PROBLEM)


def _buckets(
    url: str | None, store: str | None, registry: str | None
) -> Iterator[tuple[str, Bucket]]:
    with create_registry(url or registry) as opened:
        yield "registry", opened.bucket
    if url is None:
        with create_store(store) as objects:
            yield "store", objects.bucket


def _print(place: str, diagnosis: Diagnosis, as_json: bool) -> None:
    if as_json:
        for check in diagnosis.checks:
            print_json({"place": place, "location": diagnosis.location, **asdict(check)})
        return
    rows = ((place, c.name, c.status, c.found, c.advice) for c in diagnosis.checks)
    columns = ("place", "check", "status", "found", "what to do")
    print_table(columns, rows, title=diagnosis.location)
