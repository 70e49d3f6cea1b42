"""A bucket of Google Cloud Storage as a `devqubit.plugin.Bucket`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Final, TypeVar

from google.cloud.storage.retry import DEFAULT_RETRY

from devqubit.errors import BlobNotFoundError, StorageError
from devqubit.plugin import (
    ABSENT,
    WRITE_ID,
    Absent,
    Blob,
    BlobInfo,
    Bucket,
    OpenRequest,
    Retry,
    State,
    Version,
    conditional_delete,
    conditional_write,
)
from devqubit_gcs._client import custom_endpoint, make_client
from devqubit_gcs._errors import RangeError, translated

__all__ = ["GCSBucket"]

R = TypeVar("R")

# Blobs up to this size go in one request; larger ones in chunks of it (a multiple of 256 KiB).
_CHUNK: Final = 8 * 1024 * 1024
_PAGE: Final = 1_000
_FIELDS: Final = "items(name,size,generation,updated),nextPageToken"


class GCSBucket(Bucket):
    """Blobs as objects under a prefix; a version is the object's generation.

    Args:
        request: The URL and its options.
    """

    def __init__(self, request: OpenRequest) -> None:
        options = request.options
        self.location = request.location
        self.max_concurrency = int(options.get("max_concurrency", self.max_concurrency))
        self._request = request
        self._retry = Retry.of(options)
        wait = self._retry.attempt_timeout
        # The SDK's own retries are off: one deadline holds for all attempts together.
        self._once: dict[str, Any] = {"timeout": (min(wait, 10), wait), "retry": None}
        self._prefix = request.key_prefix
        self._connect()

    def read(self, key: str, *, start: int = 0, length: int | None = None) -> Blob:
        if length == 0:
            return Blob(b"", self.stat(key).version)
        last = None if length is None else start + length - 1

        def attempt() -> Blob:
            blob = self._blob(key)
            data = blob.download_as_bytes(
                start=start or None, end=last, raw_download=True, **self._once
            )
            return Blob(data, _version(blob))

        try:
            return self._call(key, attempt)
        except RangeError:
            return Blob(b"", self.stat(key).version)

    def write(
        self, key: str, data: bytes, *, if_version: Version | Absent | None = None
    ) -> Version:
        if if_version is None:
            return self._call(key, lambda: self._send(key, data))

        def send(write_id: str) -> Version:
            with translated(self.location, key):
                return self._send(key, data, if_version, {WRITE_ID: write_id})

        return conditional_write(self._retry, key, if_version, send, lambda: self._state(key))

    def stat(self, key: str) -> BlobInfo:
        return self._info(self._loaded(key))

    def delete(self, key: str, *, if_version: Version | None = None) -> bool:
        def send() -> None:
            with translated(self.location, key):
                self._blob(key).delete(**_generation(if_version), **self._once)

        return conditional_delete(self._retry, key, if_version, send, lambda: self._state(key))

    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[BlobInfo]:
        token = None
        while True:
            page, token = self._page(prefix, start_after, token)
            for info in page:
                # The service's offset includes its key; consoles make "folders" that end in "/".
                if info.key > start_after and not info.key.endswith("/"):
                    yield info
            if not token:
                return

    def upload(self, key: str, fileobj: BinaryIO, size: int) -> Version:
        if size <= _CHUNK:
            return super().upload(key, fileobj, size)
        blob = self._blob(key, chunk_size=_CHUNK)
        with translated(self.location, key):
            # A resumable upload: the service keeps what came, and shows nothing before the end.
            blob.upload_from_file(
                _Exactly(fileobj, size, key),
                size=size,
                content_type="application/octet-stream",
                timeout=self._once["timeout"],
                retry=DEFAULT_RETRY.with_timeout(self._retry.timeout),
            )
        return _version(blob)

    def close(self) -> None:
        self._client.close()

    def _connect(self) -> None:
        options = self._request.options
        with translated(self.location):
            self._client = make_client(options, self.max_concurrency)
        self._pid = os.getpid()
        endpoint = custom_endpoint(options)
        if endpoint:
            self.location = self._request.location_with(endpoint_url=endpoint)

    def _gcs(self) -> Any:
        if self._pid != os.getpid():
            # A forked child must not share its parent's connections.
            self._connect()
        return self._client

    def _container(self) -> Any:
        return self._gcs().bucket(
            self._request.bucket, user_project=self._request.options.get("user_project")
        )

    def _blob(self, key: str, chunk_size: int | None = None) -> Any:
        options = self._request.options
        blob = self._container().blob(
            self._prefix + key, chunk_size=chunk_size, kms_key_name=options.get("kms_key_name")
        )
        if "storage_class" in options:
            blob.storage_class = options["storage_class"]
        return blob

    def _call(self, key: str, action: Callable[[], R]) -> R:
        def attempt(_: int) -> R:
            with translated(self.location, key):
                return action()

        return self._retry.call(attempt)

    def _loaded(self, key: str) -> Any:
        def attempt() -> Any:
            blob = self._blob(key)
            blob.reload(**self._once)
            return blob

        return self._call(key, attempt)

    def _info(self, blob: Any) -> BlobInfo:
        key = blob.name[len(self._prefix) :]
        return BlobInfo(key, int(blob.size), _version(blob), blob.updated)

    def _send(
        self,
        key: str,
        data: bytes,
        expected: Version | Absent | None = None,
        metadata: dict[str, str] | None = None,
    ) -> Version:
        blob = self._blob(key)
        blob.metadata = metadata
        blob.upload_from_string(
            data,
            content_type="application/octet-stream",
            **_generation(expected),
            **self._once,
        )
        return _version(blob)

    def _state(self, key: str) -> State:
        try:
            blob = self._loaded(key)
        except BlobNotFoundError:
            return ABSENT, None
        return _version(blob), (blob.metadata or {}).get(WRITE_ID)

    def _page(
        self, prefix: str, start_after: str, token: str | None
    ) -> tuple[tuple[BlobInfo, ...], str | None]:
        def attempt() -> tuple[tuple[BlobInfo, ...], str | None]:
            found = self._gcs().list_blobs(
                self._container(),
                prefix=(self._prefix + prefix) or None,
                start_offset=(self._prefix + start_after) if start_after else None,
                page_token=token,
                page_size=_PAGE,
                fields=_FIELDS,
                **self._once,
            )
            page = next(found.pages, ())
            return tuple(self._info(blob) for blob in page), found.next_page_token

        return self._call(prefix, attempt)


class _Exactly:
    """Reads a file up to a size, and refuses one that ends before it."""

    def __init__(self, file: BinaryIO, size: int, key: str) -> None:
        self._file, self._start, self._size, self._key = file, file.tell(), size, key

    def read(self, size: int = -1) -> bytes:
        left = self._start + self._size - self._file.tell()
        data = self._file.read(left if size < 0 else min(size, left))
        if not data and left and size:
            raise StorageError(f"{self._key!r}: the file has fewer than {self._size} bytes")
        return data

    def tell(self) -> int:
        return self._file.tell() - self._start

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_END:
            offset, whence = self._size + offset, os.SEEK_SET
        base = self._start if whence == os.SEEK_SET else 0
        return self._file.seek(base + offset, whence) - self._start


def _version(blob: Any) -> Version:
    return Version(str(blob.generation))


def _generation(expected: Version | Absent | None) -> dict[str, int]:
    if expected is None:
        return {}
    # Generations are numbers from 1, and 0 stands for "not there"; what is no generation
    # can match none.
    text = "0" if expected is ABSENT else str(expected)
    return {"if_generation_match": int(text) if text.isascii() and text.isdigit() else -1}
