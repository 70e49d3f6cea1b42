"""The index of a registry in use: when it is refreshed, and what goes in by itself."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from sqlite3 import Connection
from typing import TypeVar

from devqubit.errors import StorageError
from devqubit.storage._bucket import Bucket
from devqubit.storage._documents import DocumentFolder
from devqubit.storage._forks import renewed_after_fork
from devqubit.storage._index import LOST, Index, IndexRebuiltError
from devqubit.storage._index_tables import drop_keys, get_meta, put_runs, set_meta
from devqubit.storage._refresh import REFRESHED, RefreshResult, refresh
from devqubit.storage._rows import RunRow

__all__ = ["RunIndex"]

R = TypeVar("R")
logger = logging.getLogger("devqubit.storage")


class RunIndex:
    """Answers questions about runs, from an index that is as fresh as was asked for.

    Args:
        bucket: The registry's bucket.
        folder: The runs in it.
        max_staleness: Seconds for which an answer may be behind the bucket; None never
            looks by itself.
    """

    def __init__(self, bucket: Bucket, folder: DocumentFolder, max_staleness: float | None) -> None:
        self._bucket = bucket
        self._folder = folder
        self._max_staleness = max_staleness
        self._index = Index(bucket.location, persistent=bucket.capabilities.persistent)
        renewed_after_fork(self)

    def ask(self, question: Callable[[Connection], R]) -> R:
        """An answer from the index, refreshed before if it is too old.

        Raises:
            StorageError: It had to be refreshed, and the bucket cannot be read.
        """
        try:
            self._refresh_if_stale()
            return self._index.read(question)
        except IndexRebuiltError:
            self.refresh()
            return self._index.read(question)

    def refresh(self) -> RefreshResult:
        """Brings the index up to the bucket, now."""
        with self._refreshing:
            return refresh(self._bucket, self._folder, self._index)

    def put(self, row: RunRow) -> None:
        """Takes in a run that this client has just written."""
        self._note(lambda connection: put_runs(connection, [row]))

    def drop(self, keys: Iterable[str]) -> None:
        """Takes out files that this client has just deleted."""
        self._note(lambda connection: drop_keys(connection, keys))

    def recall(self, name: str) -> bool:
        """Whether something was noted with `remember` since the index was made."""
        with suppress(StorageError):
            return self._index.change(lambda c: get_meta(c, name)) is not None
        return False

    def remember(self, name: str) -> None:
        """Notes something that holds for the registry, for as long as the index lasts."""
        self._note(lambda connection: set_meta(connection, name, time.time()))

    def close(self) -> None:
        """Closes the index; the next question opens it again."""
        self._index.close()

    def _make_locks(self) -> None:
        self._refreshing = threading.Lock()

    def _note(self, change: Callable[[Connection], None]) -> None:
        try:
            self._index.change(change)
        except StorageError as exc:
            # What was written is written; the next refresh finds it.
            logger.warning("%s", exc)

    def _refresh_if_stale(self) -> None:
        if self._max_staleness is None:
            if self._index.read(_is_lost):
                self.refresh()
            return
        # Of many threads that ask at once, one refreshes and the others wait for it.
        with self._refreshing:
            last = self._index.read(lambda connection: get_meta(connection, REFRESHED))
            age = None if last is None else time.time() - last
            # An age below zero is a clock that was set back.
            if age is None or not 0 <= age <= self._max_staleness:
                refresh(self._bucket, self._folder, self._index)


def _is_lost(connection: Connection) -> bool:
    """Whether the index that was refreshed is gone, and this one never was."""
    return get_meta(connection, LOST) is not None and get_meta(connection, REFRESHED) is None
