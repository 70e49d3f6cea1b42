"""What a copy did: counted as it goes, and handed over at its end."""

from __future__ import annotations

import enum
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from devqubit.storage._documents import Problem

if TYPE_CHECKING:
    from devqubit.storage._transfer import Progress

__all__ = [
    "BASELINES",
    "OBJECTS",
    "POINTS",
    "RUNS",
    "CopyReport",
    "Done",
    "Ledger",
    "Outcome",
    "Tally",
]

OBJECTS: Final = "objects"
POINTS: Final = "points"
RUNS: Final = "runs"
BASELINES: Final = "baselines"

# More than anybody reads; how many there are is counted all the same.
_NAMED: Final = 1_000


class Outcome(enum.Enum):
    """What became of one item."""

    COPIED = "copied"
    REPLACED = "replaced"
    PRESENT = "present"
    CONFLICT = "conflicts"
    FAILED = "failed"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Done:
    """One item, and what became of it.

    Attributes:
        key: Its key.
        outcome: What became of it.
        size: Bytes that were copied.
        reason: Why it was not.
    """

    key: str
    outcome: Outcome
    size: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Tally:
    """How many items of one kind.

    Attributes:
        copied: Were not at the target.
        replaced: Were there, older or damaged, and are as at the source now.
        present: Were there already.
        conflicts: Differ, and the target's was changed later: it was kept.
        failed: Could not be copied.
        deleted: Were deleted at the target.
        bytes: Were copied, in all.
    """

    copied: int = 0
    replaced: int = 0
    present: int = 0
    conflicts: int = 0
    failed: int = 0
    deleted: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class CopyReport:
    """What `copy` did, or would do.

    Attributes:
        objects: Artifacts.
        points: Segments of metric points; each has up to 100,000 points of a run.
        runs: Run records.
        baselines: Baselines.
        problems: What failed and what was in conflict, by key with the reason: the first
            1,000.
        seconds: How long it took.
    """

    objects: Tally
    points: Tally
    runs: Tally
    baselines: Tally
    problems: tuple[Problem, ...]
    seconds: float

    @property
    def complete(self) -> bool:
        """Whether the target has all of it."""
        return not self.problems

    def __str__(self) -> str:
        tallies = {OBJECTS: self.objects, POINTS: self.points, RUNS: self.runs}
        tallies[BASELINES] = self.baselines
        done = [
            f"{tally.copied + tally.replaced:,} {kind} ({tally.bytes:,} bytes)"
            for kind, tally in tallies.items()
        ]
        return f"Copied in {self.seconds:.1f} s: {', '.join(done)}"


@dataclass
class Ledger:
    """Counts what is done; used by one thread.

    Args:
        progress: Is told how many items are done.
    """

    progress: Progress | None
    _counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    _problems: list[Problem] = field(default_factory=list)
    _began: float = field(default_factory=time.monotonic)
    _items: int = 0

    def add(self, kind: str, done: Done) -> None:
        """Counts an item."""
        self._items += 1
        self._counts[kind, done.outcome.value] += 1
        self._counts[kind, "bytes"] += done.size
        if done.outcome in (Outcome.FAILED, Outcome.CONFLICT) and len(self._problems) < _NAMED:
            self._problems.append(Problem(done.key, done.reason))
        if self.progress is not None:
            self.progress(self._items, None)

    def add_copied(self, other: Ledger) -> None:
        """Counts what was copied when it was looked at once more, and nothing else of that."""
        for (kind, what), number in other._counts.items():
            if what in (Outcome.COPIED.value, Outcome.REPLACED.value, "bytes"):
                self._counts[kind, what] += number

    def wrote(self, kind: str) -> bool:
        """Whether anything of a kind was written."""
        return any(self._counts[kind, what.value] for what in (Outcome.COPIED, Outcome.REPLACED))

    @property
    def failed(self) -> int:
        """How many items could not be copied."""
        return sum(n for (_, what), n in self._counts.items() if what == Outcome.FAILED.value)

    def report(self) -> CopyReport:
        """What was done so far."""
        return CopyReport(
            objects=self._tally(OBJECTS),
            points=self._tally(POINTS),
            runs=self._tally(RUNS),
            baselines=self._tally(BASELINES),
            problems=tuple(self._problems),
            seconds=time.monotonic() - self._began,
        )

    def _tally(self, kind: str) -> Tally:
        return Tally(**{what: n for (of, what), n in self._counts.items() if of == kind})
