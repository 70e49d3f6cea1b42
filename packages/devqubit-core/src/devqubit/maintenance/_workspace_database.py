"""The database of a devqubit 0.1.12 workspace: copied, checked, and read row by row."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import stat
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from devqubit.errors import CorruptRecordError, InvalidArgumentError, StorageError
from devqubit.storage._metrics import POINTS_A_SEGMENT, encode_points
from devqubit.storage._rows import instant

__all__ = ["DATABASE", "Database", "Entry", "snapshot"]

DATABASE: Final = "registry.db"
"""Its name in a workspace."""

# What SQLite keeps beside a database; without them, what was committed last would be missing.
_JOURNALS: Final = ("-wal", "-journal")
_SQLITE: Final = b"SQLite format 3\0"  # https://www.sqlite.org/fileformat.html
# A database that is being written is copied again, after so many seconds.
_COPIES: Final = 20
_PAUSE: Final = 0.2
_TICK: Final = 20_000_000  # nanoseconds
# A record is at most 16 MB, in UTF-8 of up to 3 bytes a letter.
_LONGEST_VALUE: Final = 64 * 1024 * 1024
_NEVER: Final = datetime.fromtimestamp(0, UTC)

_TABLES: Final = {
    "runs": {"run_id", "created_at", "ended_at", "record_json"},
    "baselines": {"project", "run_id", "set_at"},
    "metric_points": {"run_id", "key", "step", "timestamp", "value"},
}


class Entry(NamedTuple):
    """A row that makes a file, or a part of a run's points that does."""

    folder: str
    name: object
    row: int
    modified: datetime = _NEVER


class Database:
    """The copy of a database. Anybody may have made it, so nothing in it is trusted.

    Args:
        file: The copy.
        path: Where the original is, for messages.

    Raises:
        InvalidArgumentError: It is no database of devqubit 0.1.12.
        CorruptRecordError: It is damaged.
    """

    def __init__(self, file: str, path: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
        try:
            self._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_VALUE)
            # What is no UTF-8 must not stop what is.
            self._connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
            self._check()
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """Closes the copy."""
        self._connection.close()

    def entries(self) -> Iterator[Entry]:
        """All that there is, without reading it."""
        for row, name, *times in self._ask("SELECT rowid, run_id, ended_at, created_at FROM runs"):
            yield Entry("runs", name, row, _latest(times))
        for row, name, when in self._ask("SELECT rowid, project, set_at FROM baselines"):
            yield Entry("baselines", name, row, _latest([when]))
        for name, count in self._ask("SELECT run_id, COUNT(*) FROM metric_points GROUP BY run_id"):
            for number in range(-(-count // POINTS_A_SEGMENT)):
                yield Entry("metrics", name, number)

    def read(self, entry: Entry) -> bytes:
        """The bytes of a file.

        Raises:
            CorruptRecordError: The row cannot be read.
        """
        if entry.folder == "runs":
            found = "SELECT CAST(record_json AS BLOB) FROM runs WHERE rowid = ?"
            ((data,),) = self._ask(found, entry.row)
            return bytes(data or b"")
        if entry.folder == "baselines":
            found = "SELECT project, run_id, set_at FROM baselines WHERE rowid = ?"
            ((project, run_id, set_at),) = self._ask(found, entry.row)
            baseline = {"project": project, "run_id": run_id, "set_at": set_at}
            return json.dumps(baseline, default=repr).encode("ascii")
        return self._segment(entry)

    def _segment(self, entry: Entry) -> bytes:
        rows = self._ask(
            "SELECT key, step, timestamp, value FROM metric_points WHERE run_id IS ? "
            "ORDER BY key, step LIMIT ? OFFSET ?",
            *(entry.name, POINTS_A_SEGMENT, entry.row * POINTS_A_SEGMENT),
        )
        for key, step, timestamp, value in rows:
            texts = isinstance(key, str) and isinstance(timestamp, str)
            if not texts or not isinstance(step, int) or not isinstance(value, float | None):
                raise CorruptRecordError(f"{self._path}: run {entry.name!r} has a bad metric point")
        return encode_points(rows)

    def _ask(self, sql: str, *values: object) -> Sequence[tuple[Any, ...]]:
        try:
            with self._lock:
                return self._connection.execute(sql, values).fetchall()
        except (sqlite3.Error, OverflowError) as exc:
            raise CorruptRecordError(f"{self._path} cannot be read: {exc}") from exc

    def _check(self) -> None:
        self._ask("PRAGMA trusted_schema = OFF")
        ((verdict,),) = self._ask("PRAGMA quick_check(1)")
        if verdict != "ok":
            raise CorruptRecordError(
                f"{self._path} is damaged ({verdict}): save what is left with "
                f"`sqlite3 {DATABASE} .recover | sqlite3 new.db`, and copy from that"
            )
        for table, columns in _TABLES.items():
            is_table = "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = ?"
            found = {row[1] for row in self._ask(f"PRAGMA table_info({table})")}
            if self._ask(is_table, table) != [(1,)] or columns - found:
                raise InvalidArgumentError(
                    f"{self._path} has no table {table!r} as devqubit 0.1.12 has it: it is no "
                    "registry, or of another version"
                )


def _latest(times: Sequence[object]) -> datetime:
    """The time of a record; long ago if it has none, so that nothing newer gives way to it."""
    found = [instant(when) for when in times if isinstance(when, str)]
    return max((when for when in found if when is not None), default=_NEVER)


def snapshot(path: str, folder: str) -> str:
    """Copies a database with its journals, all of one moment; returns the copy.

    Raises:
        InvalidArgumentError: There is none.
        StorageError: Somebody wrote it all the time.
    """
    for _ in range(_COPIES):
        before = _state(path)
        target = os.path.join(folder, DATABASE)
        for suffix in ("", *_JOURNALS):
            with suppress(FileNotFoundError):
                os.unlink(target + suffix)
            if suffix in before:
                with suppress(FileNotFoundError):
                    shutil.copyfile(path + suffix, target + suffix)
        # Clocks of files tick in milliseconds: what was written just now may be again, unseen.
        settled = max(when for _, when, _ in before.values()) < time.time_ns() - _TICK
        if settled and _state(path) == before:
            return target
        time.sleep(_PAUSE)
    raise StorageError(f"{path} is written all the time: stop what writes it, and copy again")


def _state(path: str) -> dict[str, tuple[int, int, int]]:
    """Size, time and inode of the database and its journals."""
    if not _is_database(path):
        raise InvalidArgumentError(f"{path} is no SQLite database")
    found = {}
    for suffix in ("", *_JOURNALS):
        with suppress(FileNotFoundError):
            there = os.stat(path + suffix)
            found[suffix] = there.st_size, there.st_mtime_ns, there.st_ino
    return found


def _is_database(path: str) -> bool:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return False  # opening a pipe waits for whoever writes it
        with open(path, "rb") as file:
            return file.read(len(_SQLITE)) == _SQLITE
    except OSError as exc:
        raise InvalidArgumentError(f"{path} cannot be read: {exc}") from exc
