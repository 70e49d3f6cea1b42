"""Reading parts of an object, as a file."""

from __future__ import annotations

import hashlib
import io
import os
from typing import TYPE_CHECKING, Final

from devqubit.errors import ConflictError, IntegrityError
from devqubit.storage._bucket import BlobInfo, Bucket
from devqubit.storage._digest import ALGORITHM

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["BUFFER", "ObjectReader"]

BUFFER: Final = 1024 * 1024
"""Bytes that are asked for at least: as much as a 100 Mbit/s line carries in 80 ms."""


class ObjectReader(io.RawIOBase):
    """An object as a file that is not buffered: each read is one request.

    Whoever reads it from its beginning to its end gets what the digest says, or an
    `IntegrityError` in place of the end. Of a part alone nothing can be said.

    Args:
        bucket: Where it is.
        there: What is known of its blob; the reader holds on to this version.
        digest: Its digest.
    """

    def __init__(self, bucket: Bucket, there: BlobInfo, digest: str) -> None:
        self.name = digest
        self._bucket = bucket
        self._there = there
        self._position = 0
        self._hash = hashlib.sha256()
        self._hashed = 0

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """The next byte to read."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Goes to a byte; asks nothing of the backend."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._there.size}
        if whence not in start:
            raise ValueError(f"whence is 0, 1 or 2, not {whence!r}")
        position = start[whence] + offset
        if position < 0:
            raise ValueError(f"there is no byte {position}")
        self._position = position
        return position

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Reads into a buffer.

        Raises:
            ConflictError: The object was replaced since it was opened.
            IntegrityError: All was read, and does not match the digest.
        """
        if self.closed:
            raise ValueError("the file is closed")
        view = memoryview(buffer).cast("B")
        left = self._there.size - self._position
        if left <= 0 or not view:
            return 0
        wanted = min(len(view), left)
        blob = self._bucket.read(self._there.key, start=self._position, length=wanted)
        if blob.version != self._there.version or len(blob.data) != wanted:
            raise ConflictError(
                f"{self.name} was replaced while it was read: open it again",
                expected=self._there.version,
                actual=blob.version,
            )
        view[:wanted] = blob.data
        self._verify(blob.data)
        self._position += wanted
        return wanted

    def _verify(self, data: bytes) -> None:
        if self._position == self._hashed:
            self._hash.update(data)
            self._hashed += len(data)
            if self._hashed == self._there.size:
                actual = ALGORITHM + self._hash.hexdigest()
                if actual != self.name:
                    raise IntegrityError(self.name, actual)
