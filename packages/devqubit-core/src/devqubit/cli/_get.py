"""`devqubit get`: an object into a file."""

from __future__ import annotations

import os

import click

from devqubit.cli._digest import full_digest
from devqubit.cli._options import force_option, require_new, store_option
from devqubit.cli._output import json_option, print_json
from devqubit.cli._progress import progress
from devqubit.storage import create_store

__all__ = ["command"]


@click.command("get")
@click.argument("digest")
@click.option("-o", "--output", type=click.Path(dir_okay=False), help="The file; else the digits.")
@force_option
@store_option
@json_option
def command(digest: str, output: str | None, force: bool, store: str | None, as_json: bool) -> None:
    """Read an object into a file, which appears only when all of it is there and right.

    DIGEST may lack `sha256:`, and be only the first digits if they are those of one object.

    \b
    Examples:
    devqubit get sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    devqubit get 9f86d081 -o counts.json
    """
    with create_store(store) as opened:
        found = full_digest(opened, digest)
        target = output or found.partition(":")[2]
        require_new(target, force)
        with progress(target, unit="B") as told:
            opened.get_file(found, target, progress=told)
    if as_json:
        print_json({"digest": found, "output": target, "bytes": os.path.getsize(target)})
    else:
        click.echo(target)
