"""`devqubit cat`: an object to the output."""

from __future__ import annotations

import sys
from typing import BinaryIO, cast

import click

from devqubit.cli._digest import full_digest
from devqubit.cli._options import store_option
from devqubit.storage import create_store

__all__ = ["command"]


@click.command("cat")
@click.argument("digest")
@store_option
def command(digest: str, store: str | None) -> None:
    """Print an object; nothing of it before all is read and verified.

    It waits on this machine's disk until then. DIGEST as for `devqubit get`.

    \b
    Examples:
    devqubit cat 9f86d081 | jq .
    devqubit cat sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    """
    with create_store(store) as opened:
        opened.get_file(full_digest(opened, digest), cast("BinaryIO", sys.stdout.buffer))
        sys.stdout.buffer.flush()
