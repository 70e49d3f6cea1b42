"""How long a script waits before it has a store: importing `create_store` and opening one."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks._measure import Comparison, Skipped, Usage, interleaved
from benchmarks._setup import Setup

__all__ = ["startup"]

TARGET: Final = 0.65
_JOB: Final = "startup"
_NOTHING: Final = "pass"
_FIGURES: Final[tuple[tuple[str, Callable[[Usage], float], float | None], ...]] = (
    ("wall", lambda usage: usage.wall, TARGET),
    ("CPU", lambda usage: usage.cpu, None),  # steadier than the clock
)


def startup(setup: Setup) -> list[Comparison | Skipped]:
    """A process that opens a local store, less a process that does nothing."""
    rival = setup.rival
    if rival is None:
        return [Skipped(_JOB, "no devqubit-engine to compare with: give --rival-python")]
    url = f"file://{setup.folder / 'store'}"
    code = f"from devqubit.storage import create_store; create_store({url!r})"
    bytecode = setup.folder / "bytecode"
    taken = interleaved(
        {
            "ours": _process(sys.executable, code, bytecode),
            "theirs": _process(rival.python, code, bytecode),
            "our nothing": _process(sys.executable, _NOTHING, bytecode),
            "their nothing": _process(rival.python, _NOTHING, bytecode),
        }
    )
    return [
        Comparison(
            job=_JOB,
            figure=f"create_store, {figure}",
            unit="s",
            rival=rival.name,
            ours=_above(taken["our nothing"], taken["ours"], seconds),
            theirs=_above(taken["their nothing"], taken["theirs"], seconds),
            target=target,
        )
        for figure, seconds, target in _FIGURES
    ]


def _above(
    nothing: Sequence[Usage], something: Sequence[Usage], seconds: Callable[[Usage], float]
) -> tuple[float, ...]:
    """Each process's time above the median of those that do nothing in the same Python.

    Single differences would add the noise of both.
    """
    least = median(map(seconds, nothing))
    return tuple(seconds(usage) - least for usage in something)


def _process(python: str, code: str, bytecode: Path) -> Callable[[], Usage]:
    """A process of some code, its imports compiled by the round that is not counted.

    Otherwise a checkout would be compiled at each start where PYTHONDONTWRITEBYTECODE is
    set, and an installed wheel, which pip compiled, would not.
    """
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(bytecode)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)

    def run() -> Usage:
        start = time.perf_counter()
        pid = os.posix_spawn(python, [python, "-c", code], environment)
        _, status, used = os.wait4(pid, 0)
        wall = time.perf_counter() - start
        if status != 0:
            raise RuntimeError(f"{python} failed at: {code}")
        return Usage(wall, used.ru_utime + used.ru_stime)

    return run
