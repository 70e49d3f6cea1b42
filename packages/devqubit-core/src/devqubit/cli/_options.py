"""Options that several commands take, and the question before something is lost."""

from __future__ import annotations

import os
import sys

import click

from devqubit.errors import InvalidArgumentError

__all__ = [
    "confirm",
    "dry_run_option",
    "force_option",
    "registry_option",
    "require_new",
    "store_option",
    "yes_option",
]

store_option = click.option(
    "--store", metavar="URL", help="Where the artifacts are; else DEVQUBIT_STORAGE_URL."
)
registry_option = click.option(
    "--registry", metavar="URL", help="Where the runs are; else DEVQUBIT_REGISTRY_URL."
)
yes_option = click.option("--yes", "-y", is_flag=True, help="Do not ask.")
force_option = click.option("--force", is_flag=True, help="Replace a file that is there.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Only show what would be done.")


def confirm(question: str, yes: bool) -> None:
    """Asks on the terminal, unless `yes` was said before.

    Raises:
        click.Abort: The answer is no.
        InvalidArgumentError: Nobody is there to ask.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise InvalidArgumentError(f"{question} Nobody is there to ask: add --yes, or --dry-run")
    click.confirm(question, abort=True, err=True)


def require_new(path: str, force: bool) -> None:
    """Sees that a file to be written replaces none, unless that is meant, and has a folder.

    Raises:
        InvalidArgumentError: It is there, or its folder is not.
    """
    if os.path.lexists(path) and not force:
        raise InvalidArgumentError(f"{path} is there already: add --force, or name another with -o")
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise InvalidArgumentError(f"{folder} is no folder: make it, or name another with -o")
