"""Deleting objects that no run refers to; `devqubit.storage._lease` says why none is lost."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Final

from devqubit.errors import (
    BlobNotFoundError,
    ConflictError,
    InvalidArgumentError,
    StorageError,
    UnsupportedError,
)
from devqubit.maintenance._references import DigestTable, mark_references, several
from devqubit.storage._bucket import BlobInfo, Bucket
from devqubit.storage._digest import digest_of_key, object_key, object_prefix
from devqubit.storage._lease import FRESH, Lease
from devqubit.storage._lookup import list_objects
from devqubit.storage._pool import each
from devqubit.storage._trial import try_conditions

if TYPE_CHECKING:
    from devqubit.storage import ObjectStore, Registry
    from devqubit.storage._transfer import Progress

__all__ = ["GRACE", "GarbageReport", "collect_garbage"]

logger = logging.getLogger("devqubit.maintenance")

GRACE: Final = timedelta(hours=24)
"""The grace period, if nothing else is said."""

# A put relies on what is younger than FRESH; an hour more is for clocks that disagree.
_SHORTEST_GRACE: Final = FRESH + timedelta(hours=1)
# How many objects are deleted after one look at the registries.
_BATCH: Final = 10_000
_DELETES_IN_FLIGHT: Final = 16
# Listing the objects between is cheaper than asking for each, if there are fewer of them.
_LISTED_FOR_ONE: Final = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class GarbageReport:
    """What a collection found and did.

    Attributes:
        dry_run: Whether it only looked.
        runs: Runs of all registries.
        objects: Objects of the store.
        foreign: Files among them that are no objects; they are left alone.
        young: Objects within the grace period, which stay in any case.
        garbage: Objects to which no run refers, beyond the grace period.
        garbage_bytes: Their bytes.
        deleted: Objects that were deleted; 0 in a dry run.
        deleted_bytes: Their bytes.
        kept: Garbage that stayed: it was written again, referred to, or gone meanwhile.
        failed: Garbage that could not be deleted.
        swept: Files and uploads, begun before the grace period and broken off, that were removed.
        seconds: How long it took.
    """

    dry_run: bool
    runs: int
    objects: int
    foreign: int
    young: int
    garbage: int
    garbage_bytes: int
    deleted: int
    deleted_bytes: int
    kept: int
    failed: int
    swept: int
    seconds: float


def collect_garbage(
    store: ObjectStore,
    registries: Registry | Iterable[Registry],
    *,
    dry_run: bool = True,
    grace: timedelta = GRACE,
    allow_empty: bool = False,
    alone: bool = False,
    progress: Progress | None = None,
) -> GarbageReport:
    """Deletes the objects that no run refers to, while others go on writing.

    A run must be saved within `grace` less 12 hours after its objects were put, and whoever
    saves a run that refers to an object that no other run has must put that object before.

    Args:
        store: The store.
        registries: Every registry whose runs refer to it.
        dry_run: Only look; nothing is written, and "now" is this computer's.
        grace: What was last written less than this ago stays; 13 hours at least.
        allow_empty: Also where a registry has no run at all, which is likely a wrong URL.
        alone: Nobody else writes meanwhile. Without it, a store on a server that passes over
            conditions is refused, as puts there do not see that their object is old.
        progress: Is called with how many objects were deleted, and with how many there are
            to delete.

    Raises:
        InvalidArgumentError: The grace period is too short, or a registry has no runs.
        CorruptRecordError: A run cannot be read; nothing more is deleted.
        ConflictError: A batch took too long to be deleted safely; nothing of it was.
        UnsupportedError: The server passes over conditions.
        StorageError: The store or a registry cannot be read.
    """
    if grace < _SHORTEST_GRACE:
        raise InvalidArgumentError(
            f"A grace period of {grace} is too short: a put relies on objects that are younger "
            f"than {FRESH}, so give {_SHORTEST_GRACE} or more"
        )
    if not (dry_run or alone):
        _require_conditions(store.bucket)
    collection = _Collection(store, several(registries), grace, progress)
    collection.look(server_clock=not dry_run, allow_empty=allow_empty)
    if not dry_run:
        collection.delete()
        collection.sweep()
    return collection.report(dry_run)


class _Collection:
    """One collection: what it found and did so far."""

    def __init__(
        self,
        store: ObjectStore,
        registries: Sequence[Registry],
        grace: timedelta,
        progress: Progress | None,
    ) -> None:
        self._store, self._registries = store, registries
        self._bucket: Bucket = store.bucket
        self._grace, self._progress = grace, progress
        self._began = time.monotonic()
        self._before: datetime
        self._old = DigestTable()
        self._runs = self._objects = self._foreign = self._young = 0
        self._garbage = self._garbage_bytes = 0
        self._deleted = self._deleted_bytes = self._kept = self._failed = self._swept = 0

    def look(self, *, server_clock: bool, allow_empty: bool) -> None:
        """Lists the objects, then the runs, and tells garbage from what is referred to."""
        now = datetime.now(UTC)
        if server_clock:
            with Lease(self._bucket) as lease:
                lease.remove_old()
                now = lease.began
        self._before = now - self._grace
        self._list()
        if self._objects and not allow_empty:
            _require_runs(self._registries)
        self._runs = mark_references(self._registries, self._old)
        for position in self._old.unmarked():
            self._garbage += 1
            self._garbage_bytes += self._old.size(position)

    def delete(self) -> None:
        """Deletes the garbage, batch by batch."""
        positions = self._old.unmarked()
        while batch := list(islice(positions, _BATCH)):
            with Lease(self._bucket) as lease:
                mark_references(self._registries, self._old)
                still = [position for position in batch if not self._old.is_marked(position)]
                self._kept += len(batch) - len(still)
                if still:
                    self._delete_batch(still, lease)

    def sweep(self) -> None:
        """Removes what writes of long ago left behind, where that can be seen."""
        for bucket in (self._bucket, *(registry.bucket for registry in self._registries)):
            try:
                self._swept += bucket.sweep(self._before)
            except StorageError as exc:
                logger.warning("%s: what was broken off stays: %s", bucket.location, exc)

    def report(self, dry_run: bool) -> GarbageReport:
        """What was found and done."""
        return GarbageReport(
            dry_run=dry_run,
            runs=self._runs,
            objects=self._objects,
            foreign=self._foreign,
            young=self._young,
            garbage=self._garbage,
            garbage_bytes=self._garbage_bytes,
            deleted=self._deleted,
            deleted_bytes=self._deleted_bytes,
            kept=self._kept,
            failed=self._failed,
            swept=self._swept,
            seconds=time.monotonic() - self._began,
        )

    def _list(self) -> None:
        for info in list_objects(self._bucket, object_prefix(None)):
            digest = digest_of_key(info.key)
            if digest is None:
                self._foreign += 1
                continue
            self._objects += 1
            if info.modified < self._before:
                self._old.append(digest, info.size)
            else:
                self._young += 1

    def _delete_batch(self, positions: Sequence[int], lease: Lease) -> None:
        blobs = [info for info in self._look_again(positions) if info.modified < self._before]
        self._kept += len(positions) - len(blobs)
        lease.check()
        for info, outcome in _deleted(self._bucket, _in_time(blobs, lease), lease):
            if outcome is None:
                self._deleted += 1
                self._deleted_bytes += info.size
            elif isinstance(outcome, ConflictError):
                self._kept += 1
            else:
                self._failed += 1
                logger.warning("%s was not deleted: %s", info.key, outcome)
            if self._progress is not None:
                self._progress(self._deleted, self._garbage)

    def _look_again(self, positions: Sequence[int]) -> Iterator[BlobInfo]:
        """What is there now of a batch; what is gone is left out."""
        keys = [object_key(self._old[position]) for position in positions]
        if positions[-1] - positions[0] < _LISTED_FOR_ONE * len(positions):
            wanted = set(keys)
            # A list begins behind a key.
            for info in self._bucket.list(object_prefix(None), start_after=keys[0][:-1]):
                if info.key in wanted:
                    yield info
                if info.key >= keys[-1]:
                    return
            return
        for _, found in self._bucket.stat_many(keys):
            if isinstance(found, BlobInfo):
                yield found
            elif not isinstance(found, BlobNotFoundError):
                raise found


def _deleted(
    bucket: Bucket, blobs: Iterable[BlobInfo], lease: Lease
) -> Iterator[tuple[BlobInfo, StorageError | None]]:
    """Deletes blobs: each only in the version that was seen, where that tells anything."""
    if lease.versions_are_unique:
        width = min(_DELETES_IN_FLIGHT, bucket.max_concurrency)

        def delete(info: BlobInfo) -> bool:
            return bucket.delete(info.key, if_version=info.version)

        for info, outcome in each(blobs, delete, width=width):
            yield info, outcome if isinstance(outcome, StorageError) else None
        return
    given: dict[str, BlobInfo] = {}

    def keys() -> Iterator[str]:
        for info in blobs:
            given[info.key] = info
            yield info.key

    for key, error in bucket.delete_many(keys()):
        yield given.pop(key), error


def _in_time(blobs: Iterable[BlobInfo], lease: Lease) -> Iterator[BlobInfo]:
    """Blobs, for as long as it is not too late to delete one."""
    for info in blobs:
        lease.check()
        yield info


def _require_conditions(bucket: Bucket) -> None:
    if bucket.capabilities.unproven and not try_conditions(bucket).create:
        raise UnsupportedError(
            f"{bucket.location}: this server creates what is there already, so that whoever puts "
            "an old object again does not see that it may be deleted. Collect while nobody else "
            f"writes: alone=True, or --alone; `devqubit doctor '{bucket.location}'` shows more"
        )


def _require_runs(registries: Iterable[Registry]) -> None:
    for registry in registries:
        registry.refresh()
        if registry.count_runs() == 0:
            raise InvalidArgumentError(
                f"{registry.location} has no run, so that every object of the store would be "
                "garbage. Is that the right registry? If it is, allow it: allow_empty=True, or "
                "--allow-empty"
            )
