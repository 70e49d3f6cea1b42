"""Buckets in memory that spoil what is read, its key, or the list of it, each in one way."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from urllib.parse import unquote, unquote_plus

from devqubit.errors import BlobNotFoundError, StorageError
from devqubit.plugin import Blob, BlobInfo, OpenRequest, Version
from tests.kit.memory_bucket import MemoryBucket, PlainBucket, Stored

__all__ = [
    "AfterIsIncluded",
    "DecodesPercent",
    "DecodesPlus",
    "DeletesNothing",
    "DeletesSome",
    "EqualsEscapes",
    "FolderPrefix",
    "IgnoresCase",
    "KeepsTheTail",
    "KeepsTheTime",
    "LiveList",
    "LocalTime",
    "LosesEmptyBlobs",
    "NormalisesUnicode",
    "OnePage",
    "OrderOfUtf16",
    "OutOfOrder",
    "PatternPrefix",
    "PlaceOfItsOwn",
    "RaisesPastTheEnd",
    "RangeOffByOne",
    "RemembersReads",
    "RemembersSizes",
    "SharedPrefix",
    "StaleList",
    "StaleRead",
    "TextMode",
    "WritesOnce",
    "WrongSize",
]


class LosesEmptyBlobs(MemoryBucket):
    """Takes no bytes for no blob."""

    def read(self, key: str, *, start: int = 0, length: int | None = None) -> Blob:
        if not self._stored(key).data:
            raise BlobNotFoundError(key, self.location)
        return super().read(key, start=start, length=length)


class TextMode(MemoryBucket):
    """Translates line ends."""

    def _put(self, key: str, data: bytes) -> Version:
        return super()._put(key, data.replace(b"\r\n", b"\n"))


class KeepsTheTail(MemoryBucket):
    """Writes over what is there without cutting off what is longer."""

    def _put(self, key: str, data: bytes) -> Version:
        old = self._blobs.get(self._name(key))
        return super()._put(key, data + (old.data[len(data) :] if old else b""))


class StaleRead(MemoryBucket):
    """Reads from a copy that is one write behind."""

    def __init__(self, request: OpenRequest) -> None:
        super().__init__(request)
        self._behind: dict[str, Stored] = {}

    def _put(self, key: str, data: bytes) -> Version:
        old = self._blobs.get(self._name(key))
        version = super()._put(key, data)
        self._behind[key] = old or self._blobs[self._name(key)]
        return version

    def read(self, key: str, *, start: int = 0, length: int | None = None) -> Blob:
        stored = self._behind.get(key) or self._stored(key)
        return Blob(self._range(stored.data, start, length), stored.version)


class RemembersReads(MemoryBucket):
    """Keeps what it read, and forgets it only when it writes itself."""

    def __init__(self, request: OpenRequest) -> None:
        super().__init__(request)
        self._seen: dict[str, Stored] = {}

    def read(self, key: str, *, start: int = 0, length: int | None = None) -> Blob:
        stored = self._seen.setdefault(key, self._stored(key))
        return Blob(self._range(stored.data, start, length), stored.version)

    def _put(self, key: str, data: bytes) -> Version:
        self._seen.pop(key, None)
        return super()._put(key, data)


class PlaceOfItsOwn(MemoryBucket):
    """Begins anew each time that it is opened."""

    def __init__(self, request: OpenRequest) -> None:
        super().__init__(request)
        self._blobs = {}


class WritesOnce(MemoryBucket):
    """Passes over a write where something is already, as if all blobs were for ever."""

    def _put(self, key: str, data: bytes) -> Version:
        stored = self._blobs.get(self._name(key))
        return stored.version if stored else super()._put(key, data)


class RangeOffByOne(MemoryBucket):
    """Takes the length for the last byte, as HTTP does."""

    def _range(self, data: bytes, start: int, length: int | None) -> bytes:
        return data[start:] if length is None else data[start : start + length + 1]


class RaisesPastTheEnd(MemoryBucket):
    """Hands on that a range cannot be satisfied."""

    def _range(self, data: bytes, start: int, length: int | None) -> bytes:
        if start and start >= len(data):
            raise StorageError("416 Requested Range Not Satisfiable")
        return super()._range(data, start, length)


class WrongSize(MemoryBucket):
    """Counts the letters of what it would print."""

    def _info(self, key: str, stored: Stored) -> BlobInfo:
        return replace(super()._info(key, stored), size=len(repr(stored.data)))


class LocalTime(MemoryBucket):
    """Gives times without a time zone."""

    def _info(self, key: str, stored: Stored) -> BlobInfo:
        return replace(super()._info(key, stored), modified=datetime.now())


class KeepsTheTime(MemoryBucket):
    """Gives the time at which a blob was created, whenever it was written again."""

    def _put(self, key: str, data: bytes) -> Version:
        before = self._blobs.get(self._name(key))
        version = super()._put(key, data)
        if before is not None:
            now = self._blobs[self._name(key)]
            self._blobs[self._name(key)] = replace(now, modified=before.modified)
        return version


class DeletesNothing(MemoryBucket):
    """Says of each delete that it did something, as S3 does."""

    def delete(self, key: str, *, if_version: Version | None = None) -> bool:
        super().delete(key, if_version=if_version)
        return True


class DeletesSome(MemoryBucket):
    """Of many, says of each that it is deleted, but leaves the last one."""

    def delete_many(self, keys: Iterable[str]) -> Iterator[tuple[str, StorageError | None]]:
        given = list(keys)
        for key in given[:-1]:
            self.delete(key)
        return iter([(key, None) for key in given])


class RemembersSizes(PlainBucket):
    """Says of a blob what it said before, until that is written."""

    def __init__(self, request: OpenRequest) -> None:
        super().__init__(request)
        self._seen: dict[str, BlobInfo] = {}

    def stat(self, key: str) -> BlobInfo:
        if key not in self._seen:
            self._seen[key] = super().stat(key)
        return self._seen[key]

    def _put(self, key: str, data: bytes) -> Version:
        self._seen.pop(key, None)
        return super()._put(key, data)


class DecodesPercent(MemoryBucket):
    """Takes a key for a part of a URL."""

    def _name(self, key: str) -> str:
        return unquote(super()._name(key))


class DecodesPlus(MemoryBucket):
    """Takes a key for a part of a query, on its way back only."""

    def _key(self, name: str) -> str:
        return super()._key(name).replace("+", " ")


class EqualsEscapes(MemoryBucket):
    """Takes what is escaped and what is not for the same, and gives it as it came."""

    def _name(self, key: str) -> str:
        name = super()._name(key)
        return next((n for n in self._blobs if unquote_plus(n) == unquote_plus(name)), name)


class NormalisesUnicode(MemoryBucket):
    """Writes keys in the composed form, as some file systems do."""

    def _name(self, key: str) -> str:
        return unicodedata.normalize("NFC", super()._name(key))


class IgnoresCase(MemoryBucket):
    """Takes upper and lower case for the same."""

    def _name(self, key: str) -> str:
        return self._prefix + next(
            (k for k in map(self._key, self._blobs) if k.lower() == key.lower()), key
        )


class PatternPrefix(MemoryBucket):
    """Takes a prefix for a pattern."""

    def _matches(self, key: str, prefix: str) -> bool:
        return re.match(prefix.replace("+", ".").replace("?", "."), key) is not None


class SharedPrefix(MemoryBucket):
    """Puts a prefix before keys without the slash between."""

    def __init__(self, request: OpenRequest) -> None:
        super().__init__(request)
        self._prefix = request.prefix


class FolderPrefix(MemoryBucket):
    """Takes the prefix `a` for the folder `a/`."""

    def _matches(self, key: str, prefix: str) -> bool:
        return not prefix or key.startswith(prefix.rstrip("/") + "/")


class OnePage(MemoryBucket):
    """Stops at the end of the first page."""

    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[BlobInfo]:
        for number, info in enumerate(super().list(prefix, start_after=start_after)):
            if number < 1_000:
                yield info


class OrderOfUtf16(MemoryBucket):
    """Orders keys as Java and Windows do."""

    def _ordered(self, keys: dict[str, Stored]) -> Sequence[str]:
        return sorted(keys, key=lambda key: key.encode("utf-16-be"))


class StaleList(MemoryBucket):
    """Lists what was there when it first listed, until something new comes."""

    def __init__(self, request: OpenRequest) -> None:
        super().__init__(request)
        self._listed: tuple[int, dict[str, Stored]] = (-1, {})

    def _ordered(self, keys: dict[str, Stored]) -> Sequence[str]:
        if self._listed[0] != len(keys):
            self._listed = (len(keys), dict(keys))
        keys.update(self._listed[1])
        return super()._ordered(self._listed[1])


class AfterIsIncluded(MemoryBucket):
    """Starts a list at the key that it should start after."""

    def _follows(self, key: str, start_after: str) -> bool:
        return key >= start_after


class LiveList(MemoryBucket):
    """Walks what others change meanwhile."""

    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[BlobInfo]:
        infos = list(super().list(prefix, start_after=start_after))
        for number in range(len(infos)):
            yield list(super().list(prefix, start_after=start_after))[number]


class OutOfOrder(MemoryBucket):
    """Yields bulk reads as they come."""

    def read_many(self, keys: Iterable[str]) -> Iterator[tuple[str, Blob | StorageError]]:
        return super().read_many(sorted(keys))
