"""`devqubit completion`: what a shell needs to complete commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

__all__ = ["command"]


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the script that completes commands and options in SHELL.

    \b
    Examples:
    eval "$(devqubit completion bash)"                                      in ~/.bashrc
    eval "$(devqubit completion zsh)"                                       in ~/.zshrc
    devqubit completion fish > ~/.config/fish/completions/devqubit.fish     once
    """
    made = get_completion_class(shell)
    root = click.get_current_context().find_root().command
    if made is None:  # click has it, or a plugin of click's took it away
        raise click.UsageError(f"click knows no {shell}")
    click.echo(made(root, {}, "devqubit", "_DEVQUBIT_COMPLETE").source())
