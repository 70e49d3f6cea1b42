"""What keeps a put and a garbage collection from losing an object between them.

A collection deletes what no run refers to and what was last written longer ago than its grace
period. A put that finds its object there sends nothing, so the object may be old enough, and the
run that will refer to it is not saved yet. Therefore:

1. A put that finds an object older than `FRESH` writes it again, so that it is young.
2. A collection holds a lease, a blob under `_gc/`, from before it looks at an object for the
   last time until after its last delete; each batch has a lease of its own.
3. A put that wrote an old object again lists the leases after it, waits until those are gone,
   looks, and writes the object once more if it is not there.

Say the put writes at W. A batch that looks after W sees a young object, or none, and lets it be.
One that looked before W had its lease before W, and has it until its deletes are done: either it
is listed and waited for, or it was done before the list. So at the look of step 3 every delete
that could meet the object is over, and what is there then, or is written then, stays.

A lease ends by itself `LEASE` after it was written, by the server's clock, as its collection may
have crashed; a collection begins nothing in its second half, which is longer than a request is
tried again. Where each write makes another version, deletes name the version that was seen, and
nothing rests on time.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Final

from devqubit.errors import BlobNotFoundError, ConflictError, StorageError

if TYPE_CHECKING:
    from devqubit.storage._bucket import BlobInfo, Bucket

__all__ = ["FRESH", "LEASE", "Lease", "is_fresh", "wait_for_collections", "write_again"]

logger = logging.getLogger("devqubit.storage")

FRESH: Final = timedelta(hours=12)
"""The age up to which a put takes an object for safe from any collection."""

LEASE: Final = timedelta(minutes=10)
"""How long a lease holds; requests are tried again for a minute, if nothing else is said."""

_FOLDER: Final = "_gc/"
_POLL_SECONDS: Final = 0.2
_SILENT_SECONDS: Final = 3.0


def is_fresh(there: BlobInfo) -> bool:
    """Whether an object is so young that no collection deletes it soon, by this clock."""
    return datetime.now(UTC) - there.modified < FRESH


def write_again(bucket: Bucket, key: str, write: Callable[[], object]) -> None:
    """Writes an old object again so that no collection that is under way takes it.

    Args:
        bucket: Where it is.
        key: The object.
        write: Writes it; is called once more if the object was deleted meanwhile.
    """
    write()
    _wait_for_leases(bucket, lambda: _modified(bucket, key))
    try:
        bucket.stat(key)
    except BlobNotFoundError:
        write()


def wait_for_collections(bucket: Bucket) -> None:
    """Returns when every collection that looked before is done with what it deletes.

    For those who rely on many objects at once; what is there afterwards, and is referred to by a
    run that is saved, stays.

    Args:
        bucket: Where the objects are.
    """

    def now() -> datetime:
        with Lease(bucket) as own:
            return own.began

    _wait_for_leases(bucket, now)


def _wait_for_leases(bucket: Bucket, now: Callable[[], datetime | None]) -> None:
    leases = {lease.key: lease.modified for lease in bucket.list(_FOLDER)}
    if not leases:
        return
    moment = now() or min(leases.values())
    left = {lease: LEASE - (moment - modified) for lease, modified in leases.items()}
    seen = {lease for lease, time_left in left.items() if time_left > timedelta(0)}
    if not seen:
        return
    began = time.monotonic()
    longest, said = max(left.values()).total_seconds(), False
    while seen and (waited := time.monotonic() - began) < longest:
        if waited >= _SILENT_SECONDS and not said:
            said = True
            logger.warning(
                "%s: waiting for a garbage collection to be done, or, if it crashed, for %.0f s",
                bucket.location,
                longest - waited,
            )
        time.sleep(_POLL_SECONDS)
        seen &= {lease.key for lease in bucket.list(_FOLDER)}


def _modified(bucket: Bucket, key: str) -> datetime | None:
    try:
        return bucket.stat(key).modified
    except BlobNotFoundError:
        return None


class Lease:
    """Held by a collection while it deletes a batch; use it with `with`.

    Attributes:
        began: When it was written, by the server's clock.
        versions_are_unique: Whether the bucket gives another version to the same bytes when
            they are written again, and deletes by version.

    Args:
        bucket: Where the objects are.
    """

    began: datetime
    versions_are_unique: bool

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._key = f"{_FOLDER}{os.urandom(8).hex()}"
        self._clocks = _clocks()

    def __enter__(self) -> Lease:
        first = self._bucket.write(self._key, b"{}")
        try:
            self._clocks = _clocks()
            second = self._bucket.write(self._key, b"{}")
            self.began = self._bucket.stat(self._key).modified
        except BaseException:
            self._remove()
            raise
        can = self._bucket.capabilities.conditional_delete
        self.versions_are_unique = can and first != second
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._remove()

    def check(self) -> None:
        """Raises if it is too late to begin a delete."""
        # The monotonic clock may stand still while a computer sleeps, the other may be set.
        now = _clocks()
        elapsed = max(abs(now[0] - self._clocks[0]), abs(now[1] - self._clocks[1]))
        if elapsed > LEASE.total_seconds() / 2:
            raise ConflictError(
                f"{self._bucket.location}: {elapsed:.0f} s have passed since the objects were "
                "looked at, too many to delete more of them safely: collect again"
            )

    def remove_old(self) -> None:
        """Removes the leases of collections that crashed."""
        for lease in list(self._bucket.list(_FOLDER)):
            if self.began - lease.modified > LEASE:
                self._bucket.delete(lease.key)

    def _remove(self) -> None:
        # One that stays ends by itself.
        with suppress(StorageError):
            self._bucket.delete(self._key)


def _clocks() -> tuple[float, float]:
    return time.monotonic(), time.time()
