"""The bars of `_progress`, as rich draws them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from devqubit.cli._progress import Told, Unit

__all__ = ["drawn"]


@contextmanager
def drawn(description: str, unit: Unit) -> Iterator[Told]:
    """A bar that is gone when the block ends."""
    counts = {
        "B": (DownloadColumn(), TransferSpeedColumn()),
        "items": (MofNCompleteColumn(), _Rate()),
    }
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), *counts[unit])
    console = Console(stderr=True)
    with Progress(
        *columns,
        TimeRemainingColumn(),
        console=console,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    ) as bars:
        bar = bars.add_task(description, total=None)
        yield lambda done, total: bars.update(bar, completed=done, total=total)


class _Rate(ProgressColumn):
    """Items a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f}/s", style="progress.data.speed")
