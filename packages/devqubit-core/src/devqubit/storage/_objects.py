"""The content-addressed store: objects named by what they hold, verified at every read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from devqubit.errors import (
    BlobNotFoundError,
    ConflictError,
    IntegrityError,
    InvalidArgumentError,
    ObjectNotFoundError,
)
from devqubit.storage._bucket import ABSENT, Bucket
from devqubit.storage._digest import digest_of, digest_of_key, object_key, object_prefix
from devqubit.storage._many import ManyObjects

if TYPE_CHECKING:
    from devqubit.storage._cache import ObjectCache
    from devqubit.storage._transfer import Progress

__all__ = ["ObjectStore"]

LARGE: Final = 256 * 1024
"""Bytes from which a put looks whether the object is there before it sends the body: about
what a 100 Mbit/s line carries in a round trip of 20 ms."""

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-presigned-url.html and
# https://cloud.google.com/storage/docs/access-control/signed-urls say the same.
LONGEST_LINK: Final = 7 * 24 * 3600

# A flip on the way is gone at the second read, a damaged object is not.
_READS: Final = 2


class ObjectStore(ManyObjects):
    """Content-addressed objects in a bucket, under `sha256/<2 hex digits>/<64 hex digits>`.

    An object's name is its digest: `sha256:` and 64 lower-case hexadecimal digits. What is
    read is hashed and compared with it, always. Safe in threads. Open one with
    `devqubit.storage.create_store`.

    Args:
        bucket: Where the objects are. The store closes it.
        cache: Where reads look first, and which keeps what was read whole. What is put is
            not kept there: whoever writes results seldom reads them.
    """

    def __init__(self, bucket: Bucket, cache: ObjectCache | None = None) -> None:
        super().__init__(bucket)
        self._cache = cache

    def put_bytes(self, data: bytes | bytearray | memoryview) -> str:
        """Stores bytes, unless they are there already.

        A large body that is there is not even sent. One that is there with another
        size was damaged, and is replaced; one that was written more than 12 hours ago is
        written again, so that no garbage collection takes it before a run refers to it.

        Args:
            data: The object.

        Returns:
            Its digest.

        Raises:
            StorageError: It could not be stored.
        """
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"An object is bytes, not {type(data).__name__}: encode it first")
        body = bytes(data)
        digest = digest_of(body)
        self._put(object_key(digest), body)
        return digest

    def get_bytes(self, digest: str) -> bytes:
        """Reads an object and verifies it.

        Raises:
            InvalidDigestError: `digest` is not canonical; nothing was asked of the backend.
            ObjectNotFoundError: There is no such object.
            IntegrityError: The stored bytes do not match the digest.
        """
        key = object_key(digest)
        if self._cache is not None and (kept := self._cache.read(digest)) is not None:
            return kept
        actual = digest
        for _ in range(_READS):
            try:
                data = self._bucket.read(key).data
            except BlobNotFoundError as exc:
                raise ObjectNotFoundError(digest) from exc
            actual = digest_of(data)
            if actual == digest:
                if self._cache is not None:
                    self._cache.write(digest, data)
                return data
        raise IntegrityError(digest, actual)

    def put_file(
        self, source: str | os.PathLike[str] | BinaryIO, *, progress: Progress | None = None
    ) -> str:
        """Stores a file, unless it is there already, in constant memory.

        Args:
            source: A path, or a file open in binary mode, which is read from where it
                stands to its end.
            progress: Is called with the bytes that were read to be sent, and with all.

        Returns:
            Its digest.

        Raises:
            OSError: The file cannot be read.
            StorageError: It could not be stored, or was changed meanwhile.
        """
        from devqubit.storage._transfer import open_source

        with open_source(source, progress) as file:
            if file.size < LARGE:
                return self.put_bytes(file.read())
            digest = file.digest()
            key = object_key(digest)

            def send() -> None:
                file.rewind()
                self._bucket.upload(key, cast("BinaryIO", file), file.size)

            if not self._send_unless_held(key, file.size, send) and progress is not None:
                progress(file.size, file.size)
            return digest

    def get_file(
        self,
        digest: str,
        target: str | os.PathLike[str] | BinaryIO,
        *,
        progress: Progress | None = None,
    ) -> None:
        """Reads an object into a file, in constant memory, and verifies it.

        Args:
            digest: The object.
            target: A path, where nothing appears, and what is there stays, until all is
                read and right; or a file open in binary mode, to which nothing is written
                until then.
            progress: Is called with the bytes that were read, and with all.

        Raises:
            InvalidDigestError: `digest` is not canonical; nothing was asked of the backend.
            ObjectNotFoundError: There is no such object.
            IntegrityError: The stored bytes do not match the digest.
            OSError: The file cannot be written.
        """
        from devqubit.storage._transfer import copy_file, open_target

        object_key(digest)
        with open_target(target) as file:
            if self._cache is not None and (kept := self._cache.open(digest)) is not None:
                with kept:
                    copy_file(kept, file, progress)
                return
            size = None if progress is None else self.get_size(digest)
            self._download(digest, file, progress, size)
            if self._cache is not None:
                self._cache.write_file(digest, file)

    def open(self, digest: str) -> BinaryIO:
        """Opens an object for reading, without reading all of it; `seek` costs nothing.

        What is read from its beginning to its end is verified there; a part alone cannot
        be, unless it comes from the cache, which is hashed as a whole before. Use it with
        `with`, in one thread at a time.

        Raises:
            InvalidDigestError: `digest` is not canonical; nothing was asked of the backend.
            ObjectNotFoundError: There is no such object.
        """
        import io

        from devqubit.storage._reader import BUFFER, ObjectReader

        if self._cache is not None and (kept := self._cache.open(digest)) is not None:
            return kept
        try:
            there = self._bucket.stat(object_key(digest))
        except BlobNotFoundError as exc:
            raise ObjectNotFoundError(digest) from exc
        return io.BufferedReader(ObjectReader(self._bucket, there, digest), BUFFER)

    def get_bytes_or_none(self, digest: str) -> bytes | None:
        """Like `get_bytes`, but None if there is no such object."""
        try:
            return self.get_bytes(digest)
        except ObjectNotFoundError:
            return None

    def exists(self, digest: str) -> bool:
        """Whether the object is there.

        Raises:
            InvalidDigestError: `digest` is not canonical.
        """
        try:
            self.get_size(digest)
        except ObjectNotFoundError:
            return False
        return True

    def get_size(self, digest: str) -> int:
        """The size of an object in bytes, without reading it.

        Raises:
            InvalidDigestError: `digest` is not canonical.
            ObjectNotFoundError: There is no such object.
        """
        try:
            return self._bucket.stat(object_key(digest)).size
        except BlobNotFoundError as exc:
            raise ObjectNotFoundError(digest) from exc

    def delete(self, digest: str) -> bool:
        """Deletes an object, also from the cache; False if it was not there.

        Runs that refer to it keep the reference.

        Raises:
            InvalidDigestError: `digest` is not canonical.
        """
        there = self._bucket.delete(object_key(digest))
        if self._cache is not None:
            self._cache.delete(digest)
        return there

    def url(self, digest: str, *, expires: int = 3600) -> str:
        """A link by which anybody reads the object, without credentials, for some time.

        It is a secret: whoever has it reads the object. It is made without looking
        whether the object is there, and whoever follows it should verify what comes.

        Args:
            digest: The object.
            expires: Seconds for which it works, from 1 to 604800 (7 days); less if the
                credentials that signed it are temporary ones and end before.

        Raises:
            InvalidDigestError: `digest` is not canonical.
            InvalidArgumentError: No link works for `expires` seconds.
            UnsupportedError: The backend has no links, or is used without credentials.
            CredentialsError: There are no credentials, or none that can sign.
        """
        key = object_key(digest)
        if isinstance(expires, bool) or not isinstance(expires, int):
            raise InvalidArgumentError("'expires' must be a whole number of seconds")
        if not 1 <= expires <= LONGEST_LINK:
            raise InvalidArgumentError(
                f"'expires' must be from 1 to {LONGEST_LINK} seconds (7 days), not {expires}"
            )
        return self._bucket.presigned_url(key, expires=expires)

    def list_digests(self, prefix: str | None = None) -> Iterator[str]:
        """The digests of all objects, in order, lazily. Files of anybody else are passed over.

        Long lists are listed several pages at a time.

        Args:
            prefix: Only digests that start with it, such as `sha256:ab`.

        Raises:
            InvalidDigestError: No digest starts like `prefix`.
        """
        from devqubit.storage._lookup import list_objects

        blobs = list_objects(self._bucket, object_prefix(prefix))
        return (digest for blob in blobs if (digest := digest_of_key(blob.key)) is not None)

    def _put(self, key: str, body: bytes) -> None:
        small = len(body) < LARGE and self._bucket.capabilities.conditional_create
        if small:
            try:
                self._bucket.write(key, body, if_version=ABSENT)
                return
            except ConflictError:
                pass  # it is there; whether whole is seen below
        # Whoever else writes this key writes the same bytes: no condition is needed.
        self._send_unless_held(key, len(body), lambda: self._bucket.write(key, body))

    def _send_unless_held(self, key: str, size: int, send: Callable[[], object]) -> bool:
        """Sends an object that is not there, not whole, or so old that it may be collected.

        False if it was there. Whether it is whole, its size tells.
        """
        from devqubit.storage._lease import is_fresh, write_again

        try:
            there = self._bucket.stat(key)
        except BlobNotFoundError:
            send()
            return True
        if there.size == size and is_fresh(there):
            return False
        write_again(self._bucket, key, send)
        return True

    def _download(
        self, digest: str, file: BinaryIO, progress: Progress | None, size: int | None
    ) -> None:
        from devqubit.storage._transfer import VerifiedFile

        for _ in range(_READS):
            verified = VerifiedFile(file, progress, size)
            try:
                self._bucket.download(object_key(digest), cast("BinaryIO", verified))
            except BlobNotFoundError as exc:
                raise ObjectNotFoundError(digest) from exc
            if verified.digest == digest:
                return
        raise IntegrityError(digest, verified.digest)
