"""What the operating system's errors mean for a store."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from devqubit.errors import (
    AccessDeniedError,
    BackendError,
    InvalidKeyError,
    StorageError,
    StorageFullError,
    UnreachableError,
    UnsafePathError,
)

__all__ = ["translated"]

_BY_ERRNO: Final[dict[int, tuple[type[StorageError], str]]] = {
    errno.EACCES: (AccessDeniedError, "the file system does not allow it"),
    errno.EPERM: (AccessDeniedError, "the file system does not allow it"),
    errno.EROFS: (AccessDeniedError, "the file system is read-only"),
    errno.ENOSPC: (StorageFullError, "no space is left"),
    errno.EDQUOT: (StorageFullError, "the quota is used up"),
    errno.EFBIG: (StorageFullError, "the file would be larger than allowed"),
    errno.ENAMETOOLONG: (InvalidKeyError, "the file system has no names that long"),
    errno.EILSEQ: (InvalidKeyError, "the file system cannot write that name"),
    errno.ENOTDIR: (InvalidKeyError, "a file stands where a folder is needed"),
    errno.EEXIST: (InvalidKeyError, "a file stands where a folder is needed"),
    errno.EISDIR: (InvalidKeyError, "a folder stands where the file should be"),
    errno.ELOOP: (UnsafePathError, "a symbolic link stands in the way"),
    errno.ETIMEDOUT: (UnreachableError, "the file system does not answer"),
    errno.ESTALE: (UnreachableError, "the network file system lost the file"),
}


@contextmanager
def translated(key: str, location: str) -> Iterator[None]:
    """Raises our error for an operating system's, from it.

    Args:
        key: What was worked on, for the message.
        location: Where, for the message.
    """
    try:
        yield
    except OSError as exc:
        kind, why = _BY_ERRNO.get(exc.errno or 0, (BackendError, exc.strerror or str(exc)))
        raise kind(f"{location}: {key!r}: {why}") from exc
