"""Bars for long work: on a terminal's error output, and nowhere else."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

__all__ = ["Told", "Unit", "before_line", "progress"]

Told = Callable[[int, int | None], object]
"""What the work calls with how much is done, and with how much there is, if that is known."""

Unit = Literal["B", "items"]


def progress(description: str, *, unit: Unit) -> AbstractContextManager[Told]:
    """A bar with rate and time left, for as long as the block runs.

    Args:
        description: What is being done.
        unit: What is counted, bytes or items.
    """
    if not sys.stderr.isatty():
        return nullcontext(lambda done, total: None)
    from devqubit.cli._bars import drawn  # slow to import, and of no use to programs

    return drawn(description, unit)


def before_line() -> None:
    """Takes the bar off the line that something else is printed on; it is drawn again below."""
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[2K")
        sys.stderr.flush()
