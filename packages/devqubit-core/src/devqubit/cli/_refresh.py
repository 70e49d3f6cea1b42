"""`devqubit refresh`: the local index, brought up to the bucket."""

from __future__ import annotations

from dataclasses import asdict

import click

from devqubit.cli._exit_codes import PROBLEM
from devqubit.cli._options import registry_option
from devqubit.cli._output import json_option, print_json, print_table
from devqubit.storage import create_registry

__all__ = ["command"]


@click.command("refresh")
@registry_option
@json_option
def command(registry: str | None, as_json: bool) -> None:
    """Bring the index up to the bucket now, and show the files that hold no readable run.

    Exit code 1 if there are such files.

    \b
    Example:
    devqubit refresh --registry s3://my-bucket/devqubit
    """
    with create_registry(registry, max_staleness=None) as opened:
        done = opened.refresh()
        problems = opened.problems()
    if as_json:
        print_json({**asdict(done), "problems": [asdict(problem) for problem in problems]})
    else:
        click.echo(
            f"{done.listed:,} runs: {done.added:,} new, {done.changed:,} changed, "
            f"{done.removed:,} gone, {len(problems):,} unreadable, in {done.seconds:.1f} s"
        )
        if problems:
            print_table(("file", "problem"), ((p.key, p.reason) for p in problems))
    if problems:
        click.get_current_context().exit(PROBLEM)
