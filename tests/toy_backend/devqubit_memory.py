"""Blobs in the memory of this process; each `memory://` URL is a place of its own."""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from threading import RLock

from devqubit import errors, plugin

LOCK, CLOCK = RLock(), map(plugin.Version, map(str, count(1)))
PLACES: dict[str, dict[str, tuple[plugin.BlobInfo, bytes]]] = {}


class Memory(plugin.Bucket):
    def __init__(self, request: plugin.OpenRequest) -> None:
        self.location, self._blobs = request.location, PLACES.setdefault(request.location, {})
        self.capabilities = plugin.Capabilities(persistent=False)

    def read(self, key: str, *, start: int = 0, length: int | None = None) -> plugin.Blob:
        with LOCK:
            version = self.stat(key).version
            return plugin.Blob(self._blobs[key][1][start:][:length], version)

    def write(self, key: str, data: bytes, *, if_version: object = None) -> plugin.Version:
        with LOCK:
            actual = self.stat(key).version if key in self._blobs else plugin.ABSENT
            if if_version not in (None, actual):
                raise errors.ConflictError(f"{key!r} changed", expected=if_version, actual=actual)
            self._blobs[key] = plugin.BlobInfo(key, len(data), next(CLOCK), datetime.now(UTC)), data
            return self._blobs[key][0].version

    def stat(self, key: str) -> plugin.BlobInfo:
        if (stored := self._blobs.get(key)) is None:
            raise errors.BlobNotFoundError(key, self.location)
        return stored[0]

    def delete(self, key: str, *, if_version: object = None) -> bool:
        with LOCK:
            if key in self._blobs and if_version not in (None, self.stat(key).version):
                raise errors.ConflictError(f"{key!r} changed", expected=if_version)
            return self._blobs.pop(key, None) is not None

    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[plugin.BlobInfo]:
        stored = sorted(self._blobs.copy().items())
        return (info for key, (info, _) in stored if key.startswith(prefix) and key > start_after)


@plugin.hookimpl
def devqubit_storage_backend() -> plugin.StorageBackend:
    return plugin.StorageBackend(api_version=1, schemes=("memory",), open=Memory, summary="Memory")
