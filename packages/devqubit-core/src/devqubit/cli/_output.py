"""What commands print: tables for people, lines for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click

__all__ = [
    "json_line",
    "json_option",
    "one_line",
    "print_json",
    "print_record",
    "print_table",
    "size_text",
]

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")


def json_line(value: object) -> bytes:
    """A value as one line of JSON."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        return text.encode() + b"\n"
    except UnicodeEncodeError:  # half a surrogate pair has no UTF-8, but JSON can escape it
        return json.dumps(value).encode() + b"\n"


def print_json(value: object) -> None:
    """Prints a value as one line of JSON."""
    click.echo(json_line(value), nl=False)


def print_record(record: object, as_json: bool) -> None:
    """Prints a document: over several lines for people, in ASCII as terminals obey the rest."""
    if as_json:
        print_json(record)
    else:
        click.echo(json.dumps(record, indent=2))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str = "") -> None:
    """Prints rows: aligned and under a heading on a terminal, else separated by tabs."""
    texts = [[one_line(cell) for cell in row] for row in rows]
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


def size_text(size: int) -> str:
    """A number of bytes for people, in powers of 1024."""
    number, unit = float(size), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if number < 1024 or unit == "TiB":
            break
        number /= 1024
    return f"{size} B" if unit == "B" else f"{number:.1f} {unit}"


def one_line(cell: object) -> str:
    """A cell's text without what would break its line, or the terminal."""
    text = "" if cell is None else str(cell)
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
