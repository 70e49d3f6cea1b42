"""Buckets in memory that spoil a write, its condition, or an upload, each in one way."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO

from devqubit.errors import ConflictError
from devqubit.plugin import ABSENT, Absent, BlobInfo, OpenRequest, Version
from tests.kit.memory_bucket import MemoryBucket, PlainBucket

__all__ = [
    "DeletesAnyVersion",
    "DeletesNoVersion",
    "LooksFirst",
    "LostUpdate",
    "OneBuffer",
    "Pretends",
    "QuotedInLists",
    "Rewinds",
    "SwallowsConflict",
    "Tombstone",
    "TornWrite",
    "UploadsInPlace",
    "UploadsShortFiles",
    "VersionIsSize",
]

Condition = Version | Absent | None


class VersionIsSize(MemoryBucket):
    """Tells versions apart by their size."""

    def _new_version(self, data: bytes) -> Version:
        return Version(f"size-{len(data)}")


class QuotedInLists(MemoryBucket):
    """Gives versions in quotes in lists, and without elsewhere."""

    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[BlobInfo]:
        for info in super().list(prefix, start_after=start_after):
            yield replace(info, version=Version(f'"{info.version}"'))


class LostUpdate(MemoryBucket):
    """Replaces whatever is there."""

    def _check(self, key: str, expected: Condition) -> None:
        super()._check(key, ABSENT if expected is ABSENT else None)


class SwallowsConflict(MemoryBucket):
    """Does not write in a conflict, and does not say so."""

    def write(self, key: str, data: bytes, *, if_version: Condition = None) -> Version:
        try:
            return super().write(key, data, if_version=if_version)
        except ConflictError:
            return self._stored(key).version


class DeletesNoVersion(MemoryBucket):
    """Keeps what is to be deleted in one version only, and says otherwise."""

    def delete(self, key: str, *, if_version: Version | None = None) -> bool:
        with self._lock:
            self._check(key, if_version)
            return if_version is not None or super().delete(key)


class Tombstone(MemoryBucket):
    """Takes what was deleted for something that is there."""

    def __init__(self, request: OpenRequest) -> None:
        super().__init__(request)
        self._deleted: set[str] = set()

    def delete(self, key: str, *, if_version: Version | None = None) -> bool:
        self._deleted.add(key)
        return super().delete(key, if_version=if_version)

    def _check(self, key: str, expected: Condition) -> None:
        if expected is ABSENT and key in self._deleted:
            raise ConflictError(f"{key!r} was deleted", expected=expected)
        super()._check(key, expected)


class DeletesAnyVersion(MemoryBucket):
    """Deletes whatever is there."""

    def delete(self, key: str, *, if_version: Version | None = None) -> bool:
        return super().delete(key)


class Pretends(PlainBucket):
    """Declares no conditions, and passes over them."""

    def write(self, key: str, data: bytes, *, if_version: Condition = None) -> Version:
        return super().write(key, data)


class LooksFirst(MemoryBucket):
    """Looks first and writes then, with a moment between."""

    def write(self, key: str, data: bytes, *, if_version: Condition = None) -> Version:
        self._check(key, if_version)
        time.sleep(0.001)
        return self._put(key, data)


class TornWrite(MemoryBucket):
    """Writes a blob in two steps."""

    def _put(self, key: str, data: bytes) -> Version:
        super()._put(key, data[: len(data) // 2])
        time.sleep(0.002)
        return super()._put(key, data)


class OneBuffer(MemoryBucket):
    """Has one buffer for all threads."""

    def write(self, key: str, data: bytes, *, if_version: Condition = None) -> Version:
        self._buffer = data
        time.sleep(0.0001)
        return super().write(key, self._buffer, if_version=if_version)


class UploadsShortFiles(MemoryBucket):
    """Takes a file for whole that ends early."""

    def upload(self, key: str, fileobj: BinaryIO, size: int) -> Version:
        return self.write(key, fileobj.read(size))


class UploadsInPlace(MemoryBucket):
    """Writes a blob as its file is read."""

    def upload(self, key: str, fileobj: BinaryIO, size: int) -> Version:
        version = self.write(key, b"")
        while data := fileobj.read(min(1024 * 1024, size - len(self.read(key).data))):
            version = self.write(key, self.read(key).data + data)
        return version


class Rewinds(MemoryBucket):
    """Uploads a file from its beginning."""

    def upload(self, key: str, fileobj: BinaryIO, size: int) -> Version:
        fileobj.seek(0)
        return super().upload(key, fileobj, size)
