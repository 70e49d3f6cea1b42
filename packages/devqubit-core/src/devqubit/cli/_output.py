"""What commands print: tables for people, lines for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click

__all__ = ["json_option", "print_json", "print_table"]

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")


def print_json(value: object) -> None:
    """Prints a value as one line of JSON."""
    click.echo(json.dumps(value, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str = "") -> None:
    """Prints rows: aligned and under a heading on a terminal, else separated by tabs."""
    texts = [[_line(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        for row in texts:
            click.echo("\t".join(row))
        return
    from rich import box  # slow to import, and of no use to programs
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in texts:
        cells: list[Any] = [Text(cell) for cell in row]  # names are no markup
        table.add_row(*cells)
    Console().print(table)


def _line(cell: object) -> str:
    """A cell's text without what would break its line, or the terminal."""
    text = "" if cell is None else str(cell)
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
