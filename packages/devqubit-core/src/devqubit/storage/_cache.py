"""A read-through cache of objects: a folder on this machine, bounded, and verified at every read.

Its files lie as objects lie in a bucket, `sha256/<2 hex digits>/<64 hex digits>`. Nothing else is
kept about them: what a file holds is what its name says, or it is deleted; when it was used last
is its time. So there is no index that could be wrong, and any number of processes share a folder.
"""

from __future__ import annotations

import logging
import os
import random
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import BinaryIO, Final, NamedTuple

from devqubit.errors import InvalidOptionError
from devqubit.storage._config import cache_dir
from devqubit.storage._digest import digest_of, digest_of_file, digest_of_key, object_key

__all__ = ["ObjectCache", "open_cache"]

logger = logging.getLogger("devqubit.storage")

DEFAULT_SIZE: Final = 10 * 1024**3
# In percent of the size: what one object may take, when room is made, how much is left then, and
# what a process adds before it looks again. So one process stays within the size, and each that
# joins it may go over by about the last of these.
_LARGEST: Final = 50
_FULL: Final = 95
_EVICTED: Final = 90
_SHARE: Final = 5

_COPY: Final = 1024 * 1024
# https://bford.info/cachedir/: backups pass such a folder over, and it tells a cache from a store,
# whose objects lie alike and must never be evicted.
_TAG: Final = "CACHEDIR.TAG"
_TAG_TEXT: Final = (
    "Signature: 8a477f597d28d172789f06886806bc55\n"
    "# A cache of devqubit: objects that are stored elsewhere. It may be deleted at any time.\n"
)
_TEMPORARY: Final = re.compile(r"[0-9a-f]{64}\.[0-9a-f]{16}\.tmp")
# Seconds after which whoever wrote a temporary file is certainly gone.
_ABANDONED: Final = 24 * 3600

_SIZE: Final = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?) ?(?:([kmgt])(i?))?b?", re.IGNORECASE)


class ObjectCache:
    """Objects in a folder, of which those used longest ago make room for new ones.

    Nothing that goes wrong with the folder is an error: what cannot be read is not there,
    what cannot be written is not kept. Safe in threads and with other processes.

    Args:
        folder: Where. It is made at the first write, for its user alone.
        max_bytes: What its files may take together. An object over half of it is not kept.

    Raises:
        InvalidOptionError: The folder has files in it, and is no cache.
    """

    def __init__(self, folder: str, max_bytes: int) -> None:
        _require_cache(folder)
        self.folder = folder
        self.max_bytes = max_bytes
        # Short programs that each add little must not each look through the whole folder.
        self._allowance = random.random() * self._percent(_SHARE)  # noqa: S311  # no secret
        self._complained = False

    def read(self, digest: str) -> bytes | None:
        """The bytes of an object, verified; None if they are not here.

        Raises:
            InvalidDigestError: `digest` is not canonical.
        """
        file = self._opened(digest)
        if file is None:
            return None
        try:
            with file:
                data = file.read()
        except OSError:
            return None
        if digest_of(data) == digest:
            return data
        self.delete(digest)
        return None

    def open(self, digest: str) -> BinaryIO | None:
        """The file of an object, verified and at its beginning; None if it is not here.

        Raises:
            InvalidDigestError: `digest` is not canonical.
        """
        file = self._opened(digest)
        if file is None:
            return None
        with suppress(OSError):
            if digest_of_file(file) == digest:
                file.seek(0)
                return file
        file.close()
        self.delete(digest)
        return None

    def write(self, digest: str, data: bytes) -> None:
        """Keeps the bytes of an object, if there can be room for them.

        Raises:
            InvalidDigestError: `digest` is not canonical.
        """
        self._keep(digest, len(data), lambda file: file.write(data))

    def write_file(self, digest: str, source: BinaryIO) -> None:
        """Keeps an object that is in a file, all of it, if there can be room for it.

        Args:
            digest: The object.
            source: The file; seekable. It is left at its end.

        Raises:
            InvalidDigestError: `digest` is not canonical.
        """
        size = source.seek(0, os.SEEK_END)

        def copy(file: BinaryIO) -> None:
            source.seek(0)
            shutil.copyfileobj(source, file, _COPY)

        self._keep(digest, size, copy)

    def delete(self, digest: str) -> None:
        """Forgets an object.

        Raises:
            InvalidDigestError: `digest` is not canonical.
        """
        with suppress(OSError):
            os.unlink(self._path(digest))

    def _opened(self, digest: str) -> BinaryIO | None:
        """The file of an object, not verified; used just now."""
        path = self._path(digest)
        try:
            file = open(path, "rb")  # noqa: SIM115  # the caller closes it
        except OSError:
            return None
        with suppress(OSError):
            os.utime(path)
        return file

    def _path(self, digest: str) -> str:
        return os.path.join(self.folder, *object_key(digest).split("/"))

    def _percent(self, share: int) -> int:
        return self.max_bytes * share // 100

    def _keep(self, digest: str, size: int, fill: Callable[[BinaryIO], object]) -> None:
        """Makes a file, fills it, and gives it its name.

        There is no fsync: what a power cut leaves is verified before it is used.
        """
        path = self._path(digest)
        if size > self._percent(_LARGEST):
            return
        temporary = f"{path}.{os.urandom(8).hex()}.tmp"
        try:
            self._make_room(size)
            self._make_folder(os.path.dirname(path))
            try:
                with open(temporary, "xb") as file:
                    fill(file)
                os.replace(temporary, path)
            finally:
                with suppress(FileNotFoundError):
                    os.unlink(temporary)
        except OSError as exc:
            if not self._complained:
                self._complained = True
                logger.debug("The cache %s cannot be written: %s", self.folder, exc)

    def _make_folder(self, folder: str) -> None:
        if os.path.isdir(folder):
            return
        # Objects may come from a bucket that not everybody on this machine may read.
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        tag = os.path.join(self.folder, _TAG)
        if not os.path.exists(tag):
            with open(tag, "w", encoding="ascii") as file:
                file.write(_TAG_TEXT)
        os.makedirs(folder, exist_ok=True)

    def _make_room(self, size: int) -> None:
        # No lock: threads that count past one another make the estimate a little wrong, which
        # the next look mends, and a lock would have to survive fork and pickle.
        self._allowance -= size
        if self._allowance >= 0:
            return
        self._allowance = self._percent(_SHARE)
        entries = list(_entries(self.folder))
        total = size + sum(entry.size for entry in entries)
        if total <= self._percent(_FULL):
            return
        oldest_first = sorted(entry for entry in entries if entry.evictable)
        for entry in oldest_first:
            if total <= self._percent(_EVICTED):
                return
            try:
                os.unlink(entry.path)
            except FileNotFoundError:
                pass  # another process makes room at the same time
            except OSError:
                continue
            total -= entry.size


