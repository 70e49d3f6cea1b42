"""`devqubit backends`: which schemes there are, and what serves them."""

from __future__ import annotations

from collections.abc import Iterable

import click

from devqubit.cli._output import json_option, print_json, print_table
from devqubit.plugin import Parameter
from devqubit.storage import BackendInfo, available_backends

__all__ = ["command"]


@click.command("backends")
@click.argument("schemes", nargs=-1, metavar="[SCHEME]...")
@click.option("--load", is_flag=True, help="Try all of them, with the SDKs they need.")
@json_option
def command(schemes: tuple[str, ...], load: bool, as_json: bool) -> None:
    """List the backends, or show those of SCHEMEs with their URL parameters.

    \b
    Examples:
    devqubit backends
    devqubit backends s3
    """
    found = available_backends(*schemes, load=load or bool(schemes))
    if as_json:
        for info in found:
            print_json(_as_json(info))
    else:
        _print(found, parameters=bool(schemes))


def _print(found: Iterable[BackendInfo], *, parameters: bool) -> None:
    columns = ("scheme", "status", "distribution", "version", "where", "what")
    print_table(
        columns,
        (
            (i.scheme, i.status, i.distribution, i.version, i.where, i.reason or i.summary)
            for i in found
        ),
    )
    for info in found if parameters else ():
        print_table(
            ("parameter", "type", "what", "example"),
            ((p.name, p.type.__name__, _help(p), p.example) for p in info.parameters),
            title=f"{info.scheme}://",
        )


def _help(parameter: Parameter) -> str:
    choices = f" ({', '.join(parameter.choices)})" if parameter.choices else ""
    return f"{parameter.help}{choices}"


def _as_json(info: BackendInfo) -> dict[str, object]:
    """The backend with what JSON has."""
    parameters = [
        {"name": p.name, "type": p.type.__name__, "help": p.help, "example": p.example}
        | ({"choices": p.choices} if p.choices else {})
        for p in info.parameters
    ]
    names = ("scheme", "distribution", "version", "where", "status", "reason", "summary")
    return {name: getattr(info, name) for name in names} | {"parameters": parameters}
