"""Files on their way into a store and out of it: hashed once each way, in constant memory."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO, Final, cast

from devqubit.errors import StorageError
from devqubit.storage._digest import ALGORITHM, digest_of_file

__all__ = ["Progress", "SourceFile", "VerifiedFile", "copy_file", "open_source", "open_target"]

Progress = Callable[[int, int | None], object]
"""Is told how much is done, and of how much if that is known: of bytes, or of items."""

_COPY: Final = 1024 * 1024


class SourceFile:
    """A file to be stored, from where it stands to its end.

    What is read of it is what was hashed: if it was changed between, its last bytes
    cannot be read, so that nothing under a wrong digest is ever whole.

    Args:
        file: The file; seekable.
        progress: Is told of each piece that was read.
    """

    def __init__(self, file: BinaryIO, progress: Progress | None = None) -> None:
        self._file = file
        self._progress = progress
        self._start = file.tell()
        self.size = file.seek(0, os.SEEK_END) - self._start
        file.seek(self._start)
        self._done = 0
        self._before = self._state()

    def digest(self) -> str:
        """The digest of what will be read."""
        found = digest_of_file(self._file)
        self.rewind()
        return found

    def rewind(self) -> None:
        """Makes it ready to be read from its start, perhaps again."""
        self._file.seek(self._start)
        self._done = 0

    def read(self, size: int = -1) -> bytes:
        """Reads on, at most to the end that the file had.

        Raises:
            StorageError: The file is not what it was.
        """
        left = self.size - self._done
        data = self._file.read(left if size < 0 else min(size, left))
        self._done += len(data)
        if self._done == self.size and self._state() != self._before:
            raise StorageError(f"{self._file!r} was changed while it was stored: store it again")
        if self._progress is not None and data:
            self._progress(self._done, self.size)
        return data

    def _state(self) -> object:
        """What differs when somebody writes the file; nothing is known of one in memory."""
        try:
            found = os.fstat(self._file.fileno())
        except (AttributeError, OSError):
            return None
        return found.st_size, found.st_mtime_ns, found.st_ino


class VerifiedFile:
    """A file that is written and hashed at once.

    Args:
        file: The file, written from its beginning.
        progress: Is told of each piece that was written.
        size: Bytes that there will be, for `progress`.
    """

    def __init__(self, file: BinaryIO, progress: Progress | None, size: int | None) -> None:
        file.seek(0)
        file.truncate()
        self._file = file
        self._progress = progress
        self._size = size
        self._done = 0
        self._hash = hashlib.sha256()

    @property
    def digest(self) -> str:
        """The digest of what was written so far."""
        return ALGORITHM + self._hash.hexdigest()

    def write(self, data: bytes) -> int:
        """Writes on."""
        self._hash.update(data)
        self._file.write(data)
        self._done += len(data)
        if self._progress is not None:
            self._progress(self._done, self._size)
        return len(data)


def copy_file(source: BinaryIO, target: BinaryIO, progress: Progress | None) -> None:
    """Copies a file that is verified already."""
    size, done = source.seek(0, os.SEEK_END), 0
    source.seek(0)
    while data := source.read(_COPY):
        target.write(data)
        done += len(data)
        if progress is not None:
            progress(done, size)


@contextmanager
def open_source(
    source: str | os.PathLike[str] | BinaryIO, progress: Progress | None = None
) -> Iterator[SourceFile]:
    """Opens what is to be stored; what cannot be read twice is copied to the disk first.

    Raises:
        OSError: The file cannot be read.
        TypeError: It is open as text.
    """
    if isinstance(source, (str, os.PathLike)):
        with open(source, "rb") as file:
            yield SourceFile(file, progress)
        return
    if isinstance(source.read(0), str):
        raise TypeError(f"{source!r} is open as text: open it with mode 'rb'")
    if source.seekable():
        yield SourceFile(source, progress)
        return
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(source, copy, _COPY)
        copy.seek(0)
        yield SourceFile(cast("BinaryIO", copy), progress)


@contextmanager
def open_target(target: str | os.PathLike[str] | BinaryIO) -> Iterator[BinaryIO]:
    """Opens a file to write; it is at `target` when the block ends well, and not before.

    Raises:
        OSError: The file cannot be written.
    """
    if not isinstance(target, (str, os.PathLike)):
        with tempfile.TemporaryFile() as file:
            yield cast("BinaryIO", file)
            file.seek(0)
            shutil.copyfileobj(file, target, _COPY)
        return
    path = os.path.realpath(target)
    if os.path.isdir(path):
        raise IsADirectoryError(f"{path} is a folder: name a file in it")
    folder, name = os.path.split(path)
    # Not tempfile's name and mode: the file stays, and belongs to the folder it is in.
    temporary = os.path.join(folder, f".{name[:100]}.{os.urandom(6).hex()}.part")
    try:
        with open(temporary, "x+b") as file:
            yield file
        os.replace(temporary, path)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
