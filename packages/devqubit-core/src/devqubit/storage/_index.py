"""The index of a registry: a local SQLite file to answer questions from.

It is a cache. Nothing in it is truth: a file that is damaged, or of another schema or
registry, is made anew, and one that cannot be written at all lives in memory.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import sqlite3
import threading
import weakref
from collections.abc import Callable
from typing import Any, Final, TypeVar

from devqubit.errors import StorageError
from devqubit.storage._config import cache_dir
from devqubit.storage._file_systems import shares_memory
from devqubit.storage._forks import renewed_after_fork
from devqubit.storage._index_tables import create_tables, get_meta, set_meta

__all__ = ["LOST", "Index", "IndexRebuiltError"]

R = TypeVar("R")
logger = logging.getLogger("devqubit.storage")

SCHEMA: Final = 1
APPLICATION_ID: Final = 0x64765142  # "dvQB"
BUSY_SECONDS: Final = 60.0
MEMORY: Final = ":memory:"

LOST: Final = "lost"
"""What an index says of itself that stands for one that was damaged, or had no space."""

# These are mistakes of ours, and say nothing of the file.
_MISTAKES: Final = (sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.DataError)


class IndexRebuiltError(Exception):
    """The index was damaged and is empty now: it must be refreshed before it answers."""


class Index:
    """The index file of one registry. Safe in threads, and shared with other processes.

    Args:
        location: The registry's canonical URL.
        persistent: Whether the registry outlives this process; if not, nor does the index.
    """

    def __init__(self, location: str, *, persistent: bool = True) -> None:
        self._location = location
        self._path = index_path(location) if persistent else MEMORY
        renewed_after_fork(self)
        _indexes.add(self)
        self._connection: sqlite3.Connection | None = None
        self._release: Callable[[], object]
        self._pid = os.getpid()
        self._discarded = False
        self._lost = False

    def read(self, work: Callable[[sqlite3.Connection], R]) -> R:
        """Reads from the index.

        Raises:
            IndexRebuiltError: The file was damaged; it is empty now.
            StorageError: Another process does not let go of the file.
        """
        with self._lock:
            try:
                return work(self._connected())
            except _MISTAKES:
                raise
            except sqlite3.DatabaseError as exc:
                self._discard(exc)
                raise IndexRebuiltError from exc

    def change(self, work: Callable[[sqlite3.Connection], R]) -> R:
        """Changes the index in one transaction: all of it is seen, or nothing.

        Raises:
            StorageError: Another process does not let go of the file.
        """
        for _ in range(2):
            with contextlib.suppress(IndexRebuiltError):
                return self.change_once(work)
        return self.change_once(work)

    def change_once(self, work: Callable[[sqlite3.Connection], R]) -> R:
        """Like `change`, for what depends on what the index held before.

        Raises:
            IndexRebuiltError: The file was damaged; it is empty now.
            StorageError: As `change`.
        """

        def transaction(connection: sqlite3.Connection) -> R:
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                return work(connection)

        return self.read(transaction)

    def close(self) -> None:
        """Closes the file; the next use opens it again."""
        with self._lock:
            if self._connection is not None:
                self._connection = None
                self._release()

    def _make_locks(self) -> None:
        self._lock = threading.RLock()

    def _connected(self) -> sqlite3.Connection:
        if self._pid != os.getpid():
            self.close()
        if self._connection is None:
            self._connection, self._pid = self._open(), os.getpid()
            self._release = weakref.finalize(self, _release, self._connection, self._pid)
        return self._connection

    def _open(self) -> sqlite3.Connection:
        if self._path != MEMORY:
            try:
                os.makedirs(os.path.dirname(self._path), exist_ok=True)
                return self._checked()
            except (OSError, sqlite3.Error) as exc:
                if _is_busy(exc):
                    raise
                reason = exc
            self._lost = True
            try:
                _remove(self._path)
                return self._checked()
            except (OSError, sqlite3.Error):
                logger.warning("The index %s is kept in memory: %s", self._path, reason)
                self._path = MEMORY
        return self._checked()

    def _checked(self) -> sqlite3.Connection:
        """A connection to the file, if it is ours; a new file is made ours."""
        connection = sqlite3.connect(
            self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute(f"PRAGMA journal_mode = {self._journal()}")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.create_function("fold", 1, _fold, deterministic=True)
            if self._lost or not self._is_ours(connection):
                with connection:
                    connection.execute("BEGIN IMMEDIATE")
                    self._claim(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _journal(self) -> str:
        """How SQLite keeps transactions whole: faster by a log whose index is in shared memory."""
        if self._path == MEMORY:
            return "MEMORY"
        return "WAL" if shares_memory(os.path.dirname(self._path)) else "TRUNCATE"

    def _is_ours(self, connection: sqlite3.Connection) -> bool:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        return (application, version) == (APPLICATION_ID, SCHEMA) and (
            get_meta(connection, "location") == self._location
        )

    def _claim(self, connection: sqlite3.Connection) -> None:
        if not self._is_ours(connection):  # no other process was first
            if connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
                raise sqlite3.DatabaseError("it is no index of this registry and version")
            create_tables(connection)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {SCHEMA}")
            set_meta(connection, "location", self._location)
        if self._lost:
            set_meta(connection, LOST, "")

    def _discard(self, exc: sqlite3.DatabaseError) -> None:
        if _is_busy(exc):
            raise StorageError(
                f"The index {self._path} is held by another process: end it, or set "
                "DEVQUBIT_CACHE_DIR to another folder"
            ) from exc
        logger.info("The index %s is made anew: %s", self._path, exc)
        self.close()
        if self._path != MEMORY:
            with contextlib.suppress(OSError):
                _remove(self._path)
        if self._discarded:  # it was no accident: such as a full disk
            logger.warning("The index %s is kept in memory: %s", self._path, exc)
            self._path = MEMORY
        self._discarded = self._lost = True


def index_path(location: str) -> str:
    """Where the index of a registry is: its name is a hash of the registry's URL."""
    name = hashlib.sha256(location.encode()).hexdigest()[:32]
    return os.path.join(cache_dir(), "registries", f"{name}.sqlite")


_inherited: Final[list[sqlite3.Connection]] = []
_indexes: Final[weakref.WeakSet[Index]] = weakref.WeakSet()
_held: Final[list[Any]] = []


def _hold_all() -> None:
    """Before a fork: no thread may be in SQLite then, whose own locks a child could not get."""
    for index in list(_indexes):
        index._lock.acquire()
        _held.append(index._lock)


def _let_go() -> None:
    while _held:
        _held.pop().release()


if hasattr(os, "register_at_fork"):
    # The child has new locks, by `renewed_after_fork`.
    os.register_at_fork(before=_hold_all, after_in_parent=_let_go, after_in_child=_held.clear)


def _release(connection: sqlite3.Connection, pid: int) -> None:
    """Closes a connection; after a fork it is kept, as SQLite must not even close it there."""
    if pid == os.getpid():
        connection.close()
    else:
        _inherited.append(connection)


def _fold(value: object) -> str | None:
    """Text without its case, in every script."""
    return None if value is None else str(value).casefold()


def _is_busy(exc: Exception) -> bool:
    code = getattr(exc, "sqlite_errorcode", 0) & 0xFF  # without its extension
    return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _remove(path: str) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path + suffix)
