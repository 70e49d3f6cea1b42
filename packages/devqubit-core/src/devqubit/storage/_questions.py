"""The plain questions of a registry, answered from its index."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

from devqubit.errors import InvalidArgumentError
from devqubit.storage._documents import Problem
from devqubit.storage._records import RunSummary
from devqubit.storage._rows import SUMMARY_COLUMNS, instant, storable, summary_of

__all__ = [
    "count_runs",
    "list_groups",
    "list_problems",
    "list_projects",
    "page",
    "select_records",
    "select_runs",
    "time_bounds",
]

_LARGEST = 2**63 - 1


def page(limit: int, offset: int) -> tuple[int, int]:
    """Checks the bounds of a page; raises `InvalidArgumentError`."""
    for name, number in (("limit", limit), ("offset", offset)):
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            raise InvalidArgumentError(f"{name} must be a whole number from 0, not {number!r}")
    return min(limit, _LARGEST), min(offset, _LARGEST)


def time_bounds(after: str | None, before: str | None) -> tuple[float | None, float | None]:
    """Two times as seconds since 1970; raises `InvalidArgumentError` for what is none."""
    return _seconds("created_after", after), _seconds("created_before", before)


def select_runs(
    connection: sqlite3.Connection,
    texts: Mapping[str, str | None],
    bounds: tuple[float | None, float | None],
    limit: int,
    offset: int,
) -> list[RunSummary]:
    """Summaries of runs, newest first, those of one moment by descending id.

    Args:
        connection: The index.
        texts: What columns must hold; None for anything.
        bounds: Created later than the first and earlier than the second, where given.
        limit: How many at most.
        offset: How many to pass over first.
    """
    where, values = _where(texts)
    after, before = bounds
    if after is not None:
        where, values = f"{where} AND created > ?", [*values, after]
    if before is not None:
        where, values = f"{where} AND created < ? AND created > -9e999", [*values, before]
    rows = connection.execute(
        f"SELECT {', '.join(SUMMARY_COLUMNS)} FROM runs WHERE {where} "
        "ORDER BY created DESC, run_id DESC LIMIT ? OFFSET ?",
        (*values, limit, offset),
    )
    return [summary_of(row) for row in rows]


def select_records(
    connection: sqlite3.Connection, texts: Mapping[str, str | None], after: str, limit: int
) -> list[tuple[str, str, bytes]]:
    """Key, version and record of runs, by key.

    Args:
        connection: The index.
        texts: What columns must hold; None for anything.
        after: Only keys behind this one.
        limit: How many at most.
    """
    where, values = _where(texts)
    return connection.execute(
        "SELECT key, version, record FROM runs JOIN records USING (id) "
        f"WHERE {where} AND key > ? ORDER BY key LIMIT ?",
        (*values, after, limit),
    ).fetchall()


def count_runs(connection: sqlite3.Connection, texts: Mapping[str, str | None]) -> int:
    """How many runs hold these texts."""
    where, values = _where(texts)
    (count,) = connection.execute(f"SELECT count(*) FROM runs WHERE {where}", values).fetchone()
    return int(count)


def list_projects(connection: sqlite3.Connection) -> list[str]:
    """The projects of all runs, in order."""
    rows = connection.execute("SELECT DISTINCT project FROM runs WHERE project > '' ORDER BY 1")
    return [project for (project,) in rows]


def list_groups(
    connection: sqlite3.Connection, project: str | None, limit: int, offset: int
) -> list[dict[str, Any]]:
    """Groups with their number of runs, the one with the newest run first."""
    where, values = _where({"project": project})
    # Texts of times do not sort as the moments do that they name.
    of_group = "FROM runs WHERE project = g.project AND group_id = g.group_id AND created ="
    rows = connection.execute(
        "SELECT group_id, name, project, runs, "
        f"ifnull((SELECT min(created_at) {of_group} g.first), ''), "
        f"ifnull((SELECT max(created_at) {of_group} g.last), '') "
        "FROM (SELECT group_id, max(group_name) AS name, project, count(*) AS runs, "
        "min(nullif(created, -9e999)) AS first, max(nullif(created, -9e999)) AS last "
        f"FROM runs WHERE {where} AND group_id IS NOT NULL GROUP BY project, group_id "
        "ORDER BY last IS NULL, last DESC, group_id, project LIMIT ? OFFSET ?) AS g "
        "ORDER BY last IS NULL, last DESC, group_id, project",
        (*values, limit, offset),
    )
    names = ("group_id", "group_name", "project", "run_count", "first_run", "last_run")
    return [dict(zip(names, row, strict=True)) for row in rows]


def list_problems(connection: sqlite3.Connection) -> list[Problem]:
    """The files that hold no readable run."""
    rows = connection.execute("SELECT key, reason FROM problems ORDER BY key")
    return [Problem(key, reason) for key, reason in rows]


def _where(texts: Mapping[str, str | None]) -> tuple[str, list[Any]]:
    given = {column: storable(text) for column, text in texts.items() if text is not None}
    return " AND ".join(["1", *(f"{column} = ?" for column in given)]), list(given.values())


def _seconds(name: str, text: str | None) -> float | None:
    if text is None:
        return None
    moment = instant(text)
    if moment is None:
        raise InvalidArgumentError(
            f"{name} must be a time in ISO 8601, such as 2026-01-31T12:00:00Z, not {text!r}"
        )
    return moment.timestamp()
