"""A container of Azure Blob Storage as a `devqubit.plugin.Bucket`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from typing import Any, BinaryIO, Final, TypeVar

from azure.core import MatchConditions
from azure.storage.blob import BlobBlock, BlobClient, BlobProperties

from devqubit.errors import BlobNotFoundError, InvalidKeyError, StorageError, UnreachableError
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
    each,
    read_range,
)
from devqubit_azure._client import connect, location_of
from devqubit_azure._errors import translated

__all__ = ["AzureBucket"]

T = TypeVar("T")

# Names of metadata must be identifiers here.
_WRITE_ID: Final = WRITE_ID.replace("-", "_")
# https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata
_LONGEST_NAME: Final = 1_024
# https://learn.microsoft.com/rest/api/storageservices/put-block-list
_MAX_BLOCKS: Final = 50_000
_BLOCK_SIZE: Final = 8 * 1024 * 1024
_BLOCKS_IN_FLIGHT: Final = 3
_DELETE_BATCH: Final = 256
_BATCHES_IN_FLIGHT: Final = 4
_UNSTORABLE: Final = re.compile(r"[\\\x00-\x1f]")  # a backslash would become a slash
_WIDE: Final = re.compile("[\U00010000-\U0010ffff]")


class AzureBucket(Bucket):
    """Blobs of a container under a prefix; a version is the blob's ETag without its quotes.

    Args:
        request: The URL and its options.
    """

    # The newest versions of the service can begin a list at a name; Azurite cannot.
    capabilities = Capabilities(ranged_listing=False)

    def __init__(self, request: OpenRequest) -> None:
        self.max_concurrency = int(request.options.get("max_concurrency", self.max_concurrency))
        self._retry = Retry.of(request.options)
        self._conditional = ConditionalRequests(self._retry)
        self._prefix = request.key_prefix
        self._clients = PerProcess(lambda: connect(request, self._retry, self.max_concurrency))
        self.location = location_of(request, self._clients.get())

    def read(self, key: str, *, start: int = 0, length: int | None = None) -> Blob:
        def get() -> Blob:
            hook = _once(self.location)
            stream = self._blob(key).download_blob(start, length, raw_request_hook=hook)
            version = _version(stream.properties.etag)
            self._conditional.seen(key, version, stream.properties.metadata.get(_WRITE_ID))
            return Blob(stream.readall(), version)

        return read_range(self, key, start, length, lambda: self._call(get, key))

    def write(
        self, key: str, data: bytes, *, if_version: Version | Absent | None = None
    ) -> Version:
        self._check(key)

        def put(**more: Any) -> Version:
            return _version(self._blob(key).upload_blob(data, overwrite=True, **more)["etag"])

        def send(write_ids: str) -> Version:
            with translated(self.location, key):
                return put(metadata={_WRITE_ID: write_ids}, **_condition(if_version))

        if if_version is None:
            return self._call(put, key)
        return self._conditional.write(key, if_version, send, lambda: self._state(key))

    def stat(self, key: str) -> BlobInfo:
        return self._head(key)[0]

    def delete(self, key: str, *, if_version: Version | None = None) -> bool:
        def send() -> None:
            with translated(self.location, key):
                self._blob(key).delete_blob(**_condition(if_version))

        return self._conditional.delete(key, if_version, send, lambda: self._state(key))

    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[BlobInfo]:
        return _in_byte_order(info for info in self._list(prefix) if info.key > start_after)

    def delete_many(self, keys: Iterable[str]) -> Iterator[tuple[str, StorageError | None]]:
        return delete_batches(
            keys, self._delete_batch, size=_DELETE_BATCH, width=_BATCHES_IN_FLIGHT
        )

    def upload(self, key: str, fileobj: BinaryIO, size: int) -> Version:
        if size <= _BLOCK_SIZE:
            return super().upload(key, fileobj, size)
        self._check(key)

        def stage(block: tuple[str, bytes]) -> None:
            self._call(lambda: self._blob(key).stage_block(*block), key)

        blocks = []
        width = _BLOCKS_IN_FLIGHT
        found = _blocks(key, fileobj, size)
        for (name, _), outcome in each(found, stage, width=width, held=width + 1):
            if outcome is not None:
                raise outcome  # blocks that no list names are gone after a week
            blocks.append(BlobBlock(name))
        return self._call(lambda: _version(self._blob(key).commit_block_list(blocks)["etag"]), key)

    def close(self) -> None:
        client = self._clients.drop()
        if client is not None:
            client.close()

    def _blob(self, key: str) -> BlobClient:
        if not _is_name(self._prefix + key):
            raise BlobNotFoundError(key, self.location)
        return self._clients.get().get_blob_client(self._prefix + key)

    def _check(self, key: str) -> None:
        if not _is_name(self._prefix + key):
            raise InvalidKeyError(
                f"{key[:100]!r}: Azure has no names with a backslash or a control character, nor "
                f"any over {_LONGEST_NAME} characters, the prefix included"
            )

    def _call(self, action: Callable[[], T], key: str = "") -> T:
        def attempt(_: int) -> T:
            with translated(self.location, key):
                return action()

        return self._retry.call(attempt)

    def _head(self, key: str) -> tuple[BlobInfo, str | None]:
        def head() -> tuple[BlobInfo, str | None]:
            found = self._blob(key).get_blob_properties()
            return self._info(found), found.metadata.get(_WRITE_ID)

        return self._call(head, key)

    def _info(self, found: BlobProperties) -> BlobInfo:
        key = found.name[len(self._prefix) :]
        return BlobInfo(key, found.size, _version(found.etag), found.last_modified)

    def _state(self, key: str) -> State:
        try:
            info, write_ids = self._head(key)
        except BlobNotFoundError:
            return ABSENT, None
        return info.version, write_ids

    def _list(self, prefix: str) -> Iterator[BlobInfo]:
        pages = self._clients.get().list_blobs(self._prefix + prefix).by_page()

        def page() -> tuple[BlobInfo, ...] | None:
            found = next(pages, None)
            return None if found is None else tuple(map(self._info, found))

        while (infos := self._call(page)) is not None:
            yield from infos

    def _delete_batch(self, keys: tuple[str, ...]) -> dict[str, StorageError | None]:
        names = [self._prefix + key for key in keys]
        if all(map(_is_name, names)):
            answers = self._call(
                lambda: list(self._clients.get().delete_blobs(*names, raise_on_any_failure=False))
            )
            if all(answer.status_code in (202, 404) for answer in answers):
                return {}
        # One request for all says little of what failed; each alone, its own error.
        return dict(super().delete_many(keys))


def _is_name(name: str) -> bool:
    return len(name) <= _LONGEST_NAME and not _UNSTORABLE.search(name)


def _version(etag: Any) -> Version:
    return Version(etag.strip('"'))  # with quotes in headers, without them in lists


def _condition(version: Version | Absent | None) -> dict[str, Any]:
    if version is None:
        return {}
    if version is ABSENT:
        return {"match_condition": MatchConditions.IfMissing}
    return {"match_condition": MatchConditions.IfNotModified, "etag": f'"{version}"'}


def _once(location: str) -> Callable[[object], None]:
    """Lets the SDK send one request: it would ask again by itself when a body breaks off."""
    sent = count()

    def hook(_: object) -> None:
        if next(sent):
            raise UnreachableError(f"{location}: an answer broke off")

    return hook


def _blocks(key: str, fileobj: BinaryIO, size: int) -> Iterator[tuple[str, bytes]]:
    """The blocks of a file, named by their content.

    The end of an upload takes away the blocks of others that go on for the same blob. Those
    of the same bytes find theirs again, in what has been written; as objects of a store are.
    """
    block_size = max(_BLOCK_SIZE, -(-size // _MAX_BLOCKS))
    for start in range(0, size, block_size):
        data = fileobj.read(min(block_size, size - start))
        if len(data) != min(block_size, size - start):
            raise StorageError(f"{key!r}: the file has fewer than {size} bytes")
        yield hashlib.sha256(data).hexdigest(), data


def _in_byte_order(infos: Iterable[BlobInfo]) -> Iterator[BlobInfo]:
    """Puts what comes in the order of UTF-16, as from Azurite, into that of UTF-8.

    They differ where one key has a character of two units (an emoji) and another one of the
    last 8,192 (a full-width letter) behind the same beginning: those are few, and held back.
    """
    held: list[BlobInfo] = []
    stem = ""
    for info in infos:
        if not info.key.startswith(stem):
            yield from sorted(held, key=lambda info: info.key)
            held, stem = [], ""
        wide = _WIDE.search(info.key)
        if wide and not held:
            stem = info.key[: wide.start()]
        if wide or held:
            held.append(info)
        else:
            yield info
    yield from sorted(held, key=lambda info: info.key)
