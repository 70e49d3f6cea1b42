"""The tables of the index: their schema, and putting runs in and taking them out."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final, TypeVar

from devqubit.storage._rows import RunRow

__all__ = [
    "create_tables",
    "drop_keys",
    "get_meta",
    "known_versions",
    "put_problem",
    "put_runs",
    "set_meta",
]

T = TypeVar("T")

_TABLES: Final = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE runs (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL, version TEXT NOT NULL,
    run_id TEXT NOT NULL, run_name TEXT, project TEXT NOT NULL, adapter TEXT NOT NULL,
    status TEXT NOT NULL, created_at TEXT NOT NULL, ended_at TEXT, group_id TEXT,
    group_name TEXT, parent_run_id TEXT, backend_name TEXT, fingerprint TEXT,
    git_commit TEXT, created REAL NOT NULL, ended REAL
);
CREATE TABLE records (id INTEGER PRIMARY KEY, record BLOB NOT NULL);
CREATE TABLE names (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE fields (
    run INTEGER NOT NULL, name INTEGER NOT NULL, number, text TEXT, PRIMARY KEY (run, name)
) WITHOUT ROWID;
CREATE TABLE problems (key TEXT PRIMARY KEY, version TEXT NOT NULL, reason TEXT NOT NULL)
    WITHOUT ROWID;
"""
_FILTERS: Final = (
    "project",
    "run_name",
    "adapter",
    "status",
    "backend_name",
    "fingerprint",
    "git_commit",
    "group_id",
)
_INDEXES: Final = {
    "runs_key": "runs (key)",
    "runs_run_id": "runs (run_id)",
    "runs_created": "runs (created DESC, run_id DESC)",
    **{f"runs_{column}": f"runs ({column}, created DESC, run_id DESC)" for column in _FILTERS},
    "fields_number": "fields (name, number) WHERE number IS NOT NULL",
    "fields_text": "fields (name, text) WHERE text IS NOT NULL",
}
_COLUMNS: Final = RunRow._fields[:-2]
_INSERT: Final = (
    f"INSERT INTO runs (id, {', '.join(_COLUMNS)}) VALUES ({', '.join('?' * (len(_COLUMNS) + 1))})"
)
# How many rows go to SQLite at a time; it also bounds the variables of one statement.
_BATCH: Final = 500


def create_tables(connection: sqlite3.Connection) -> None:
    """Makes the tables in an empty file."""
    for statement in filter(str.strip, _TABLES.split(";")):
        connection.execute(statement)
    _create_indexes(connection)


def get_meta(connection: sqlite3.Connection, name: str) -> Any:
    """What the index says of itself, or None."""
    row = connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
    return row[0] if row else None


def set_meta(connection: sqlite3.Connection, name: str, value: float | str) -> None:
    """Lets the index say something of itself."""
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))


def known_versions(connection: sqlite3.Connection) -> dict[str, str]:
    """The version of every file that the index knows, readable or not, by key, in order."""
    statement = (
        "SELECT key, version FROM runs UNION ALL SELECT key, version FROM problems ORDER BY key"
    )
    return dict(connection.execute(statement))


def put_runs(connection: sqlite3.Connection, rows: Iterable[RunRow]) -> None:
    """Puts runs in, in place of what has their keys or run ids."""
    names = {name: number for number, name in connection.execute("SELECT id, name FROM names")}
    fresh = connection.execute("SELECT 1 FROM runs LIMIT 1").fetchone() is None
    if fresh:
        # Sorting everything once at the end is several times faster than keeping it sorted.
        for name in _INDEXES:
            connection.execute(f"DROP INDEX {name}")
    for batch in _batches(rows):
        _put_batch(connection, batch, names, replace=not fresh)
    if fresh:
        _create_indexes(connection)


def put_problem(connection: sqlite3.Connection, key: str, version: str, reason: str) -> None:
    """Notes that a file cannot be served, until it has another version."""
    drop_keys(connection, [key])
    connection.execute("INSERT INTO problems VALUES (?, ?, ?)", (key, version, reason))


def drop_keys(connection: sqlite3.Connection, keys: Iterable[str]) -> None:
    """Takes out whatever is stored under some keys."""
    for batch in _batches(keys):
        _drop_runs(connection, "key", batch)
        _drop_problems(connection, batch)


def _create_indexes(connection: sqlite3.Connection) -> None:
    for name, what in _INDEXES.items():
        connection.execute(f"CREATE INDEX {name} ON {what}")


def _put_batch(
    connection: sqlite3.Connection, rows: Sequence[RunRow], names: dict[str, int], *, replace: bool
) -> None:
    _drop_problems(connection, [row.key for row in rows])
    if replace:
        _drop_runs(connection, "key", [row.key for row in rows])
        _drop_runs(connection, "run_id", [row.run_id for row in rows])
    (last,) = connection.execute("SELECT coalesce(max(id), 0) FROM runs").fetchone()
    numbered = list(enumerate(rows, last + 1))
    _name_fields(connection, rows, names)
    connection.executemany(_INSERT, ((number, *row[:-2]) for number, row in numbered))
    connection.executemany(
        "INSERT INTO records VALUES (?, ?)", ((number, row.record) for number, row in numbered)
    )
    connection.executemany(
        "INSERT INTO fields VALUES (?, ?, ?, ?)",
        (
            (number, names[name], *field)
            for number, row in numbered
            for name, field in row.fields.items()
        ),
    )


def _name_fields(
    connection: sqlite3.Connection, rows: Sequence[RunRow], names: dict[str, int]
) -> None:
    new = {name for row in rows for name in row.fields} - names.keys()
    for name in sorted(new):
        cursor = connection.execute("INSERT INTO names (name) VALUES (?)", (name,))
        names[name] = int(cursor.lastrowid or 0)


def _drop_problems(connection: sqlite3.Connection, keys: Sequence[str]) -> None:
    connection.executemany("DELETE FROM problems WHERE key = ?", ((key,) for key in keys))


def _drop_runs(connection: sqlite3.Connection, column: str, values: Sequence[str]) -> None:
    marks = ", ".join("?" * len(values))
    found = connection.execute(f"SELECT id FROM runs WHERE {column} IN ({marks})", values)
    ids = found.fetchall()
    for statement in (
        "DELETE FROM fields WHERE run = ?",
        "DELETE FROM records WHERE id = ?",
        "DELETE FROM runs WHERE id = ?",
    ):
        connection.executemany(statement, ids)


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    todo = iter(items)
    while batch := list(islice(todo, _BATCH)):
        yield batch
