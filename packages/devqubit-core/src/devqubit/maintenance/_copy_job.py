"""What all steps of a copy share: two places, what is wanted, and what may go wrong."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from devqubit.errors import (
    AccessDeniedError,
    BucketNotFoundError,
    CredentialsError,
    InvalidArgumentError,
    StorageError,
    StorageFullError,
    ThrottledError,
    UnreachableError,
)
from devqubit.maintenance._copy_report import Done, Ledger, Outcome
from devqubit.storage._url import parse_url

if TYPE_CHECKING:
    from devqubit.maintenance._place import Place
    from devqubit.storage._bucket import BlobInfo

__all__ = ["SMALL", "Job", "failure", "joined", "require_apart"]

SMALL: Final = 1024 * 1024
"""Bytes up to which a blob is copied in memory; what is larger goes through a file."""

# Of large blobs, each has several parts in flight, and a file of its size.
_LARGE_IN_FLIGHT: Final = 4

# These say that nothing can be copied, not that one item is bad.
_FATAL_SOURCE: Final = (BucketNotFoundError, CredentialsError, ThrottledError, UnreachableError)
_FATAL: Final = (*_FATAL_SOURCE, AccessDeniedError, StorageFullError)


@dataclass(frozen=True)
class Job:
    """One copy.

    Attributes:
        source: From where.
        target: To where.
        project: Only what belongs to it.
        overwrite: The source wins, also against what was changed later at the target.
        dry_run: Write nothing.
        ledger: Counts what is done.
    """

    source: Place
    target: Place
    project: str | None
    overwrite: bool
    dry_run: bool
    ledger: Ledger
    large: threading.Semaphore = field(
        default_factory=lambda: threading.BoundedSemaphore(_LARGE_IN_FLIGHT)
    )

    @property
    def width(self) -> int:
        """How many items are in flight."""
        places = self.source, self.target
        buckets = [b for p in places for b in (p.store.bucket, p.registry.bucket)]
        return min(bucket.max_concurrency for bucket in buckets)


def failure(key: str, error: StorageError, *, reading: bool = False) -> Done:
    """What one item's error means for it; raises an error that all others would have too.

    Args:
        key: The item.
        error: What it raised.
        reading: It came from the source, where one file may be forbidden and others not.
    """
    if isinstance(error, _FATAL_SOURCE if reading else _FATAL):
        raise error
    return Done(key, Outcome.FAILED, reason=str(error))


def joined(
    source: Iterable[BlobInfo], target: Iterable[BlobInfo]
) -> Iterator[tuple[BlobInfo | None, BlobInfo | None]]:
    """Two lists side by side, by key; None where a key is in the other one only."""
    ours, theirs = iter(source), iter(target)
    here, there = next(ours, None), next(theirs, None)
    while here is not None or there is not None:
        order = _order(here, there)
        yield here if order <= 0 else None, there if order >= 0 else None
        if order <= 0:
            here = next(ours, None)
        if order >= 0:
            there = next(theirs, None)


def _order(here: BlobInfo | None, there: BlobInfo | None) -> int:
    if here is None or there is None:
        return 1 if here is None else -1
    ours, theirs = here.key.encode(), there.key.encode()
    return (ours > theirs) - (ours < theirs)


def require_apart(source: Place, target: Place) -> None:
    """Refuses to copy a place onto itself, or into one of its own folders.

    Both may have the same store: then only what is beside the objects is copied. A workspace of
    devqubit 0.1.12 may be copied into its own folder, since its registry is one file there.
    """
    ours, theirs = source.registry.location, target.registry.location
    pairs = [(ours, theirs)]
    if source.store.location != target.store.location:
        pairs.append((source.store.location, target.store.location))
        pairs.append((ours, target.store.location))
        pairs.append((source.store.location, theirs))
    for here, there in pairs:
        if _overlap(here, there):
            raise InvalidArgumentError(
                f"{here} and {there} are the same place, or one is inside the other: "
                "name another target"
            )


def _overlap(here: str, there: str) -> bool:
    ours, theirs = _address(here), _address(there)
    if ours[0][0] == "file" and os.path.isfile(parse_url(here).prefix):
        return False
    return ours[0] == theirs[0] and all(a == b for a, b in zip(ours[1], theirs[1], strict=False))


def _address(location: str) -> tuple[tuple[object, ...], list[str]]:
    """The storage that a location is in, and the folders down to it."""
    url = parse_url(location)
    prefix = os.path.realpath(url.prefix) if url.scheme == "file" else url.prefix
    storage = url.scheme, url.bucket, tuple(sorted(url.parameters.items()))
    return storage, [part for part in prefix.replace(os.sep, "/").split("/") if part]
