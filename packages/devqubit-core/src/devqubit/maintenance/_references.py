"""Which objects runs refer to, in little memory: 41 bytes an object.

A digest anywhere in a record is a reference, whatever the field, also in those that only other
clients know. Records are the only place that counts: devqubit 0.1.12, too, names every object
that it stores among the artifacts of its run.
"""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from devqubit.errors import CorruptRecordError, InvalidArgumentError

if TYPE_CHECKING:
    from devqubit.storage import Registry

__all__ = ["DigestTable", "mark_references", "references", "require_readable", "several"]

_WIDTH: Final = 32
_REFERENCE = re.compile(r"sha256:([0-9a-f]{64})", re.IGNORECASE)
_SHOWN: Final = 3


class DigestTable:
    """Digests in order, each with the size of its object, and a mark."""

    def __init__(self) -> None:
        self._raw = bytearray()
        self._marks = bytearray()
        self._sizes = array("Q")
        self._sorted = True

    def __len__(self) -> int:
        return len(self._marks)

    def __getitem__(self, position: int) -> str:
        return "sha256:" + self._at(position).hex()

    def append(self, digest: str, size: int) -> None:
        """Adds a digest; those of a list come in order."""
        raw = _raw(digest)
        self._sorted = self._sorted and (not self._marks or self._at(len(self) - 1) < raw)
        self._raw += raw
        self._marks.append(0)
        self._sizes.append(size)

    def size(self, position: int) -> int:
        """The size of an object."""
        return self._sizes[position]

    def find(self, digest: str) -> int | None:
        """Where a digest is, or None."""
        if not self._sorted:
            self._sort()
        raw = _raw(digest)
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            if self._at(middle) < raw:
                low = middle + 1
            else:
                high = middle
        return low if low < len(self) and self._at(low) == raw else None

    def mark(self, position: int) -> None:
        """Marks one."""
        self._marks[position] = 1

    def is_marked(self, position: int) -> bool:
        """Whether one is marked."""
        return self._marks[position] == 1

    def unmarked(self) -> Iterator[int]:
        """The positions without a mark, by digest."""
        if not self._sorted:
            self._sort()
        position = self._marks.find(0)
        while position >= 0:
            yield position
            position = self._marks.find(0, position + 1)

    def _at(self, position: int) -> bytes:
        return bytes(self._raw[position * _WIDTH : (position + 1) * _WIDTH])

    def _sort(self) -> None:
        """Puts in order what a server listed out of order, without what it listed twice."""
        rows = {self._at(n): (self._sizes[n], self._marks[n]) for n in range(len(self))}
        order = sorted(rows)
        self._raw = bytearray().join(order)
        self._sizes = array("Q", (rows[raw][0] for raw in order))
        self._marks = bytearray(rows[raw][1] for raw in order)
        self._sorted = True


def several(registries: Registry | Iterable[Registry]) -> Sequence[Registry]:
    """One registry or many as many; none is an error."""
    from devqubit.storage import Registry

    found = [registries] if isinstance(registries, Registry) else list(registries)
    if not found:
        raise InvalidArgumentError("Give the registries whose runs refer to the store, all of them")
    return found


def references(record: object) -> set[str]:
    """The digests that stand anywhere in a record."""
    text = json.dumps(record, ensure_ascii=False)
    return {"sha256:" + digits.lower() for digits in _REFERENCE.findall(text)}


def require_readable(registry: Registry) -> None:
    """Brings a registry up to its bucket, and raises if one of its runs cannot be read."""
    registry.refresh()
    problems = registry.problems()
    if problems:
        shown = "; ".join(f"{p.key}: {p.reason}" for p in problems[:_SHOWN])
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise CorruptRecordError(
            f"{registry.location}: {len(problems)} of its runs cannot be read, and nobody knows "
            f"which objects they refer to ({shown}{more}). Mend or delete these files, then try "
            "again; `devqubit refresh` shows them all"
        )


def mark_references(registries: Iterable[Registry], table: DigestTable) -> int:
    """Marks what the runs of registries refer to, as they are now; returns how many runs.

    Raises:
        CorruptRecordError: A run cannot be read.
    """
    runs = 0
    for registry in registries:
        require_readable(registry)
        for run in registry.iter_runs():
            runs += 1
            for digest in references(run.record):
                position = table.find(digest)
                if position is not None:
                    table.mark(position)
    return runs


def _raw(digest: str) -> bytes:
    return bytes.fromhex(digest[-64:])
