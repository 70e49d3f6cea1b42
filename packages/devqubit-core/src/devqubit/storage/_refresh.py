"""Bringing the index of a registry up to what is in its bucket."""

from __future__ import annotations

import logging
import sqlite3
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Final, NamedTuple

from devqubit.storage._bucket import Blob, BlobInfo, Bucket, Version
from devqubit.storage._documents import Document, DocumentFolder, Problem
from devqubit.storage._index import Index, IndexRebuiltError
from devqubit.storage._index_tables import (
    drop_keys,
    known_versions,
    put_problem,
    put_runs,
    set_meta,
)
from devqubit.storage._ranges import list_ranges
from devqubit.storage._records import RunRecord
from devqubit.storage._rows import RunRow, run_row

__all__ = ["REFRESHED", "RefreshResult", "refresh"]

logger = logging.getLogger("devqubit.storage")

REFRESHED: Final = "refreshed"
"""What the index says of itself: when it was last refreshed, in seconds since 1970."""

# A range of a list is worth a request of its own from two pages on.
_KEYS_A_RANGE: Final = 2_000
_RANGES: Final = 32
# What is read waits in memory up to this size, then on disk.
_SPOOL_BYTES: Final = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class RefreshResult:
    """What a refresh did.

    Attributes:
        listed: Files under `runs/`.
        added: Runs that are new.
        changed: Runs that were read again.
        removed: Files that are gone.
        failed: Files read now that hold no readable run; see `Registry.problems`.
        seconds: How long it took.
    """

    listed: int
    added: int
    changed: int
    removed: int
    failed: int
    seconds: float


def refresh(bucket: Bucket, folder: DocumentFolder, index: Index) -> RefreshResult:
    """Lists the runs, reads what is new or changed, and applies it in one transaction.

    Raises:
        StorageError: The bucket cannot be read; the index is as it was.
    """
    for _ in range(2):
        with suppress(IndexRebuiltError):
            return _refresh(bucket, folder, index)
    return _refresh(bucket, folder, index)


def _refresh(bucket: Bucket, folder: DocumentFolder, index: Index) -> RefreshResult:
    began = time.monotonic()
    known = index.change(known_versions)
    listed = {info.key: info for info in _list(bucket, folder.prefix, list(known))}
    stale = _stale(folder, known, listed)
    with _Fetched(folder.fetch(listed[key] for key in stale), listed) as fetched:
        update = _Update(folder, known, listed, fetched)
        index.change_once(update.apply)
    return RefreshResult(
        listed=len(listed),
        added=update.added,
        changed=update.changed,
        removed=update.removed,
        failed=update.failed,
        seconds=time.monotonic() - began,
    )


def _stale(
    folder: DocumentFolder, known: Mapping[str, str], listed: Mapping[str, BlobInfo]
) -> list[str]:
    """The files to read: new or changed, or whose rival for a run's name came or went."""
    stale = {key for key, info in listed.items() if known.get(key) != info.version}
    moved = stale | (known.keys() - listed.keys())
    rivals = {rival for key in moved for rival in folder.rivals(key)}
    return sorted(stale | (rivals & listed.keys()))


def _list(bucket: Bucket, prefix: str, known: list[str]) -> Iterator[BlobInfo]:
    """All blobs under a prefix; in ranges at the same time where that costs no more."""
    count = min(_RANGES, len(known) // _KEYS_A_RANGE)
    if count < 2 or not bucket.capabilities.ranged_listing:
        yield from bucket.list(prefix)
        return
    bounds = [known[len(known) * number // count] for number in range(1, count)]
    ranges = zip(["", *bounds], [*bounds, None], strict=True)
    for _, found in list_ranges(bucket, prefix, ranges, width=min(count, bucket.max_concurrency)):
        yield from found


class _Place(NamedTuple):
    """Where the bytes of a fetched file are in the spool, or what is wrong with it."""

    key: str
    version: Version
    start: int
    size: int
    problem: Problem | None


class _Fetched:
    """Files that were read, kept until the transaction, in bounded memory."""

    def __init__(
        self,
        files: Iterable[tuple[str, Blob | Problem | None]],
        listed: Mapping[str, BlobInfo],
    ) -> None:
        self._spool: IO[bytes] = tempfile.SpooledTemporaryFile(_SPOOL_BYTES)  # noqa: SIM115
        self._places: list[_Place] = []
        for key, blob in files:
            if isinstance(blob, Problem):
                self._places.append(_Place(key, listed[key].version, 0, 0, blob))
            elif blob is not None:
                start = self._spool.tell()
                self._spool.write(blob.data)
                self._places.append(_Place(key, blob.version, start, len(blob.data), None))

    def __enter__(self) -> _Fetched:
        return self

    def __exit__(self, *_: object) -> None:
        self._spool.close()

    def __iter__(self) -> Iterator[tuple[str, Version, Blob | Problem]]:
        self._spool.seek(0)
        for key, version, _, size, problem in self._places:
            yield key, version, problem or Blob(self._spool.read(size), version)


class _Update:
    """What a refresh changes in the index, and how much."""

    def __init__(
        self,
        folder: DocumentFolder,
        known: Mapping[str, str],
        listed: Mapping[str, BlobInfo],
        fetched: _Fetched,
    ) -> None:
        self._folder, self._known, self._listed = folder, known, listed
        self._fetched = fetched
        self.added = self.changed = self.removed = self.failed = 0

    def apply(self, connection: sqlite3.Connection) -> None:
        self.added = self.changed = self.removed = self.failed = 0
        # What was written or refreshed by others since is newer than what was listed here.
        now = known_versions(connection)
        moved = {
            key for key in now.keys() | self._known.keys() if now.get(key) != self._known.get(key)
        }
        gone = [key for key in self._known if key not in self._listed and key not in moved]
        drop_keys(connection, gone)
        self.removed = len(gone)
        problems: list[tuple[Problem, Version]] = []
        put_runs(connection, self._rows(moved, problems))
        for problem, version in problems:
            put_problem(connection, problem.key, version, problem.reason)
            logger.warning("%r left out: %s", problem.key, problem.reason)
        self.failed = len(problems)
        set_meta(connection, REFRESHED, time.time())

    def _rows(self, moved: set[str], problems: list[tuple[Problem, Version]]) -> Iterator[RunRow]:
        for key, version, blob in self._fetched:
            if key in moved:
                continue
            found = self._folder.examine(key, blob, self._listed)
            if isinstance(found, Problem):
                problems.append((found, version))
            elif isinstance(found, Document):
                if key in self._known:
                    self.changed += 1
                else:
                    self.added += 1
                yield run_row(key, RunRecord(found.content, version), found.data)