class _Entry(NamedTuple):
    used: int
    path: str
    size: int
    evictable: bool


def _entries(folder: str) -> Iterator[_Entry]:
    """The files of a cache, and none of anybody else's that may lie between them."""
    abandoned = time.time_ns() - _ABANDONED * 10**9
    for part in (f"{number:02x}" for number in range(256)):
        try:
            with os.scandir(os.path.join(folder, "sha256", part)) as found:
                files = [entry for entry in found if entry.is_file(follow_symlinks=False)]
        except OSError:
            continue
        for file in files:
            is_object = digest_of_key(f"sha256/{part}/{file.name}") is not None
            if is_object or _TEMPORARY.fullmatch(file.name):
                with suppress(OSError):  # deleted meanwhile
                    stat = file.stat(follow_symlinks=False)
                    evictable = is_object or stat.st_mtime_ns < abandoned
                    yield _Entry(stat.st_mtime_ns, file.path, stat.st_size, evictable)


def _require_cache(folder: str) -> None:
    try:
        # In this order: whoever makes a cache in this moment begins with the tag.
        foreign = os.listdir(folder) and not os.path.exists(os.path.join(folder, _TAG))
    except NotADirectoryError as exc:
        raise InvalidOptionError(f"The cache {folder} is a file: name a folder") from exc
    except OSError:
        return
    if foreign:
        raise InvalidOptionError(
            f"The folder {folder} has files in it and is no cache: name a new or an empty folder"
        )


def open_cache(
    cache: str | os.PathLike[str] | bool | None, size: int | str | None
) -> ObjectCache | None:
    """The cache that `create_store` was asked for.

    Args:
        cache: A folder; True for the folder `objects` where caches of this user are;
            None or False for none.
        size: Bytes, or text such as "2 GB" (2 * 1000**3) or "2 GiB" (2 * 1024**3).

    Raises:
        InvalidOptionError: They cannot be meant.
    """
    if cache is None or cache is False:
        if size is not None:
            raise InvalidOptionError("'cache_size' needs a cache: add cache=True, or a folder")
        return None
    max_bytes = DEFAULT_SIZE if size is None else _bytes(size)
    if cache is True:
        return ObjectCache(os.path.join(cache_dir(), "objects"), max_bytes)
    folder = os.fspath(cache) if isinstance(cache, (str, os.PathLike)) else None
    if not isinstance(folder, str) or not folder or "\0" in folder or "://" in folder:
        raise InvalidOptionError("'cache' must be True or a folder of this machine")
    return ObjectCache(os.path.abspath(os.path.expanduser(folder)), max_bytes)


def _bytes(size: int | str) -> int:
    found = 0
    if isinstance(size, int) and not isinstance(size, bool):
        found = size
    elif isinstance(size, str) and (match := _SIZE.fullmatch(size.strip())):
        number, unit, binary = match.groups()
        power = " kmgt".index(unit.lower()) if unit else 0
        found = int(float(number) * (1024 if binary else 1000) ** power)
    if found < 1:
        raise InvalidOptionError(
            f"'cache_size' must be a number of bytes, or text such as '2 GB', not {size!r:.100}"
        )
    return found
