"""Copying what never changes: objects, verified by their digests, and segments of metric points."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from devqubit.errors import (
    BlobNotFoundError,
    CorruptRecordError,
    ObjectNotFoundError,
    StorageError,
)
from devqubit.maintenance._copy_job import SMALL, Job, failure, joined
from devqubit.maintenance._copy_report import OBJECTS, POINTS, Done, Outcome
from devqubit.storage._digest import digest_of_key, object_prefix
from devqubit.storage._lookup import list_objects
from devqubit.storage._metrics import is_segment
from devqubit.storage._pool import each

if TYPE_CHECKING:
    from devqubit.storage._bucket import BlobInfo

__all__ = ["copy_objects", "copy_points", "copy_referenced", "folder_of"]

# Somebody may be merging a run's segments; each time one is gone, they are listed anew.
_ROUNDS: Final = 5

Pair = tuple[str, int, bool]
"""A digest or key, its size at the source, and whether the target has something under it."""


def copy_objects(job: Job) -> None:
    """Copies all objects that the target does not have, or has with another size."""
    source, target = job.source.store.bucket, job.target.store.bucket
    everything = object_prefix(None)
    pairs = joined(list_objects(source, everything), list_objects(target, everything))
    found = (
        (digest, here, there)
        for here, there in pairs
        if here is not None and (digest := digest_of_key(here.key)) is not None
    )
    _copy(job, OBJECTS, _wanted(job, OBJECTS, found), lambda pair: _object(job, pair))


def copy_referenced(job: Job, digests: Iterable[str]) -> None:
    """Copies the objects of these digests, as `copy_objects` does."""
    wanted = sorted(set(digests))
    here = job.source.store.get_sizes(wanted)
    there = job.target.store.get_sizes(wanted)

    def missing() -> Iterator[Pair]:
        for (digest, ours), (_, theirs) in zip(here, there, strict=True):
            if isinstance(theirs, StorageError) and not isinstance(theirs, ObjectNotFoundError):
                raise theirs
            if not isinstance(theirs, StorageError) and (
                ours == theirs or isinstance(ours, ObjectNotFoundError)
            ):
                job.ledger.add(OBJECTS, Done(digest, Outcome.PRESENT))
            elif isinstance(ours, StorageError):
                job.ledger.add(OBJECTS, failure(digest, ours, reading=True))
            else:
                yield digest, ours, not isinstance(theirs, StorageError)

    _copy(job, OBJECTS, missing(), lambda pair: _object(job, pair))


def copy_points(job: Job, folders: Callable[[str], bool], prefix: str = "metrics/") -> None:
    """Copies the segments of metric points that the target does not have.

    Segments have names of their own and are never changed, so size and name tell.

    Args:
        job: The copy.
        folders: Whether those of a folder, such as `metrics/<run id>/`, are wanted.
        prefix: Only those whose keys start with it.
    """
    gone = _points(job, folders, prefix)
    for _ in range(_ROUNDS):
        gone = {key for folder in sorted(gone) for key in _points(job, folders, folder)}
        if not gone:
            return
    for folder in sorted(gone):
        job.ledger.add(POINTS, Done(folder, Outcome.FAILED, reason="it changes all the time"))


def _points(job: Job, folders: Callable[[str], bool], prefix: str) -> set[str]:
    """Copies them; returns the folders where one was merged meanwhile."""
    source, target = job.source.registry.bucket, job.target.registry.bucket
    pairs = joined(source.list(prefix), target.list(prefix))
    found = (
        (here.key, here, there)
        for here, there in pairs
        if here is not None and folders(folder_of(here.key)) and _is_segment(job, here)
    )
    gone: set[str] = set()

    def move(pair: Pair) -> Done:
        try:
            return _segment(job, pair)
        except BlobNotFoundError:
            gone.add(folder_of(pair[0]))
            return Done(pair[0], Outcome.PRESENT)

    _copy(job, POINTS, _wanted(job, POINTS, found), move)
    return gone


def _is_segment(job: Job, info: BlobInfo) -> bool:
    try:
        return is_segment(info)
    except CorruptRecordError as exc:
        job.ledger.add(POINTS, failure(info.key, exc, reading=True))
        return False


def folder_of(key: str) -> str:
    """The folder of a key, with its slash."""
    return key.rpartition("/")[0] + "/"


def _wanted(
    job: Job, kind: str, found: Iterable[tuple[str, BlobInfo, BlobInfo | None]]
) -> Iterator[Pair]:
    for name, here, there in found:
        if there is not None and there.size == here.size:
            job.ledger.add(kind, Done(name, Outcome.PRESENT))
        else:
            yield name, here.size, there is not None


def _copy(job: Job, kind: str, pairs: Iterable[Pair], move: Callable[[Pair], Done]) -> None:
    call = _planned if job.dry_run else move
    for (name, _, _), done in each(pairs, call, width=job.width):
        job.ledger.add(kind, failure(name, done) if isinstance(done, StorageError) else done)


def _planned(pair: Pair) -> Done:
    name, size, there = pair
    return Done(name, Outcome.REPLACED if there else Outcome.COPIED, size)


def _object(job: Job, pair: Pair) -> Done:
    digest, size, _ = pair
    source, target = job.source.store, job.target.store
    if size <= SMALL:
        try:
            data = source.get_bytes(digest)
        except StorageError as exc:
            return failure(digest, exc, reading=True)
        target.put_bytes(data)
        return _planned(pair)
    with job.large, tempfile.TemporaryDirectory(prefix="devqubit-copy-") as folder:
        path = os.path.join(folder, "object")
        try:
            source.get_file(digest, path)
        except StorageError as exc:
            return failure(digest, exc, reading=True)
        target.put_file(path)
    return _planned(pair)


def _segment(job: Job, pair: Pair) -> Done:
    key, size, _ = pair
    source, target = job.source.registry.bucket, job.target.registry.bucket
    if size <= SMALL:
        try:
            data = source.read(key).data
        except BlobNotFoundError:
            raise
        except StorageError as exc:
            return failure(key, exc, reading=True)
        target.write(key, data)
        return _planned(pair)
    with job.large, tempfile.TemporaryFile() as temporary:
        file = cast("BinaryIO", temporary)
        try:
            source.download(key, file)
        except BlobNotFoundError:
            raise
        except StorageError as exc:
            return failure(key, exc, reading=True)
        size = file.tell()
        file.seek(0)
        target.upload(key, file, size)
    return Done(key, _planned(pair).outcome, size)
