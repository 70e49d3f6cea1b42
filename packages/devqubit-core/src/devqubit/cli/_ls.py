"""`devqubit ls`: the objects of a store."""

from __future__ import annotations

import click

from devqubit.cli._options import store_option
from devqubit.cli._output import json_option, print_json, size_text
from devqubit.storage import create_store
from devqubit.storage._digest import ALGORITHM, digest_of_key, object_prefix

__all__ = ["command"]


@click.command("ls")
@click.argument("prefix", default="")
@click.option("-l", "long", is_flag=True, help="Also sizes and times.")
@store_option
@json_option
def command(prefix: str, long: bool, store: str | None, as_json: bool) -> None:
    """List the objects, or those whose digests begin with PREFIX, as they come.

    \b
    Examples:
    devqubit ls
    devqubit ls -l 9f86
    """
    from devqubit.storage._lookup import list_objects

    wanted = prefix if not prefix or prefix.startswith(ALGORITHM) else ALGORITHM + prefix
    with create_store(store) as opened:
        for info in list_objects(opened.bucket, object_prefix(wanted or None)):
            digest = digest_of_key(info.key)
            if digest is None:
                continue
            modified = info.modified.isoformat()
            if as_json:
                print_json({"digest": digest, "bytes": info.size, "modified": modified})
            elif long:
                click.echo(f"{digest}  {size_text(info.size):>10}  {modified}")
            else:
                click.echo(digest)
