"""Files that go in and come out, also those that memory could not hold."""

from __future__ import annotations

import hashlib
import io
import json
import random
import tracemalloc
from typing import TYPE_CHECKING, BinaryIO, cast

import pytest

from devqubit.errors import BlobNotFoundError, StorageError
from devqubit.plugin import Blob, Bucket, open_bucket
from devqubit.testing._base import Conformance, gist, require
from devqubit.testing._blobs import MIB
from devqubit.testing._children import in_processes

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

__all__ = ["STREAM", "StreamChecks"]

STREAM = 64 * MIB
"""Bytes of the file that is streamed."""

PIECE = 64 * 1024
"""Bytes that it gives at most at once: what it holds itself is not counted for the bucket."""


class StreamChecks(Conformance):
    """`upload` and `download`."""

    @pytest.mark.parametrize("size", [0, 10, 20 * MIB + 7])
    def test_upload_and_download(self, bucket: Bucket, size: int) -> None:
        """A file goes in and comes out whole, and its version is the blob's."""
        data = bytes(range(256)) * (size // 256 + 1)
        version = bucket.upload("file", io.BytesIO(data), size)
        target = io.BytesIO()
        assert bucket.download("file", target) == version == bucket.stat("file").version
        assert gist(target.getvalue()) == gist(data[:size])

    def test_from_where_the_file_stands(self, bucket: Bucket) -> None:
        """An upload reads on from where the file stands, and a download writes on."""
        source, target = io.BytesIO(b"head|body|tail"), io.BytesIO()
        source.seek(5)
        bucket.upload("part", source, 4)
        target.write(b"before|")
        bucket.download("part", target)
        assert (source.tell(), target.getvalue()) == (9, b"before|body")

    def test_upload_replaces(self, bucket: Bucket) -> None:
        """An upload replaces a blob, and is a version of its own."""
        first = bucket.write("a", b"first")
        second = bucket.upload("a", io.BytesIO(b"other"), 5)
        assert (bucket.read("a"), first != second) == (Blob(b"other", second), True)

    @pytest.mark.parametrize("size", [10, 20 * MIB], ids=["small", "large"])
    def test_upload_of_a_short_file(self, bucket: Bucket, size: int) -> None:
        """A file that ends early is refused, and nothing is seen of it."""
        with pytest.raises(StorageError):
            bucket.upload("short", io.BytesIO(b"x" * (size - 1)), size)
        assert list(bucket.list()) == []

    def test_upload_of_a_failing_file(self, bucket: Bucket) -> None:
        """A file that cannot be read to its end leaves what was there."""
        version = bucket.write("a", b"before")
        with pytest.raises((OSError, StorageError)):
            bucket.upload("a", cast("BinaryIO", Failing(8 * MIB)), 20 * MIB)
        assert bucket.read("a") == Blob(b"before", version)

    def test_download_into_a_failing_file(self, bucket: Bucket) -> None:
        """A file that cannot be written is an error, and the bucket works on."""
        version = bucket.write("a", b"x" * MIB)
        with pytest.raises((OSError, StorageError)):
            bucket.download("a", cast("BinaryIO", Failing(0)))
        assert bucket.read("a", length=1) == Blob(b"x", version)

    def test_download_of_nothing(self, bucket: Bucket) -> None:
        """What is not there cannot be downloaded."""
        with pytest.raises(BlobNotFoundError):
            bucket.download("nothing", io.BytesIO())

    def test_upload_streams(self, bucket: Bucket, url: str) -> None:
        """A file of 64 MiB is sent whole, and never all of it in memory.

        A bucket without an `upload` of its own says with that that it holds the file.
        """
        require(bucket, "persistent")  # what is not keeps its blobs in this very memory
        if type(bucket).upload is Bucket.upload:
            pytest.skip(f"{bucket!r} has no upload of its own, and the default holds the file")
        (answer,) = in_processes(upload_in_child, [[url]])
        sent, held = json.loads(answer)
        sink = Sink()
        bucket.download("stream", cast("BinaryIO", sink))
        assert sink.digest.hexdigest() == sent
        assert held < STREAM

    def test_download_streams(self, bucket: Bucket, url: str) -> None:
        """A file of 64 MiB is received whole, and never all of it in memory."""
        require(bucket, "persistent")  # what is not keeps its blobs in this very memory
        source = Source(STREAM)
        bucket.upload("stream", cast("BinaryIO", io.BufferedReader(source)), STREAM)
        (answer,) = in_processes(download_in_child, [[url]])
        received, held = json.loads(answer)
        assert received == source.digest.hexdigest()
        assert held < STREAM


class Source(io.RawIOBase):
    """A file whose bytes are made as they are read, no two parts of it alike."""

    def __init__(self, size: int) -> None:
        self._left = size
        self._random = random.Random(size)  # noqa: S311
        self.digest = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer)
        size = min(len(view), self._left, PIECE)
        view[:size] = self._random.randbytes(size)
        self.digest.update(view[:size])
        self._left -= size
        return size


class Sink(io.RawIOBase):
    """A file that keeps nothing of what is written but its digest."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer) -> int:
        self.digest.update(data)
        return memoryview(data).nbytes


class Failing(io.RawIOBase):
    """A file on a disk that goes away after so many bytes."""

    def __init__(self, size: int) -> None:
        self._left = size

    def read(self, size: int = -1) -> bytes:
        if size > self._left or size < 0:
            raise OSError("the disk is gone")
        self._left -= size
        return b"x" * size

    def write(self, data: ReadableBuffer) -> int:
        raise OSError("the disk is gone")


# In processes of their own, where nothing but the bucket takes memory: no test's server.


def upload_in_child(url: str) -> str:
    """In a child: uploads; gives the digest of what was read, and the most memory held."""
    bucket = _warm(url)
    source = Source(STREAM)
    tracemalloc.start()
    bucket.upload("stream", cast("BinaryIO", io.BufferedReader(source)), STREAM)
    return json.dumps([source.digest.hexdigest(), tracemalloc.get_traced_memory()[1]])


def download_in_child(url: str) -> str:
    """In a child: downloads; gives the digest of what was written, and the most memory held."""
    bucket = _warm(url)
    sink = Sink()
    tracemalloc.start()
    bucket.download("stream", cast("BinaryIO", sink))
    return json.dumps([sink.digest.hexdigest(), tracemalloc.get_traced_memory()[1]])


def _warm(url: str) -> Bucket:
    """The bucket, with what it imports and connects to at its first use."""
    bucket = open_bucket(url)
    bucket.upload("warm", io.BytesIO(b"x"), 1)
    bucket.download("warm", io.BytesIO())
    return bucket
