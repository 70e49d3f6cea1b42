"""A bucket of Google Cloud Storage as a `devqubit.plugin.Bucket`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, BinaryIO, Final, TypeVar

from google.api_core.exceptions import from_http_response

from devqubit.errors import (
    AccessDeniedError,
    BackendError,
    BlobNotFoundError,
    ConflictError,
    CredentialsError,
    InvalidKeyError,
    InvalidURLError,
    StorageError,
    ThrottledError,
    UnreachableError,
    UnsupportedError,
)
from devqubit.plugin import (
    ABSENT,
    WRITE_ID,
    Absent,
    Blob,
    BlobInfo,
    Bucket,
    Capabilities,
    ConditionalRequests,
    OpenRequest,
    PerProcess,
    Retry,
    State,
    Version,
    delete_batches,
    read_range,
)
from devqubit_gcs._client import KeptBatch, connect, custom_endpoint
from devqubit_gcs._errors import translated
from devqubit_gcs._links import signed_url
from devqubit_gcs._upload import ResumableUpload

__all__ = ["GCSBucket"]

R = TypeVar("R")

# Blobs up to this size go in one request; larger ones in chunks of it (a multiple of 256 KiB).
_CHUNK: Final = 8 * 1024 * 1024
_TYPE: Final = "application/octet-stream"
_PAGE: Final = 1_000
_FIELDS: Final = "items(name,size,generation,timeCreated),nextPageToken"
# https://cloud.google.com/storage/docs/batch and /objects#naming
_BATCH: Final = 100
_BATCHES_IN_FLIGHT: Final = 4
_LONGEST_NAME: Final = 1_024


class GCSBucket(Bucket):
    """Blobs as objects under a prefix; a version is the object's generation.

    Args:
        request: The URL and its options.
    """

    def __init__(self, request: OpenRequest) -> None:
        options = request.options
        if not (request.bucket[0].isalnum() and request.bucket[-1].isalnum()):
            raise InvalidURLError(
                f"{request.bucket!r} is no bucket: names begin and end with a letter or digit"
            )
        endpoint = custom_endpoint(options)
        self.location = (
            request.location_with(endpoint_url=endpoint) if endpoint else request.location
        )
        self.max_concurrency = int(options.get("max_concurrency", self.max_concurrency))
        self._prefix = request.key_prefix
        self._retry = Retry.of(options)
        self._conditional = ConditionalRequests(self._retry)
        wait = self._retry.attempt_timeout
        # The SDK's own retries are off: one deadline holds for all attempts together.
        self._once: dict[str, Any] = {"timeout": (min(wait, 10), wait), "retry": None}
        self._connections = PerProcess(lambda: connect(request, self.max_concurrency))
        self._kms_key_name = options.get("kms_key_name")
        self._storage_class = options.get("storage_class")
        self._bucket_seen = False
        self.capabilities = Capabilities(unproven=endpoint is not None)

    def read(self, key: str, *, start: int = 0, length: int | None = None) -> Blob:
        return read_range(self, key, start, length, lambda: self._fetch(key, start, length))

    def write(
        self, key: str, data: bytes, *, if_version: Version | Absent | None = None
    ) -> Version:
        self._check(key)
        if if_version is None:
            return self._call(key, lambda: self._put(key, data))

        def send(write_ids: str) -> Version:
            condition = {"if_generation_match": _generation(if_version)}
            return self._ask(key, lambda: self._put(key, data, {WRITE_ID: write_ids}, condition))

        return self._conditional.write(key, if_version, send, lambda: self._state(key))

    def stat(self, key: str) -> BlobInfo:
        found = self._call(key, lambda: self._loaded(key))
        return BlobInfo(key, found.size, _version(found), found.time_created)

    def delete(self, key: str, *, if_version: Version | None = None) -> bool:
        def send() -> None:
            expected = None if if_version is None else _generation(if_version)
            self._ask(
                key, lambda: self._blob(key).delete(if_generation_match=expected, **self._once)
            )

        return self._conditional.delete(key, if_version, send, lambda: self._state(key))

    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[BlobInfo]:
        token = None
        while True:
            items, token = self._page(prefix, start_after, token)
            for item in items:
                key = item["name"][len(self._prefix) :]
                # The service's offset includes its key; consoles make "folders" that end in "/".
                if key > start_after and not key.endswith("/"):
                    created = datetime.fromisoformat(item["timeCreated"])
                    yield BlobInfo(key, int(item["size"]), Version(item["generation"]), created)
            if not token:
                return

    def delete_many(self, keys: Iterable[str]) -> Iterator[tuple[str, StorageError | None]]:
        return delete_batches(keys, self._delete_batch, size=_BATCH, width=_BATCHES_IN_FLIGHT)

    def upload(self, key: str, fileobj: BinaryIO, size: int) -> Version:
        if size <= _CHUNK:
            return super().upload(key, fileobj, size)
        self._check(key)
        url = self._call(
            key, lambda: self._blob(key).create_resumable_upload_session(_TYPE, size, **self._once)
        )
        upload = ResumableUpload(self._connections.get().session, url, size, self._once["timeout"])
        for start in range(0, size, _CHUNK):
            chunk = fileobj.read(min(_CHUNK, size - start))
            if len(chunk) != min(_CHUNK, size - start):
                raise StorageError(f"{key!r}: the file has fewer than {size} bytes")
            upload.take(chunk)
            done = self._retry.call(lambda n: self._ask(key, lambda: upload.send(n)))
        return Version(done["generation"])

    def presigned_url(self, key: str, *, expires: int) -> str:
        self._check(key)
        with translated(self.location, key):
            return signed_url(self._connections.get(), self._prefix + key, expires, self.location)

    def describe(self) -> Mapping[str, str]:
        bucket = self._bucket()
        try:
            self._call(None, lambda: bucket.reload(**self._once))
            versioning = "Enabled" if bucket.versioning_enabled else "off"
        except StorageError as exc:
            versioning = f"not known: {exc}"
        return {"identity": self._connections.get().identity, "versioning": versioning}

    def close(self) -> None:
        connection = self._connections.drop()
        if connection is not None:
            connection.session.close()

    def _bucket(self) -> Any:
        return self._connections.get().bucket

    def _blob(self, key: str) -> Any:
        blob = self._bucket().blob(self._prefix + key, kms_key_name=self._kms_key_name)
        if self._storage_class:
            blob.storage_class = self._storage_class
        return blob

    def _check(self, key: str) -> None:
        if not _is_name(self._prefix + key):
            raise InvalidKeyError(
                f"{key[:100]!r}: Cloud Storage has no names over {_LONGEST_NAME} bytes, the prefix "
                "included, nor with line ends"
            )

    def _call(self, key: str | None, action: Callable[[], R]) -> R:
        return self._retry.call(lambda _: self._ask(key, action))

    def _ask(self, key: str | None, action: Callable[[], R]) -> R:
        """Does something once, and raises only errors of ours."""
        if key is not None and not _is_name(self._prefix + key):
            raise BlobNotFoundError(key, self.location)  # the service refuses even to look
        try:
            with translated(self.location, key):
                result = action()
        except BlobNotFoundError:
            if not self._bucket_seen:
                self._look_for_bucket()
            raise
        self._bucket_seen = self._bucket_seen or key is not None
        return result

    def _look_for_bucket(self) -> None:
        """Raises if there is no bucket, which the answer about an object does not always tell."""
        try:
            with translated(self.location):
                self._listing(page_size=1)
        except (AccessDeniedError, CredentialsError):
            pass  # it cannot be told, and is not asked again
        self._bucket_seen = True

    def _listing(self, **asked: Any) -> tuple[Iterable[Any], str | None]:
        bucket = self._bucket()
        found = bucket.client.list_blobs(bucket, fields=_FIELDS, **asked, **self._once)
        # The page as it came: making the SDK's blobs of it takes most of the time of listing.
        page = next(found.pages).raw_page
        self._bucket_seen = True
        return page.get("items", ()), found.next_page_token

    def _page(
        self, prefix: str, start_after: str, token: str | None
    ) -> tuple[Iterable[Any], str | None]:
        asked = {
            "prefix": self._prefix + prefix or None,
            "start_offset": self._prefix + start_after if start_after else None,
            "page_token": token,
            "page_size": _PAGE,
        }
        items, following = self._call(None, lambda: self._listing(**asked))
        if following and following == token:
            raise BackendError(f"{self.location}: the server gives the same page for ever")
        return items, following

    def _fetch(self, key: str, start: int, length: int | None) -> Blob:
        """Bytes and version in one request."""
        last = None if length is None else start + length - 1
        asked = {"start": start or None, "end": last, "raw_download": True, **self._once}

        def attempt() -> Blob:
            blob = self._blob(key)
            data = blob.download_as_bytes(**asked)
            if blob.generation is not None:
                write_ids = self._connections.get().answered.headers.get(f"x-goog-meta-{WRITE_ID}")
                self._conditional.seen(key, _version(blob), write_ids)
                return Blob(data, _version(blob))
            # Some emulators do not say which generation they sent. One that is older than
            # the bytes is safe: what is written for it conflicts, and is done again.
            version = _version(self._loaded(key))
            return Blob(self._blob(key).download_as_bytes(**asked), version)

        return self._call(key, attempt)

    def _loaded(self, key: str) -> Any:
        blob = self._blob(key)
        blob.reload(**self._once)
        return blob

    def _put(
        self,
        key: str,
        data: bytes,
        metadata: dict[str, str] | None = None,
        condition: dict[str, int] | None = None,
    ) -> Version:
        blob = self._blob(key)
        if metadata:
            blob.metadata = metadata
        blob.upload_from_string(data, _TYPE, **(condition or {}), **self._once)
        return _version(blob)

    def _state(self, key: str) -> State:
        try:
            found = self._ask(key, lambda: self._loaded(key))
        except BlobNotFoundError:
            return ABSENT, None
        return _version(found), (found.metadata or {}).get(WRITE_ID)

    def _delete_batch(self, keys: tuple[str, ...]) -> dict[str, StorageError | None]:
        def send() -> tuple[Any, ...]:
            batch = KeptBatch(self._bucket().client, raise_exception=False)
            try:
                with batch:
                    for key in keys:
                        self._blob(key).delete(**self._once)
            except ValueError as exc:
                raise BackendError(f"{self.location}: no answer to a batch: {exc}") from exc
            return batch.answers

        try:
            answers = self._call(None, send)
        except (BackendError, UnsupportedError):  # some emulators know no batches
            return dict(super().delete_many(keys))
        return {key: self._deleted(key, answer) for key, answer in zip(keys, answers, strict=True)}

    def _deleted(self, key: str, answer: Any) -> StorageError | None:
        """What came of one call of a batch; what failed for the moment is done again alone."""

        def check() -> None:
            if not answer.ok:
                raise from_http_response(answer)

        try:
            self._ask(key, check)
        except BlobNotFoundError:
            return None
        except (ThrottledError, UnreachableError):
            ((_, error),) = super().delete_many((key,))
            return error
        except StorageError as exc:
            return exc
        return None


def _is_name(name: str) -> bool:
    return len(name.encode()) <= _LONGEST_NAME and "\n" not in name and "\r" not in name


def _version(blob: Any) -> Version:
    return Version(str(blob.generation))


def _generation(version: Version | Absent) -> int:
    if version is ABSENT:
        return 0
    # Generations are positive 64-bit numbers; anything else is the version of nothing here.
    if re.fullmatch("[1-9][0-9]{0,18}", version):
        return int(version)
    raise ConflictError(f"{version!r} is no version of this bucket", expected=version)
