"""The interface of a backend: named blobs under one prefix.

Everything richer (content addressing, verification, records, baselines) is
written once above it. Bulk and streaming calls have defaults here that a backend
overrides where it has something better.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final, NewType

from devqubit.errors import ConflictError, StorageError, UnsupportedError
from devqubit.storage._pool import each

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["ABSENT", "Absent", "Blob", "BlobInfo", "Bucket", "Capabilities", "Version"]

Version = NewType("Version", str)
"""Opaque token of one state of a blob: an ETag, a generation. Compare it for equality only."""

DOWNLOAD_PART: Final = 8 * 1024 * 1024
DOWNLOADS_IN_FLIGHT: Final = 4


class Absent(enum.Enum):
    """Type of `ABSENT`."""

    ABSENT = "absent"


ABSENT: Final = Absent.ABSENT
"""The version of a blob that is not there: `write(key, data, if_version=ABSENT)` creates."""


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes of a blob, or of a range of it, with the version they belong to."""

    data: bytes
    version: Version


@dataclass(frozen=True, slots=True)
class BlobInfo:
    """What is known of a blob without its bytes.

    Attributes:
        key: The key, relative to the bucket's prefix.
        size: Bytes.
        version: The same token that `Bucket.read` and `Bucket.write` give.
        modified: When it was last written, by the server's clock, with time zone.
    """

    key: str
    size: int
    version: Version
    modified: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a backend can do; what it cannot is refused, never pretended.

    Attributes:
        conditional_create: `write` honours `if_version=ABSENT`.
        conditional_replace: `write` honours a version.
        conditional_delete: `delete` honours a version.
        persistent: Another process that opens the same URL sees the same blobs. In one
            process, all that open it do, also without this.
        ranged_listing: `list` with `start_after` costs no more than what it gives, so
            that parts of a long list can be asked for at the same time.
        unproven: The backend speaks to servers that others run, and some of them pass over
            conditions. They are tried before something rests on them.
    """

    conditional_create: bool = True
    conditional_replace: bool = True
    conditional_delete: bool = True
    persistent: bool = True
    ranged_listing: bool = True
    unproven: bool = False


class Bucket(ABC):
    """Named blobs, strongly consistent, under one prefix.

    Keys are `/`-separated, have no empty, `.` or `..` part, and none is a folder of
    another (where `a/b` is, `a` is not). If the storage cannot hold one of them, `write`
    and `upload` raise `InvalidKeyError`, and for the other methods nothing is there.
    Methods may be called from many threads at once, and in a forked child. They raise the
    `StorageError`s of `devqubit.errors` and nothing of the SDK they stand on.

    Attributes:
        location: The bucket's canonical URL, without secrets: the same for every
            way to write the same place. `OpenRequest.location` serves most backends.
        capabilities: What this bucket can do.
        max_concurrency: How many requests bulk calls keep in flight.
    """

    location: str
    capabilities: Capabilities = Capabilities()
    max_concurrency: int = 32

    @abstractmethod
    def read(self, key: str, *, start: int = 0, length: int | None = None) -> Blob:
        """Reads a blob, or a range of it.

        Args:
            key: The blob.
            start: First byte, from 0. At or past the end, the range is empty.
            length: How many bytes, or fewer only where the blob ends; None reads to the end.

        Raises:
            BlobNotFoundError: Nothing is stored under the key.
        """

    @abstractmethod
    def write(
        self, key: str, data: bytes, *, if_version: Version | Absent | None = None
    ) -> Version:
        """Writes a blob, atomically: readers see the old bytes or the new ones, whole.

        Args:
            key: The blob.
            data: Its bytes.
            if_version: None replaces whatever is there. `ABSENT` writes only where
                nothing is: of any number of racing writers, one wins. A version
                writes only if the blob still has it.

        Returns:
            The version written.

        Raises:
            ConflictError: Somebody else was first. Never because of this call's own
                write, also when its acknowledgement was lost and it was sent again.
        """

    @abstractmethod
    def stat(self, key: str) -> BlobInfo:
        """Size, version and time of a blob, without its bytes.

        Raises:
            BlobNotFoundError: Nothing is stored under the key.
        """

    @abstractmethod
    def delete(self, key: str, *, if_version: Version | None = None) -> bool:
        """Deletes a blob.

        Args:
            key: The blob.
            if_version: Delete only if the blob still has this version.

        Returns:
            False if nothing was there.

        Raises:
            ConflictError: The blob has another version than `if_version`.
        """

    @abstractmethod
    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[BlobInfo]:
        """The blobs whose keys start with `prefix`, in the order of their UTF-8 bytes.

        Pages are asked for as they are needed.

        Args:
            prefix: Taken literally: `a` matches `a`, `a/b` and `ab`.
            start_after: Only keys behind this one.
        """

    def read_many(self, keys: Iterable[str]) -> Iterator[tuple[str, Blob | StorageError]]:
        """Reads many blobs, `max_concurrency` at a time.

        Yields:
            Each key with its blob, or with the error that reading it raised, in the
            order of `keys`, which are taken as they are needed.
        """
        return each(keys, self.read, width=self.max_concurrency)

    def stat_many(self, keys: Iterable[str]) -> Iterator[tuple[str, BlobInfo | StorageError]]:
        """`stat` of many keys; order, errors and concurrency as in `read_many`."""
        return each(keys, self.stat, width=self.max_concurrency)

    def write_many(
        self, blobs: Iterable[tuple[str, bytes]], *, if_version: Absent | None = None
    ) -> Iterator[tuple[str, Version | StorageError]]:
        """`write` of many blobs; order, errors and concurrency as in `read_many`."""

        def write(blob: tuple[str, bytes]) -> Version:
            return self.write(*blob, if_version=if_version)

        for (key, _), outcome in each(blobs, write, width=self.max_concurrency):
            yield key, outcome

    def delete_many(self, keys: Iterable[str]) -> Iterator[tuple[str, StorageError | None]]:
        """Deletes many blobs; order, errors and concurrency as in `read_many`.

        Yields:
            Each key with None, also if nothing was there, or with the error.
        """

        def delete(key: str) -> None:
            self.delete(key)

        return each(keys, delete, width=self.max_concurrency)

    def download(self, key: str, fileobj: BinaryIO) -> Version:
        """Writes a blob into a file, in constant memory, some parts of it at a time.

        Args:
            key: The blob.
            fileobj: Written from where it stands, one part after another.

        Raises:
            BlobNotFoundError: Nothing is stored under the key.
            ConflictError: The blob was replaced meanwhile; what is in the file is void.
        """
        first = self.read(key, length=DOWNLOAD_PART)
        fileobj.write(first.data)
        if len(first.data) < DOWNLOAD_PART:
            return first.version

        def part(start: int) -> Blob:
            return self.read(key, start=start, length=DOWNLOAD_PART)

        there = self.stat(key)
        _require_version(key, first.version, there.version)
        starts = range(DOWNLOAD_PART, there.size, DOWNLOAD_PART)
        width = DOWNLOADS_IN_FLIGHT
        for _, found in each(starts, part, width=width, held=width):
            if isinstance(found, StorageError):
                raise found
            _require_version(key, first.version, found.version)
            fileobj.write(found.data)
        return first.version

    def upload(self, key: str, fileobj: BinaryIO, size: int) -> Version:
        """Writes a blob from a file; like `write`, it is seen whole or not at all.

        This default holds the file in memory; backends for large blobs stream it.

        Args:
            key: The blob.
            fileobj: Read from where it stands.
            size: Bytes to read.

        Raises:
            StorageError: The file ended before `size` bytes; nothing was written.
            ConflictError: Somebody else's upload of other bytes under the key came between.
        """
        data = fileobj.read(size)
        if len(data) != size:
            raise StorageError(f"{key!r}: the file ended after {len(data)} of {size} bytes")
        return self.write(key, data)

    def presigned_url(self, key: str, *, expires: int) -> str:
        """A link by which anybody reads a blob, without credentials, for some time.

        Where the storage has such links; this default refuses. No request is needed: that
        there is such a blob is not looked for. The link is a secret, which is never logged.

        Args:
            key: The blob.
            expires: Seconds for which it works, from 1 to 604800.

        Raises:
            UnsupportedError: There are no such links here, or no credentials to sign one.
            CredentialsError: The credentials cannot sign.
        """
        raise UnsupportedError(f"{self.location}: this backend has no links to its objects")

    def sweep(self, before: datetime) -> int:
        """Removes what writes left behind that were broken off, such as unfinished uploads.

        Args:
            before: Only what was begun before.

        Returns:
            How many there were.
        """
        return 0

    def describe(self) -> Mapping[str, str]:
        """What only the backend can tell, for people who look for a fault: `devqubit doctor`.

        Such as who is asking (`identity`) or whether old versions are kept (`versioning`), by
        name. No secrets. Requests that are refused are told of, too, not raised.
        """
        return {}

    def close(self) -> None:  # noqa: B027  # most have nothing to give back
        """Gives back connections and files. Calling it again is harmless."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.location}>"


def _require_version(key: str, expected: Version, actual: Version) -> None:
    if actual != expected:
        raise ConflictError(
            f"{key!r} was replaced while it was read", expected=expected, actual=actual
        )
