"""Writing runs: in turns within a process, against others by version, seen at once."""

from __future__ import annotations

import copy
import json
import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from devqubit.errors import (
    AccessDeniedError,
    ConflictError,
    CorruptRecordError,
    InvalidRecordError,
    RunNotFoundError,
    UnsupportedError,
)
from devqubit.storage._bucket import ABSENT, Absent, Bucket, Version
from devqubit.storage._documents import Document, DocumentFolder
from devqubit.storage._forks import renewed_after_fork
from devqubit.storage._metrics import MetricPoints
from devqubit.storage._names import candidate_keys, name_key
from devqubit.storage._records import RunRecord, encode_record
from devqubit.storage._rows import run_row
from devqubit.storage._run_index import RunIndex
from devqubit.storage._trial import Trial, try_conditions

__all__ = ["Change", "RunWriter"]

Change = Callable[[dict[str, Any]], dict[str, Any] | None]
"""Changes a record in place, or returns another."""

ENDED: Final = frozenset({"FINISHED", "FAILED", "KILLED"})
# Writers of one process to one run take turns; so many locks are plenty for any pool.
_LOCKS: Final = 64
# Seconds that a writer waits at most, at random, after others were first.
_FIRST_WAIT: Final = 0.005
_LONGEST_WAIT: Final = 0.5
# What the index notes of a server that honours conditions.
_PROVEN: Final = "conditions"


class RunWriter:
    """Saves, updates and deletes runs, and keeps the index and metric points in step.

    Args:
        bucket: The registry's bucket.
        folder: The runs in it.
        index: Takes in what is written.
        points: Merged when a run ends, deleted with it.
    """

    def __init__(
        self, bucket: Bucket, folder: DocumentFolder, index: RunIndex, points: MetricPoints
    ) -> None:
        self._bucket = bucket
        self._folder = folder
        self._index = index
        self._points = points
        self._with_points: set[str] = set()
        self._proven = False
        renewed_after_fork(self)

    def read(self, run_id: str) -> Document:
        """The stored record of a run; raises `RunNotFoundError`."""
        found = self._folder.read(run_id)
        if found is None:
            raise RunNotFoundError(run_id)
        return found

    def save(self, record: Mapping[str, Any], if_version: Version | None) -> None:
        """Writes a record, if the stored one has a version where one is given."""
        data = encode_record(record)
        if if_version is not None:
            self._require_conditions()
        run_id = record["run_id"]
        with self._turn(run_id):
            saved = self._write(run_id, data, if_version)
        self._merge_if_ended(saved)

    def update(self, run_id: str, change: Change, timeout: float) -> RunRecord:
        """Reads, changes and writes a record until nobody was first."""
        self._require_conditions()
        end = time.monotonic() + timeout
        wait = _FIRST_WAIT
        while True:
            try:
                with self._turn(run_id):
                    updated = self._update_once(run_id, change)
                break
            except ConflictError:
                if time.monotonic() > end:
                    raise
            time.sleep(random.uniform(0, wait))  # noqa: S311  # no secret
            wait = min(2 * wait, _LONGEST_WAIT)
        self._merge_if_ended(updated)
        return updated

    def kill(self, run_id: str, when: str, note: str) -> bool:
        """Marks a run as KILLED if it is still RUNNING; False if it is not."""
        killed = False

        def change(record: dict[str, Any]) -> None:
            nonlocal killed
            killed = RunRecord(record).status == "RUNNING"  # it may have ended by now
            if killed:
                info = record.get("info")
                ended = {"status": "KILLED", "ended_at": when, "recovery_note": note}
                record["info"] = {**(info if isinstance(info, dict) else {}), **ended}

        try:
            self.update(run_id, change, _LONGEST_WAIT * 100)
        except (RunNotFoundError, CorruptRecordError):
            return False
        return killed

    def delete(self, run_id: str, if_version: Version | None = None) -> bool:
        """Deletes a record and the run's metric points; False if there was none."""
        with self._turn(run_id):
            deleted = self._folder.delete(run_id, if_version=if_version)
            self._index.drop(candidate_keys("runs", run_id))
        if deleted:
            self._points.delete(run_id)
        return deleted

    def save_points(self, points: Iterable[Mapping[str, Any]]) -> None:
        """Appends metric points."""
        self._with_points |= self._points.save(points)

    def _make_locks(self) -> None:
        self._turns = tuple(threading.RLock() for _ in range(_LOCKS))

    def _turn(self, run_id: str) -> threading.RLock:
        return self._turns[hash(run_id) % _LOCKS]

    def _write(self, run_id: str, data: bytes, if_version: Version | Absent | None) -> RunRecord:
        version = self._folder.write(run_id, data, if_version=if_version)
        # As it is stored, not the caller's own, which may change and hold tuples.
        run = RunRecord(json.loads(data), version)
        self._index.put(run_row(name_key("runs", run_id), run, data))
        return run

    def _update_once(self, run_id: str, change: Change) -> RunRecord:
        found = self.read(run_id)
        record = copy.deepcopy(found.content)
        changed = change(record)
        changed = record if changed is None else changed
        data = encode_record(changed)
        if changed["run_id"] != run_id:
            raise InvalidRecordError(f"A change of run {run_id!r} must not change its 'run_id'")
        # What devqubit 0.1.12 wrote under a raw name is written anew under its own.
        own = found.key == name_key("runs", run_id)
        return self._write(run_id, data, found.version if own else ABSENT)

    def _merge_if_ended(self, run: RunRecord) -> None:
        if run.run_id in self._with_points and run.status in ENDED:
            self._with_points.discard(run.run_id)
            self._points.compact(run.run_id)

    def _require_conditions(self) -> None:
        can = self._bucket.capabilities
        if not can.conditional_replace:
            raise UnsupportedError(
                f"{self._bucket.location} has no conditional writes, so that two writers would "
                "overwrite each other: use save() without if_version, from one place"
            )
        if not can.unproven or self._proven or self._index.recall(_PROVEN):
            return
        trial = self._try_conditions()
        if not (trial.create and trial.replace):
            raise UnsupportedError(
                f"The server of {self._bucket.location} passes over the conditions of writes, so "
                "that two writers would overwrite each other: use save() without if_version, from "
                f"one place. See: devqubit doctor '{self._bucket.location}'"
            )
        self._proven = True
        self._index.remember(_PROVEN)

    def _try_conditions(self) -> Trial:
        try:
            return try_conditions(self._bucket)
        except AccessDeniedError:
            # Who may write runs alone cannot try; the server's own answers have to do.
            return Trial(create=True, replace=True, delete=True)
