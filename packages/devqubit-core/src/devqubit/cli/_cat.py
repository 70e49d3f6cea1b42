"""`devqubit cat`: an object to the output."""

from __future__ import annotations

import re
import shutil
import sys
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, BinaryIO, Final, cast

import click

from devqubit.cli._digest import full_digest
from devqubit.cli._options import store_option
from devqubit.errors import InvalidArgumentError
from devqubit.storage import create_store

if TYPE_CHECKING:
    from devqubit.storage import ObjectStore

__all__ = ["command"]

_PIECE: Final = 1024 * 1024
# Control characters, C1 as UTF-8 too; not tabs and line ends.
_OBEYED: Final = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\xc2[\x80-\x9f]")


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
        found = full_digest(opened, digest)
        if sys.stdout.isatty():
            _show(opened, found)
            return
        opened.get_file(found, cast("BinaryIO", sys.stdout.buffer))
        sys.stdout.buffer.flush()


def _show(store: ObjectStore, digest: str) -> None:
    """Prints an object on a terminal, which would obey what is no text."""
    with TemporaryFile() as kept:
        store.get_file(digest, cast("BinaryIO", kept))
        kept.seek(0)
        if any(_OBEYED.search(piece) for piece in iter(lambda: kept.read(_PIECE), b"")):
            raise InvalidArgumentError(
                f"{digest} is no text: write it to a file with `devqubit get`, or pipe it on"
            )
        kept.seek(0)
        shutil.copyfileobj(kept, sys.stdout.buffer)
        sys.stdout.buffer.flush()
