"""Metric points: series that a run logs, kept in the bucket in segments.

A save appends a segment, `metrics/<run id>/<when>-<random>.json`; segments are never
changed. Of points of one step, the one in the last segment holds. When a run ends, its
segments are merged into few. A segment is a JSON document:
`{"series": {<key>: [[<step>, <timestamp>, <value>], …]}}`.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from devqubit.errors import (
    BlobNotFoundError,
    CorruptRecordError,
    InvalidRecordError,
    StorageError,
)
from devqubit.storage._bucket import Blob, BlobInfo, Bucket
from devqubit.storage._forks import renewed_after_fork
from devqubit.storage._names import check_name, encode_name
from devqubit.storage._records import decode_json

__all__ = ["POINTS_A_SEGMENT", "MetricPoints", "Point", "encode_points", "is_segment"]

Point = tuple[str, int, str, float | None]
"""Key, step, timestamp, value."""

# 100,000 points are about 5 MB of JSON: what is merged at a time is small, and a million
# points are ten segments.
POINTS_A_SEGMENT: Final = 100_000
# Far above any segment of ours.
MAX_SEGMENT_BYTES: Final = 64 * 1024 * 1024
# What is read at the same time; decoded, points take several times as much.
_READ_BYTES: Final = 16 * 1024 * 1024
# JSON has no such numbers, and a diverging loss is worth keeping.
_SPECIAL: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
# Another client may be merging; each time it does, the segments are listed anew.
_READ_ROUNDS: Final = 5


class MetricPoints:
    """The metric points of a registry's runs. Safe in threads.

    Args:
        bucket: The registry's bucket.
    """

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        renewed_after_fork(self)
        self._last = 0

    def _make_locks(self) -> None:
        self._lock = threading.Lock()

    def save(self, points: Iterable[Mapping[str, Any]]) -> set[str]:
        """Appends points, one segment a run; returns the runs.

        Raises:
            InvalidRecordError: A point lacks something, or has it in another type.
        """
        by_run: dict[str, list[Point]] = {}
        for point in points:
            run_id, checked = _checked(point)
            by_run.setdefault(run_id, []).append(checked)
        for run_id, run_points in by_run.items():
            todo = iter(run_points)
            while part := list(islice(todo, POINTS_A_SEGMENT)):
                self._bucket.write(_folder(run_id) + self._new_name(), encode_points(part))
        return set(by_run)

    def iterate(
        self, run_id: str, key: str | None, start: int | None = None, end: int | None = None
    ) -> Iterator[Point]:
        """The points of a run, by key and step, in constant memory.

        Args:
            run_id: The run.
            key: Only this metric.
            start: Only from this step on.
            end: Only up to this step.
        """
        conditions = {"key = ?": key, "step >= ?": start, "step <= ?": end}
        given = {text: value for text, value in conditions.items() if value is not None}
        where = " AND ".join(["1", *given])
        with contextlib.closing(self._merged(run_id)[0]) as merged:
            rows = merged.execute(
                f"SELECT * FROM points WHERE {where} ORDER BY key, step", list(given.values())
            )
            for metric, step, timestamp, value in rows:
                # SQLite knows no NaN, and keeps it as nothing.
                yield metric, step, timestamp, math.nan if value is None else value

    def compact(self, run_id: str) -> None:
        """Merges the segments of a run into as few as its points need."""
        merged, segments = self._merged(run_id)
        with contextlib.closing(merged):
            if len(segments) < 2:
                return
            rows = merged.execute("SELECT * FROM points ORDER BY key, step")
            written = set()
            # Named after the last segment merged: whatever was appended since comes later.
            stem = segments[-1].removesuffix(".json")
            for number in range(len(segments)):
                part = rows.fetchmany(POINTS_A_SEGMENT)
                if not part:
                    break
                written.add(f"{stem}.{number:06}.json")
                self._bucket.write(f"{stem}.{number:06}.json", encode_points(part))
        self._delete([key for key in segments if key not in written])

    def delete(self, run_id: str) -> None:
        """Deletes all points of a run."""
        self._delete([info.key for info in self._bucket.list(_folder(run_id))])

    def _new_name(self) -> str:
        with self._lock:
            # Later saves sort later, also within one tick of the clock.
            self._last = max(self._last + 1, time.time_ns())
            return f"{self._last:020}-{os.urandom(4).hex()}.json"

    def _delete(self, keys: Sequence[str]) -> None:
        for _, error in self._bucket.delete_many(keys):
            if error is not None:
                raise error

    def _merged(self, run_id: str) -> tuple[sqlite3.Connection, list[str]]:
        """A private database with the points that hold, and the segments they are from."""
        for _ in range(_READ_ROUNDS):
            infos = list(filter(is_segment, self._bucket.list(_folder(run_id))))
            merged = sqlite3.connect("", isolation_level=None, check_same_thread=False)
            try:
                self._merge(merged, infos)
            except BlobNotFoundError:
                merged.close()
                continue
            except BaseException:
                merged.close()
                raise
            return merged, [info.key for info in infos]
        raise StorageError(f"The metric points of run {run_id!r} keep changing while they are read")

    def _merge(self, merged: sqlite3.Connection, infos: Sequence[BlobInfo]) -> None:
        merged.execute(
            "CREATE TABLE points (key TEXT, step INTEGER, timestamp TEXT, value, "
            "PRIMARY KEY (key, step)) WITHOUT ROWID"
        )
        merged.execute("BEGIN")
        for keys in _together(infos):
            for key, blob in self._bucket.read_many(keys):
                if not isinstance(blob, Blob):
                    raise blob
                insert = "INSERT OR REPLACE INTO points VALUES (?, ?, ?, ?)"
                merged.executemany(insert, _decoded(key, blob))
        merged.execute("COMMIT")


def _folder(run_id: str) -> str:
    return f"metrics/{encode_name(run_id)}/"


def is_segment(info: BlobInfo) -> bool:
    """Whether a file in the folder of a run holds points.

    Raises:
        CorruptRecordError: It should, and is far too large for that, so that nobody reads it.
    """
    if info.size > MAX_SEGMENT_BYTES and info.key.endswith(".json"):
        raise CorruptRecordError(
            f"{info.key!r} has {info.size:,} bytes, more than {MAX_SEGMENT_BYTES:,}: it is no "
            "segment of metric points"
        )
    return info.key.endswith(".json")


def _together(infos: Iterable[BlobInfo]) -> Iterator[list[str]]:
    """The keys of segments that are read at the same time: many small ones, or few large."""
    keys: list[str] = []
    size = 0
    for info in infos:
        if keys and size + info.size > _READ_BYTES:
            yield keys
            keys, size = [], 0
        keys.append(info.key)
        size += info.size
    yield keys


def _checked(point: Mapping[str, Any]) -> tuple[str, Point]:
    try:
        run_id, key, step = point["run_id"], point["key"], point["step"]
        timestamp, value = point["timestamp"], point["value"]
    except (KeyError, TypeError) as exc:
        raise InvalidRecordError(
            "A metric point is a dict with run_id, key, step, timestamp and value"
        ) from exc
    if not isinstance(key, str) or not key or not isinstance(timestamp, str):
        raise InvalidRecordError("A metric point's key and timestamp are text, the key not empty")
    if isinstance(step, bool) or not isinstance(step, int) or not abs(step) < 2**63:
        raise InvalidRecordError(f"A metric point's step is a whole number, not {step!r}")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidRecordError(f"A metric point's value is a number, not {value!r}")
    try:
        f"{key}{timestamp}".encode()
        return check_name(run_id), (key, step, timestamp, float(value))
    except (UnicodeEncodeError, OverflowError) as exc:
        raise InvalidRecordError(f"A metric point of {key!a} cannot be stored: {exc}") from exc


def encode_points(points: Iterable[Point]) -> bytes:
    """A segment with these points."""
    series: dict[str, list[tuple[int, str, float | str]]] = {}
    for key, step, timestamp, value in points:
        plain = value if value is not None and math.isfinite(value) else _special(value)
        series.setdefault(key, []).append((step, timestamp, plain))
    return json.dumps({"series": series}, allow_nan=False, separators=(",", ":")).encode("ascii")


def _special(value: float | None) -> str:
    if value is None or math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _decoded(segment: str, blob: Blob) -> Iterator[Point]:
    try:
        for key, rows in decode_json(blob.data, segment, MAX_SEGMENT_BYTES)["series"].items():
            for step, timestamp, value in rows:
                number = float(_SPECIAL[value] if isinstance(value, str) else value)
                if not isinstance(step, int) or not isinstance(timestamp, str):
                    raise TypeError("a step is a whole number, a timestamp text")
                yield key, step, timestamp, number
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as exc:
        raise CorruptRecordError(f"{segment!r} is no segment of metric points: {exc}") from exc
