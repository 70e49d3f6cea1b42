"""Checking a store and its registries: every object, every run, and what refers to what."""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, Literal, cast

from devqubit.errors import (
    BlobNotFoundError,
    ConflictError,
    CorruptRecordError,
    InvalidArgumentError,
    StorageError,
)
from devqubit.maintenance._references import DigestTable, references, several
from devqubit.storage._bucket import BlobInfo, Bucket
from devqubit.storage._digest import ALGORITHM, digest_of_key, object_key, object_prefix
from devqubit.storage._lookup import list_objects
from devqubit.storage._pool import each

if TYPE_CHECKING:
    from typing import BinaryIO

    from devqubit.storage import ObjectStore, Registry, RunRecord
    from devqubit.storage._transfer import Progress

__all__ = ["Finding", "VerifyReport", "verify"]

_PART: Final = 4 * 1024 * 1024
# Each holds a part in memory.
_OBJECTS_IN_FLIGHT: Final = 16
# A flip on the way is gone at the second read, a damaged object is not.
_READS: Final = 2

Kind = Literal[
    "damaged object", "unreadable object", "missing object", "unreadable run", "bad baseline"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that is wrong.

    Attributes:
        kind: What is wrong.
        name: The digest, the file of the run or baseline, or the baseline's project.
        detail: Why, or who refers to it.
        repaired: Whether it was brought back from the other store.
    """

    kind: Kind
    name: str
    detail: str
    repaired: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReport:
    """What was checked, and what was found.

    Attributes:
        objects: Objects of the store.
        object_bytes: Their bytes.
        hashed: Objects that were read and hashed: all, without `since` and `sample`.
        hashed_bytes: Their bytes.
        foreign: Files among the objects that are none; they were not read.
        orphans: Objects to which no run refers, whatever their age.
        orphan_bytes: Their bytes.
        runs: Runs that can be read.
        references: Artifacts of all runs.
        baselines: Baselines that point at a run.
        problems: How many findings there were of each kind.
        repaired: How many of them were repaired.
        seconds: How long it took.
    """

    objects: int
    object_bytes: int
    hashed: int
    hashed_bytes: int
    foreign: int
    orphans: int
    orphan_bytes: int
    runs: int
    references: int
    baselines: int
    problems: dict[str, int]
    repaired: int
    seconds: float

    @property
    def is_clean(self) -> bool:
        """Whether nothing is wrong any more."""
        return sum(self.problems.values()) == self.repaired


def verify(
    store: ObjectStore,
    registries: Registry | Iterable[Registry],
    *,
    since: datetime | None = None,
    sample: float = 1.0,
    part: int = 0,
    repair_from: ObjectStore | None = None,
    found: Callable[[Finding], object] | None = None,
    progress: Progress | None = None,
) -> VerifyReport:
    """Hashes objects, reads all runs, and looks up everything that they refer to.

    Args:
        store: The store.
        registries: Every registry whose runs refer to it.
        since: Hash only objects written at or after this time, with its time zone.
        sample: Which share of the objects to hash, above 0 and up to 1.
        part: Which sample: with 5 %, the parts 0 to 19 are all objects, each once.
        repair_from: A store from which damaged and missing objects are brought back.
        found: Is called with each finding as it is made.
        progress: Is called with how many bytes were hashed, and with None.

    Raises:
        InvalidArgumentError: `sample` is no share, or `since` has no time zone.
        StorageError: The store or a registry cannot be listed.
    """
    if not 0 < sample <= 1:
        raise InvalidArgumentError(f"'sample' must be above 0 and up to 1, not {sample!r}")
    if since is not None and since.tzinfo is None:
        raise InvalidArgumentError("'since' needs a time zone, such as 2026-01-31T12:00:00Z")
    check = _Check(store, several(registries), repair_from, found, progress)
    check.objects(since, sample, part)
    check.runs()
    return check.report()


class _Check:
    """One verification: what it found so far."""

    def __init__(
        self,
        store: ObjectStore,
        registries: Sequence[Registry],
        other: ObjectStore | None,
        found: Callable[[Finding], object] | None,
        progress: Progress | None,
    ) -> None:
        self._bucket, self._registries, self._other = store.bucket, registries, other
        self._found, self._progress = found, progress
        self._began = time.monotonic()
        self._table = DigestTable()
        self._missing: set[str] = set()
        self._problems = Counter[str]()
        self._bytes = self._hashed = self._hashed_bytes = self._foreign = 0
        self._runs = self._references = self._baselines = self._repaired = 0

    def objects(self, since: datetime | None, sample: float, part: int) -> None:
        """Lists all objects, and hashes those that are asked for."""
        begin = part * sample % 1

        def chosen(info: BlobInfo) -> bool:
            offset = (int(info.key[-64:-48], 16) / 16**16 - begin) % 1
            return offset < sample and (since is None or info.modified >= since)

        todo = (info for info in self._listed() if chosen(info))
        width = min(_OBJECTS_IN_FLIGHT, self._bucket.max_concurrency)
        for info, size in each(todo, lambda info: _hash(self._bucket, info), width=width):
            if isinstance(size, BlobNotFoundError):
                continue  # deleted meanwhile; a run that refers to it says so below
            self._hashed += 1
            self._hashed_bytes += info.size
            if isinstance(size, StorageError):
                kind: Kind = "damaged object" if isinstance(size, _Damaged) else "unreadable object"
                self._broken(kind, f"{ALGORITHM}{info.key[-64:]}", str(size))
            if self._progress is not None:
                self._progress(self._hashed_bytes, None)

    def runs(self) -> None:
        """Reads all runs and baselines, and looks up what they refer to."""
        for registry in self._registries:
            registry.refresh()
            for problem in registry.problems():
                self._say(Finding(kind="unreadable run", name=problem.key, detail=problem.reason))
            for run in registry.iter_runs():
                self._run(run)
            self._look_at_baselines(registry)

    def report(self) -> VerifyReport:
        """What was checked and found."""
        orphans = list(self._table.unmarked())
        return VerifyReport(
            objects=len(self._table),
            object_bytes=self._bytes,
            hashed=self._hashed,
            hashed_bytes=self._hashed_bytes,
            foreign=self._foreign,
            orphans=len(orphans),
            orphan_bytes=sum(map(self._table.size, orphans)),
            runs=self._runs,
            references=self._references,
            baselines=self._baselines,
            problems=dict(self._problems),
            repaired=self._repaired,
            seconds=time.monotonic() - self._began,
        )

    def _listed(self) -> Iterator[BlobInfo]:
        for info in list_objects(self._bucket, object_prefix(None)):
            digest = digest_of_key(info.key)
            if digest is None:
                self._foreign += 1
                continue
            self._table.append(digest, info.size)
            self._bytes += info.size
            yield info

    def _run(self, run: RunRecord) -> None:
        self._runs += 1
        for digest in references(run.record):
            position = self._table.find(digest)
            if position is not None:
                self._table.mark(position)
        try:
            artifacts = run.artifacts
        except CorruptRecordError as exc:
            self._say(Finding(kind="unreadable run", name=run.run_id, detail=str(exc)))
            return
        self._references += len(artifacts)
        for artifact in artifacts:
            self._look_up(artifact.digest, run.run_id)

    def _look_up(self, digest: str, run_id: str) -> None:
        if self._table.find(digest) is not None or digest in self._missing:
            return
        try:
            self._bucket.stat(object_key(digest))  # it may be there since the list
        except BlobNotFoundError:
            self._missing.add(digest)
            self._broken("missing object", digest, f"run {run_id!r} refers to it")

    def _look_at_baselines(self, registry: Registry) -> None:
        for problem in registry.baseline_problems():
            self._say(Finding(kind="bad baseline", name=problem.key, detail=problem.reason))
        for baseline in registry.list_baselines():
            if registry.exists(baseline["run_id"]):
                self._baselines += 1
            else:
                detail = f"its run {baseline['run_id']!r} is not there"
                self._say(Finding(kind="bad baseline", name=baseline["project"], detail=detail))

    def _broken(self, kind: Kind, digest: str, detail: str) -> None:
        """An object that is not there as it should be."""
        repaired = False
        if self._other is not None:
            try:
                _bring_back(self._bucket, digest, self._other)
                repaired = True
            except StorageError as exc:
                detail = f"{detail}; not repaired: {exc}"
        self._say(Finding(kind=kind, name=digest, detail=detail, repaired=repaired))

    def _say(self, finding: Finding) -> None:
        self._problems[finding.kind] += 1
        self._repaired += finding.repaired
        if self._found is not None:
            self._found(finding)


class _Damaged(StorageError):
    """The bytes of an object are not those of its digest."""


def _hash(bucket: Bucket, info: BlobInfo) -> int:
    """Hashes an object by parts; returns its size, raises if it is damaged."""
    for _ in range(_READS):
        try:
            actual = _digest_of(bucket, info.key)
        except ConflictError:
            continue  # written again meanwhile
        if actual == info.key[-64:]:
            return info.size
    raise _Damaged("its bytes are not those of its digest")


def _digest_of(bucket: Bucket, key: str) -> str:
    digest, start = hashlib.sha256(), 0
    version = None
    while True:
        blob = bucket.read(key, start=start, length=_PART)
        if version not in (None, blob.version):
            raise ConflictError(f"{key!r} was replaced while it was read")
        version = blob.version
        digest.update(blob.data)
        start += len(blob.data)
        if len(blob.data) < _PART:
            return digest.hexdigest()


def _bring_back(bucket: Bucket, digest: str, other: ObjectStore) -> None:
    with tempfile.TemporaryFile() as file:
        binary = cast("BinaryIO", file)
        other.get_file(digest, binary)
        size = binary.tell()
        binary.seek(0)
        bucket.upload(object_key(digest), binary, size)
