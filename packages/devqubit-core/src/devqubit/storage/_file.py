"""The local file system as a bucket: one file a blob, replaced atomically.

A write goes to a temporary file beside its target, is synced, and then renamed over
it, or linked to it where nothing may be there yet. Writers that replace or delete
take the root's lock for that last step, so a compare-and-replace loses nothing.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO, Final

from devqubit.errors import (
    BlobNotFoundError,
    ConflictError,
    InvalidKeyError,
    StorageError,
    UnsafePathError,
)
from devqubit.storage._backend import OpenRequest, Parameter, StorageBackend
from devqubit.storage._bucket import ABSENT, Absent, Blob, BlobInfo, Bucket, Capabilities, Version
from devqubit.storage._file_errors import translated
from devqubit.storage._plugins import hookimpl
from devqubit.storage._pool import each

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["FileBucket", "devqubit_storage_backend"]

# Temporary files and the lock: no key may have a part that starts like this.
RESERVED: Final = ".devqubit-"
_TEMPORARY: Final = ".tmp"
COPY_CHUNK: Final = 1024 * 1024
# Windows would otherwise translate line ends; elsewhere the flag does not exist.
_DELETES_IN_FLIGHT: Final = 4
_BINARY: Final = getattr(os, "O_BINARY", 0)
_NO_FOLLOW: Final = getattr(os, "O_NOFOLLOW", 0)
# How file systems without hard links say so.
_NO_LINKS: Final = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS)


@hookimpl
def devqubit_storage_backend() -> StorageBackend:
    """Declares `file://`."""
    return StorageBackend(
        api_version=1,
        schemes=("file",),
        open=FileBucket,
        summary="Local file system",
        bucket_required=False,
        example="file:///path/to/folder",
        parameters=(
            Parameter(
                name="durability",
                type=str,
                choices=("full", "fast"),
                help="full: what a call acknowledged survives a power cut; fast: no fsync",
                example="fast",
            ),
        ),
    )


class FileBucket(Bucket):
    """Blobs as files under a root folder, which the first write makes.

    Versions are inode, modification time and size. Symbolic links below the root are
    refused. The root itself may be one.

    Args:
        request: `prefix` is the root's absolute path.
    """

    capabilities = Capabilities(ranged_listing=False)

    def __init__(self, request: OpenRequest) -> None:
        self.location = request.location
        self._root = request.prefix
        self._durable = request.options.get("durability", "full") == "full"

    def read(self, key: str, *, start: int = 0, length: int | None = None) -> Blob:
        with self._opened(key) as file, translated(key, self.location):
            version = _version(os.fstat(file.fileno()))
            file.seek(start)
            return Blob(file.read(-1 if length is None else length), version)

    def write(
        self, key: str, data: bytes, *, if_version: Version | Absent | None = None
    ) -> Version:
        with self._temporary(key) as (temporary, file), translated(key, self.location):
            file.write(data)
            return self._publish(key, temporary, file, if_version)

    def upload(self, key: str, fileobj: BinaryIO, size: int) -> Version:
        with self._temporary(key) as (temporary, file):
            while file.tell() < size:
                data = fileobj.read(min(COPY_CHUNK, size - file.tell()))
                if not data:
                    raise StorageError(f"{key!r}: the file has fewer than {size} bytes")
                with translated(key, self.location):  # not what reading the file raises
                    file.write(data)
            with translated(key, self.location):
                return self._publish(key, temporary, file, None)

    def download(self, key: str, fileobj: BinaryIO) -> Version:
        def read(file: BinaryIO) -> bytes:
            with translated(key, self.location):  # not what writing the file raises
                return file.read(COPY_CHUNK)

        with self._opened(key) as file:
            while data := read(file):
                fileobj.write(data)
            return _version(os.fstat(file.fileno()))

    def stat(self, key: str) -> BlobInfo:
        with translated(key, self.location):
            found = self._lstat(self._path(key))
        if found is None:
            raise BlobNotFoundError(key, self.location)
        return _info(key, found)

    def delete(self, key: str, *, if_version: Version | None = None) -> bool:
        with translated(key, self.location):
            path = self._path(key)
            if self._lstat(path) is None:
                return False
            with self._locked():
                there = self._lstat(path)
                if there is None:
                    return False
                if if_version is not None:
                    self._check_version(key, if_version, there)
                os.unlink(path)
            self._sync_folder(os.path.dirname(path))
        return True

    def delete_many(self, keys: Iterable[str]) -> Iterator[tuple[str, StorageError | None]]:
        def delete(key: str) -> None:
            self.delete(key)

        # More threads than the disk has use for only stand in line for the lock.
        return each(keys, delete, width=_DELETES_IN_FLIGHT)

    def sweep(self, before: datetime) -> int:
        swept = 0
        with translated("", self.location):
            for folder, _, names in os.walk(self._root):
                for name in names:
                    path = os.path.join(folder, name)
                    if name.startswith(RESERVED) and name.endswith(_TEMPORARY):
                        with suppress(FileNotFoundError):  # it was finished meanwhile
                            if os.lstat(path).st_mtime < before.timestamp():
                                os.unlink(path)
                                swept += 1
        return swept

    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[BlobInfo]:
        with translated(prefix, self.location):
            yield from self._walk("", prefix, start_after)

    def _path(self, key: str) -> str:
        """The file of a key; refuses keys and links that would lead out of the root."""
        parts = key.split("/")
        if (
            not _is_text(key)
            or any(
                part in ("", ".", "..") or "\0" in part or part.startswith(RESERVED)
                for part in parts
            )
            or (os.sep != "/" and os.sep in key)
        ):
            raise InvalidKeyError(f"{key!r} cannot be the name of a file in {self.location}")
        path = self._root
        for part in parts[:-1]:
            path = os.path.join(path, part)
            if os.path.islink(path):
                raise _unsafe(path)
        return os.path.join(path, parts[-1])

    def _lstat(self, path: str) -> os.stat_result | None:
        try:
            found = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if stat.S_ISLNK(found.st_mode):
            raise _unsafe(path)
        return found if stat.S_ISREG(found.st_mode) else None

    @contextmanager
    def _opened(self, key: str) -> Iterator[BinaryIO]:
        with translated(key, self.location):
            path = self._path(key)
            if self._lstat(path) is None:
                raise BlobNotFoundError(key, self.location)
            try:
                descriptor = os.open(path, os.O_RDONLY | _BINARY | _NO_FOLLOW)
            except FileNotFoundError as exc:
                raise BlobNotFoundError(key, self.location) from exc
        with os.fdopen(descriptor, "rb") as file:
            yield file

    @contextmanager
    def _temporary(self, key: str) -> Iterator[tuple[str, BinaryIO]]:
        with translated(key, self.location):
            folder = os.path.dirname(self._path(key))
            self._make_folder(folder)
            temporary = os.path.join(folder, f"{RESERVED}{os.urandom(8).hex()}{_TEMPORARY}")
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | _BINARY
            # Not tempfile, whose files nobody else in a team may read.
            descriptor = os.open(temporary, flags, 0o666)
        file = os.fdopen(descriptor, "wb")
        try:
            yield temporary, file
        finally:
            with suppress(OSError):  # what could not be written was said before
                file.close()
            with suppress(FileNotFoundError):
                os.unlink(temporary)

    def _publish(
        self, key: str, temporary: str, file: BinaryIO, if_version: Version | Absent | None
    ) -> Version:
        path = self._path(key)
        file.flush()
        # Inodes are used again at once, and the kernel's clock ticks in milliseconds:
        # only a time of nanoseconds makes each version another one.
        now = time.time_ns()
        os.utime(temporary, ns=(now, now))
        if self._durable:
            os.fsync(file.fileno())
        if if_version is not ABSENT or not self._link(key, temporary, path):
            with self._locked():
                self._replace(key, temporary, path, if_version)
        self._sync_folder(os.path.dirname(path))
        return _version(os.fstat(file.fileno()))

    def _link(self, key: str, temporary: str, path: str) -> bool:
        """Creates the file if nothing is there; False where the file system has no links."""
        try:
            os.link(temporary, path, follow_symlinks=False)
        except FileExistsError as exc:
            raise ConflictError(f"{key!r} is there already", expected=ABSENT) from exc
        except OSError as exc:
            if exc.errno not in _NO_LINKS:
                raise
            return False
        return True

    def _replace(
        self, key: str, temporary: str, path: str, if_version: Version | Absent | None
    ) -> None:
        there = self._lstat(path)
        if if_version is not None:
            self._check_version(key, if_version, there)
        if there is not None:
            later = max(time.time_ns(), there.st_mtime_ns + 1)  # also if clocks disagree
            os.utime(temporary, ns=(later, later))
        os.replace(temporary, path)

    def _check_version(
        self, key: str, expected: Version | Absent, there: os.stat_result | None
    ) -> None:
        actual = ABSENT if there is None else _version(there)
        if actual != expected:
            raise ConflictError(
                f"{key!r} was changed by somebody else", expected=expected, actual=actual
            )

    @contextmanager
    def _locked(self) -> Iterator[None]:
        from filelock import FileLock  # slow to import, and reading needs none

        # A lock of its own for each use: safe in threads and after a fork.
        lock = FileLock(os.path.join(self._root, f"{RESERVED}lock"), mode=0o666)
        with lock.acquire(poll_interval=0.001):
            yield

    def _make_folder(self, folder: str) -> None:
        missing = []
        while not os.path.isdir(folder):
            missing.append(folder)
            folder = os.path.dirname(folder)
        for path in reversed(missing):
            with suppress(FileExistsError):
                os.mkdir(path)
            self._sync_folder(os.path.dirname(path))

    def _sync_folder(self, folder: str) -> None:
        if self._durable and os.name == "posix":
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def _walk(self, folder: str, prefix: str, start_after: str) -> Iterator[BlobInfo]:
        """The files below a folder (empty, or ending in a slash), in the order of keys."""
        for name, entry in self._entries(folder):
            key = folder + name
            if name.endswith("/"):
                inside = key.startswith(prefix) or prefix.startswith(key)
                if inside and (key > start_after or start_after.startswith(key)):
                    yield from self._walk(key, prefix, start_after)
            elif key.startswith(prefix) and key > start_after:
                with suppress(FileNotFoundError):  # deleted meanwhile
                    yield _info(key, entry.stat(follow_symlinks=False))

    def _entries(self, folder: str) -> Sequence[tuple[str, os.DirEntry[str]]]:
        try:
            with os.scandir(os.path.join(self._root, folder)) as entries:
                named = [
                    (entry.name + "/" if entry.is_dir(follow_symlinks=False) else entry.name, entry)
                    for entry in entries
                    if not entry.name.startswith(RESERVED) and not entry.is_symlink()
                ]
        except (FileNotFoundError, NotADirectoryError):
            return []
        # A folder sorts with its slash, as its keys do.
        return sorted(named, key=lambda item: os.fsencode(item[0]))


def _is_text(key: str) -> bool:
    try:
        key.encode()
    except UnicodeEncodeError:  # half of a pair of surrogates
        return False
    return True


def _version(found: os.stat_result) -> Version:
    return Version(f"{found.st_ino:x}-{found.st_mtime_ns:x}-{found.st_size:x}")


def _info(key: str, found: os.stat_result) -> BlobInfo:
    from datetime import UTC, datetime  # takes milliseconds, and opening a store needs none

    modified = datetime.fromtimestamp(found.st_mtime, UTC)
    return BlobInfo(key, found.st_size, _version(found), modified)


def _unsafe(path: str) -> UnsafePathError:
    return UnsafePathError(
        f"{path} is a symbolic link, and links inside a store are not followed: put what it "
        "points to in its place"
    )
