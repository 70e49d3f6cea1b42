"""Options that several commands take, and the question before something is lost."""

from __future__ import annotations

import sys

import click

from devqubit.errors import InvalidArgumentError

__all__ = ["confirm", "dry_run_option", "registry_option", "store_option", "yes_option"]

store_option = click.option(
    "--store", metavar="URL", help="Where the artifacts are; else DEVQUBIT_STORAGE_URL."
)
registry_option = click.option(
    "--registry", metavar="URL", help="Where the runs are; else DEVQUBIT_REGISTRY_URL."
)
yes_option = click.option("--yes", "-y", is_flag=True, help="Do not ask.")
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
