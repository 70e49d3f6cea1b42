"""Measures one thing beside another, in turns, and says how they compare.

It imports the standard library only, because `_blocks` also runs in a rival's Python.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final, TypeVar

__all__ = [
    "ROUNDS",
    "Comparison",
    "Figure",
    "Skipped",
    "Spread",
    "Usage",
    "interleaved",
    "peak_memory",
    "timed",
    "usage_of",
]

T = TypeVar("T")

ROUNDS: Final = 15


@dataclass(frozen=True, slots=True)
class Usage:
    """What some work took.

    Attributes:
        wall: Seconds of the clock.
        cpu: Seconds of CPU, user and system, of all threads of the process.
    """

    wall: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Spread:
    """The least, the median and the most of some values."""

    least: float
    median: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """The spread of one or more values."""
        return cls(min(values), median(values), max(values))


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One figure of ours beside one rival's, less being better.

    Attributes:
        job: The job that measured it.
        figure: What was measured, such as `put 4 KiB, CPU`.
        unit: `s`, `MB` or `requests`.
        rival: Whom ours is compared with.
        ours: One value a round.
        theirs: The rival's values, of the same rounds.
        target: The most that `ratio` should be; None if the figure only informs.
    """

    job: str
    figure: str
    unit: str
    rival: str
    ours: tuple[float, ...]
    theirs: tuple[float, ...]
    target: float | None = None

    @property
    def ratio(self) -> float:
        """Our median over the rival's."""
        return median(self.ours) / median(self.theirs)

    @property
    def pairwise(self) -> Spread:
        """Ours over the rival's, round by round."""
        return Spread.of([a / b for a, b in zip(self.ours, self.theirs, strict=True)])

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without one."""
        return None if self.target is None else self.ratio <= self.target


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of ours alone.

    Attributes:
        job: The job that measured it.
        figure: What was measured.
        unit: `s`, `MB`, `bytes` or `requests`.
        value: What it was.
        target: The most that it should be; None if it only informs.
    """

    job: str
    figure: str
    unit: str
    value: float
    target: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without one."""
        return None if self.target is None else self.value <= self.target


@dataclass(frozen=True, slots=True)
class Skipped:
    """A part of a job that could not be measured.

    Attributes:
        job: The job.
        reason: Why, and what to do about it.
    """

    job: str
    reason: str


def interleaved(
    contenders: Mapping[str, Callable[[], Usage]], rounds: int = ROUNDS
) -> dict[str, tuple[Usage, ...]]:
    """Lets contenders take turns, another one going first in each round.

    So what drifts or disturbs hits all of them, and none always follows the same one. A
    round before the first warms caches and lazy imports up, and is not counted.

    Args:
        contenders: By name, what does a block of work and says what it took.
        rounds: How often each is called for a counted block.
    """
    taken: dict[str, list[Usage]] = {name: [] for name in contenders}
    order = list(contenders)
    for number in range(rounds + 1):
        for name in order:
            usage = contenders[name]()
            if number > 0:
                taken[name].append(usage)
        order.append(order.pop(0))
    return {name: tuple(usages) for name, usages in taken.items()}


def timed(call: Callable[[T], object], arguments: Iterable[T]) -> Usage:
    """What one call takes on average, over a call for each argument."""
    prepared = list(arguments)

    def block() -> None:
        for argument in prepared:
            call(argument)

    return usage_of(block, len(prepared))


def usage_of(block: Callable[[], object], parts: int = 1) -> Usage:
    """What a block of work takes, divided by the number of its parts."""
    gc.collect()  # one contender does not sweep up after another
    wall, cpu = time.perf_counter(), time.process_time()
    block()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return Usage(wall / parts, cpu / parts)


def peak_memory() -> float:
    """The most memory this process has had, in MB; getrusage tells its parent's, too."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if "VmHWM" in line) / 1024
