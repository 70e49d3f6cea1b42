"""A run record as rows of the index: columns to filter by, and fields to search."""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, cast

from devqubit.storage._records import RunRecord, RunSummary

__all__ = [
    "SUMMARY_COLUMNS",
    "RunRow",
    "instant",
    "now_text",
    "number_of",
    "run_row",
    "storable",
    "summary_of",
]

SUMMARY_COLUMNS: Final = tuple(RunSummary.__annotations__)

NEVER: Final = float("-inf")
"""The moment of a run that has none: before all others."""

# Where each searchable group of fields lies in `data`, and how a query calls it.
_GROUPS: Final = (("params", "params"), ("metrics", "metric"), ("tags", "tag"))
# SQLite's integers have 64 bits.
_MAX_INTEGER: Final = 2**63 - 1
_MAX_NUMBER_LENGTH: Final = 40
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


Field = tuple[int | float | None, str | None]
"""A value that can be searched: as a number where it is one, as text where it has one."""


class RunRow(NamedTuple):
    """A run in the index. Times are seconds since 1970, UTC."""

    key: str
    version: str
    run_id: str
    run_name: str | None
    project: str
    adapter: str
    status: str
    created_at: str
    ended_at: str | None
    group_id: str | None
    group_name: str | None
    parent_run_id: str | None
    backend_name: str | None
    fingerprint: str | None
    git_commit: str | None
    created: float
    ended: float | None
    record: bytes
    fields: dict[str, Field]


def run_row(key: str, run: RunRecord, data: bytes) -> RunRow:
    """The row of a run.

    Args:
        key: Where it is stored.
        run: The run, with its version.
        data: The record as it is stored.
    """
    summary = run.summary()
    created, ended = instant(run.created_at), instant(run.ended_at)
    texts: list[Any] = [*summary.values(), run.backend_name, run.run_fingerprint, run.git_commit]
    return RunRow._make(
        (
            key,
            str(run.version),
            *[storable(text) for text in texts],
            created.timestamp() if created else NEVER,
            ended.timestamp() if ended else None,
            data,
            _fields(run.record.get("data")),
        )
    )


def summary_of(row: tuple[Any, ...]) -> RunSummary:
    """The summary in the `SUMMARY_COLUMNS` of a row."""
    return cast("RunSummary", dict(zip(SUMMARY_COLUMNS, row, strict=True)))


def now_text() -> str:
    """The time as records have it: ISO 8601, UTC."""
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def instant(text: str | None) -> datetime | None:
    """The moment that ISO 8601 text names, UTC where it has no zone; None if it is none."""
    if not text:
        return None
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _fields(data: object) -> dict[str, Field]:
    found: dict[str, Field] = {}
    if isinstance(data, dict):
        for folder, prefix in _GROUPS:
            values = data.get(folder)
            if isinstance(values, dict):
                _add_fields(prefix, values, found)
    return found


def _add_fields(prefix: str, values: dict[str, Any], found: dict[str, Field]) -> None:
    """Adds what is in a dict under its names, and what is in dicts in it under dotted names."""
    pending = [(prefix, values)]
    while pending:
        path, inner = pending.pop()
        for key, value in inner.items():
            name = f"{path}.{key}"
            if isinstance(value, dict):
                pending.append((name, value))
            else:
                found[name if name.isascii() else storable(name) or ""] = _field(value)


def _field(value: object) -> Field:
    if isinstance(value, str):
        return number_of(value), storable(value)
    if isinstance(value, float):
        return (None if value != value else value), None
    if isinstance(value, bool):
        return None, "true" if value else "false"
    if isinstance(value, int):
        return value if -_MAX_INTEGER <= value <= _MAX_INTEGER else _as_float(value), None
    return None, None if value is None else json.dumps(value)


def number_of(text: str) -> int | float | None:
    """The number that a text is, so that "4096" compares as 4096 does; None if it is none."""
    # Nearly all texts are none, and a pattern costs more than a look.
    if not text or text[-1] not in "0123456789." or len(text) > _MAX_NUMBER_LENGTH:
        return None
    if not _NUMBER.fullmatch(text):
        return None
    if text.lstrip("+-").isdigit() and abs(int(text)) <= _MAX_INTEGER:
        return int(text)
    return float(text)


def _as_float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.copysign(math.inf, value)


def storable(text: str | None) -> str | None:
    """The text with lone surrogates, which SQLite cannot hold, written out."""
    if text is None or text.isascii():
        return text
    return text.encode("utf-8", "backslashreplace").decode()
