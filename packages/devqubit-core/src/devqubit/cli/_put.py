"""`devqubit put`: files into the store."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import click

from devqubit.cli._exit_codes import BACKEND_FAILURE
from devqubit.cli._options import store_option
from devqubit.cli._output import json_option, one_line, print_json
from devqubit.cli._progress import before_line, progress
from devqubit.storage import create_store

if TYPE_CHECKING:
    from devqubit.storage import ObjectStore

__all__ = ["command"]


@click.command("put")
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, allow_dash=True)
)
@store_option
@json_option
def command(files: tuple[str, ...], store: str | None, as_json: bool) -> None:
    """Store each FILE, or the input (`-`), and print digests and names.

    What is there already is not sent again. Of several files, many are on their way at a time,
    and one that cannot be stored keeps no other from it.

    \b
    Examples:
    devqubit put bell.qasm counts.json
    devqubit put statevector.npy --store s3://my-bucket/devqubit/objects
    """
    if "-" in files and len(files) > 1:
        raise click.UsageError("`-` is stored alone")
    with create_store(store) as opened:
        digests = _put_one(opened, files[0]) if len(files) == 1 else _put_many(opened, files)
        failed = 0
        for name, digest in zip(files, digests, strict=True):
            before_line()
            if not isinstance(digest, str):
                failed += 1
                click.echo(f"Error: {one_line(name)}: {digest}", err=True)
            elif as_json:
                print_json({"digest": digest, "name": name})
            else:
                click.echo(f"{digest}  {one_line(name)}")
    if failed:
        click.get_current_context().exit(BACKEND_FAILURE)


def _put_one(store: ObjectStore, name: str) -> Iterator[str]:
    source = cast("BinaryIO", sys.stdin.buffer) if name == "-" else name
    with progress(name, unit="B") as told:
        digest = store.put_file(source, progress=told)
    yield digest


def _put_many(store: ObjectStore, names: Sequence[str]) -> Iterator[str | Exception]:
    with progress("files", unit="items") as told:
        yield from store.put_many(map(Path, names), errors="return", progress=told)
