"""The `devqubit` command: each subcommand is in a module of its own, imported when asked for."""

from __future__ import annotations

import errno
from importlib import import_module
from typing import Any, Final

import click

from devqubit import __version__
from devqubit.cli._exit_codes import BACKEND_FAILURE, INTERRUPTED, USAGE
from devqubit.errors import DevQubitError, InvalidArgumentError, UnknownSchemeError

__all__ = ["main"]

_MISTYPED: Final = (InvalidArgumentError, UnknownSchemeError)
# Each is in the module of its name; in the order in which they are listed.
_COMMANDS: Final = {
    "info": "What serves the store and the registry, and what is in them.",
    "doctor": "Whether a place can be used, and what to do if not.",
    "backends": "Which URL schemes there are, and what serves them.",
    "config": "Where things are when nothing is said.",
    "runs": "List, search, show, export and delete runs.",
    "projects": "List the projects.",
    "groups": "List groups of runs.",
    "baseline": "Runs that projects compare others with.",
    "refresh": "Bring the local index up to the bucket.",
    "put": "Store files.",
    "get": "Read an object into a file.",
    "cat": "Print an object.",
    "ls": "List objects.",
    "verify": "Find what is damaged, missing or left over.",
    "gc": "Delete objects that no run refers to.",
    "prune": "Delete old runs.",
    "copy": "Copy runs and objects to another place.",
    "completion": "Complete commands and options in a shell.",
}


class _Group(click.Group):
    """Finds the subcommands, and makes one line of each error of ours."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = import_module(f"{__name__}._{cmd_name}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in _COMMANDS and not name.startswith("-") and not ctx.resilient_parsing:
            from difflib import get_close_matches  # click knows only commands that are imported

            close = "".join(f" Did you mean '{c}'?" for c in get_close_matches(name, _COMMANDS, 1))
            raise click.UsageError(f"No such command {name!r}.{close}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))  # nothing is imported for it

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("Interrupted", err=True)
            ctx.exit(INTERRUPTED)
        except DevQubitError as exc:
            _tell(exc, ctx.params["debug"])
            ctx.exit(USAGE if isinstance(exc, _MISTYPED) else BACKEND_FAILURE)
        except OSError as exc:
            if exc.errno == errno.EPIPE:
                raise  # click ends quietly when nobody reads on, as in `| head`
            _tell(exc, ctx.params["debug"])
            ctx.exit(BACKEND_FAILURE)


def _tell(exc: Exception, debug: bool) -> None:
    """One line; with --debug the traceback, and the same exit code as without."""
    if debug:
        import traceback

        traceback.print_exception(exc)
    else:
        click.echo(f"Error: {exc}", err=True)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, package_name="devqubit-core")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(debug: bool) -> None:
    """Artifacts and run records of quantum experiments, at a URL.

    Exit codes: 0 done, 1 a problem was found, 2 usage, 3 the backend failed or has no such thing,
    130 interrupted.
    """
