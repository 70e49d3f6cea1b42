"""Buckets of files, with one thing wrong each that only another process can see."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import BinaryIO

from devqubit.plugin import Absent, Blob, Bucket, OpenRequest, Version
from devqubit.storage._file import FileBucket

__all__ = [
    "DefaultUpload",
    "HoldsDownloads",
    "HoldsUploads",
    "LocksThreadsOnly",
    "LostInFork",
    "SwapsParts",
]


class _File(FileBucket):
    """Files at an absolute path, which is how other processes see them."""

    def __init__(self, request: OpenRequest) -> None:
        super().__init__(replace(request, prefix=f"/{request.bucket}/{request.prefix}"))
        self._durable = False


class DefaultUpload(_File):
    """Is right, and has no upload of its own."""

    upload = Bucket.upload


class LocksThreadsOnly(_File):
    """Has a lock of which other processes know nothing."""

    THREADS = threading.RLock()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self.THREADS:
            yield

    def _check_version(
        self, key: str, expected: Version | Absent, there: os.stat_result | None
    ) -> None:
        super()._check_version(key, expected, there)
        time.sleep(0.01)


class LostInFork(_File):
    """Has a connection that a child shares with its parent."""

    def __init__(self, request: OpenRequest) -> None:
        super().__init__(request)
        self._pid = os.getpid()

    def read(self, key: str, *, start: int = 0, length: int | None = None) -> Blob:
        blob = super().read(key, start=start, length=length)
        return blob if self._pid == os.getpid() else replace(blob, data=b"")


class HoldsUploads(_File):
    """Reads a file whole before it writes."""

    def upload(self, key: str, fileobj: BinaryIO, size: int) -> Version:
        return Bucket.upload(self, key, fileobj, size)


class HoldsDownloads(_File):
    """Reads a blob whole before it writes the file."""

    def download(self, key: str, fileobj: BinaryIO) -> Version:
        blob = self.read(key)
        fileobj.write(blob.data)
        return blob.version


class SwapsParts(_File):
    """Writes the parts of a file in the order in which they end."""

    def upload(self, key: str, fileobj: BinaryIO, size: int) -> Version:
        if size < 1024:
            return super().upload(key, fileobj, size)
        first = fileobj.read(512)
        return self.write(key, fileobj.read(size - 512) + first)
