"""A bucket that is right, in the memory of a process: what the broken ones change a bit of."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from devqubit.errors import BlobNotFoundError, ConflictError, UnsupportedError
from devqubit.plugin import (
    ABSENT,
    Absent,
    Blob,
    BlobInfo,
    Bucket,
    Capabilities,
    OpenRequest,
    Version,
)

__all__ = ["MemoryBucket", "PlainBucket", "Stored"]

BUCKETS: dict[str, dict[str, Stored]] = {}
LOCK = threading.RLock()
NUMBERS = itertools.count(1)


@dataclass(frozen=True)
class Stored:
    """A blob as it is kept."""

    data: bytes
    version: Version
    modified: datetime


class MemoryBucket(Bucket):
    """Blobs by name, which is the prefix and the key, in one dictionary a bucket."""

    capabilities = Capabilities(persistent=False)

    def __init__(self, request: OpenRequest) -> None:
        self.location = request.location
        self._prefix = request.key_prefix
        self._blobs = BUCKETS.setdefault(f"{request.scheme}://{request.bucket}", {})
        self._lock = LOCK

    def read(self, key: str, *, start: int = 0, length: int | None = None) -> Blob:
        stored = self._stored(key)
        return Blob(self._range(stored.data, start, length), stored.version)

    def write(
        self, key: str, data: bytes, *, if_version: Version | Absent | None = None
    ) -> Version:
        kind = "create" if if_version is ABSENT else "replace"
        self._can(if_version, f"conditional_{kind}")
        with self._lock:
            self._check(key, if_version)
            return self._put(key, data)

    def stat(self, key: str) -> BlobInfo:
        return self._info(key, self._stored(key))

    def delete(self, key: str, *, if_version: Version | None = None) -> bool:
        self._can(if_version, "conditional_delete")
        with self._lock:
            if self._name(key) not in self._blobs:
                return False
            self._check(key, if_version)
            del self._blobs[self._name(key)]
            return True

    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[BlobInfo]:
        with self._lock:
            blobs = {self._key(n): s for n, s in self._blobs.items() if n.startswith(self._prefix)}
        for key in self._ordered(blobs):
            if self._matches(key, prefix) and self._follows(key, start_after):
                yield self._info(key, blobs[key])

    def _name(self, key: str) -> str:
        return self._prefix + key

    def _key(self, name: str) -> str:
        return name[len(self._prefix) :]

    def _stored(self, key: str) -> Stored:
        try:
            return self._blobs[self._name(key)]
        except KeyError as exc:
            raise BlobNotFoundError(key, self.location) from exc

    def _put(self, key: str, data: bytes) -> Version:
        stored = Stored(data, self._new_version(data), datetime.now(UTC))
        self._blobs[self._name(key)] = stored
        return stored.version

    def _new_version(self, data: bytes) -> Version:
        return Version(str(next(NUMBERS)))

    def _can(self, condition: object, capability: str) -> None:
        if condition is not None and not getattr(self.capabilities, capability):
            raise UnsupportedError(f"{self.location} has no {capability}")

    def _check(self, key: str, expected: Version | Absent | None) -> None:
        stored = self._blobs.get(self._name(key))
        actual = stored.version if stored else ABSENT
        if expected is not None and actual != expected:
            raise ConflictError(f"{key!r} was changed", expected=expected, actual=actual)

    def _info(self, key: str, stored: Stored) -> BlobInfo:
        return BlobInfo(key, len(stored.data), stored.version, stored.modified)

    def _range(self, data: bytes, start: int, length: int | None) -> bytes:
        return data[start:] if length is None else data[start : start + length]

    def _ordered(self, keys: dict[str, Stored]) -> Sequence[str]:
        return sorted(keys, key=str.encode)

    def _matches(self, key: str, prefix: str) -> bool:
        return key.startswith(prefix)

    def _follows(self, key: str, start_after: str) -> bool:
        return key.encode() > start_after.encode()


class PlainBucket(MemoryBucket):
    """One that has no conditions, says so, and refuses them."""

    capabilities = Capabilities(
        conditional_create=False,
        conditional_replace=False,
        conditional_delete=False,
        persistent=False,
        ranged_listing=False,
    )
