"""`devqubit put`: files into the store."""

from __future__ import annotations

import sys
from typing import BinaryIO, cast

import click

from devqubit.cli._options import store_option
from devqubit.cli._output import json_option, print_json
from devqubit.cli._progress import progress
from devqubit.storage import create_store

__all__ = ["command"]


@click.command("put")
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, allow_dash=True)
)
@store_option
@json_option
def command(files: tuple[str, ...], store: str | None, as_json: bool) -> None:
    r"""Store each FILE (`-` is the input), and print its digest and name.

    What is there already is not sent again.

    \b
    Examples:
    devqubit put bell.qasm counts.json
    devqubit put statevector.npy --store s3://my-bucket/devqubit/objects
    """
    with create_store(store) as opened:
        for name in files:
            source = cast("BinaryIO", sys.stdin.buffer) if name == "-" else name
            with progress(name, unit="B") as told:
                digest = opened.put_file(source, progress=told)
            if as_json:
                print_json({"digest": digest, "name": name})
            else:
                click.echo(f"{digest}  {name}")
