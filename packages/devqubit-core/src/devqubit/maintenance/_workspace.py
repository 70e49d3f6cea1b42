"""A workspace of devqubit 0.1.12, `registry.db` and `objects/`, as a place to copy from.

Its runs, baselines and metric points are shown as the files that a bucket would have. The
database may be in use: it is copied to a temporary folder first, with its journal, since SQLite
leaves files beside every database that it opens, and reads a changing one wrongly. Nothing in
the workspace is ever written.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import NoReturn

from devqubit.errors import (
    BlobNotFoundError,
    CorruptRecordError,
    InvalidNameError,
    UnsupportedError,
)
from devqubit.maintenance._place import Place
from devqubit.maintenance._workspace_database import DATABASE, Database, Entry, snapshot
from devqubit.storage import create_store
from devqubit.storage._bucket import Absent, Blob, BlobInfo, Bucket, Capabilities, Version
from devqubit.storage._digest import digest_of
from devqubit.storage._names import check_name, encode_name, name_key
from devqubit.storage._registry import Registry
from devqubit.storage._url import canonical_url

__all__ = ["DATABASE", "WorkspaceBucket", "is_workspace", "open_workspace"]


def is_workspace(path: str) -> bool:
    """Whether a local path is a `registry.db`, or a folder with one and no runs as files."""
    if os.path.isdir(path):
        has = os.path.isfile(os.path.join(path, DATABASE))
        return has and not os.path.isdir(os.path.join(path, "runs"))
    return os.path.basename(path) == DATABASE


@contextmanager
def open_workspace(path: str, *, store: str | None = None) -> Iterator[Place]:
    """Opens a workspace of devqubit 0.1.12, to read it.

    Args:
        path: Its folder, or its `registry.db`.
        store: Where its objects are, if not in its folder `objects`.

    Raises:
        InvalidArgumentError: There is no database of devqubit 0.1.12.
        StorageError: It cannot be read.
    """
    path = os.path.abspath(os.path.expanduser(path))
    database = os.path.join(path, DATABASE) if os.path.isdir(path) else path
    objects = os.path.join(os.path.dirname(database), "objects") if store is None else store
    bucket = WorkspaceBucket(database)
    with Registry(bucket, max_staleness=None) as registry, create_store(objects) as opened:
        yield Place(opened, registry)


class WorkspaceBucket(Bucket):
    """The records of a workspace as files; refuses to write.

    Args:
        path: The database.

    Raises:
        InvalidArgumentError: It is no database of devqubit 0.1.12.
        StorageError: It cannot be read.
    """

    capabilities = Capabilities(ranged_listing=False)

    def __init__(self, path: str) -> None:
        self.location = canonical_url("file", "", path, {})
        self._folder = tempfile.TemporaryDirectory(prefix="devqubit-workspace-")
        with ExitStack() as opened:
            opened.callback(self._folder.cleanup)
            self._database = Database(snapshot(path, self._folder.name), path)
            opened.callback(self._database.close)
            self._entries = {_key(entry): entry for entry in self._database.entries()}
            self._opened = opened.pop_all()

    def close(self) -> None:
        """Removes the copy of the database."""
        self._opened.close()

    def read(self, key: str, *, start: int = 0, length: int | None = None) -> Blob:
        """Reads a record, as its bytes are in the database; or makes a segment of points."""
        data = self._database.read(self._entry(key))
        end = None if length is None else start + length
        return Blob(data[start:end], Version(digest_of(data)))

    def stat(self, key: str) -> BlobInfo:
        """Its size; the time is that of the record, since rows have none."""
        entry = self._entry(key)
        try:
            data = self._database.read(entry)
        except CorruptRecordError:
            data = b""  # reading it says why
        return BlobInfo(key, len(data), Version(digest_of(data)), entry.modified)

    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[BlobInfo]:
        """The files that there would be, in order."""
        for key in sorted(self._entries, key=str.encode):
            if key.startswith(prefix) and key.encode() > start_after.encode():
                yield self.stat(key)

    def write(
        self, key: str, data: bytes, *, if_version: Version | Absent | None = None
    ) -> Version:
        """Refuses."""
        self._refuse()

    def delete(self, key: str, *, if_version: Version | None = None) -> bool:
        """Refuses."""
        self._refuse()

    def _entry(self, key: str) -> Entry:
        if key not in self._entries:
            raise BlobNotFoundError(key, self.location)
        return self._entries[key]

    def _refuse(self) -> NoReturn:
        raise UnsupportedError(f"{self.location} is of devqubit 0.1.12, and is only read")


def _key(entry: Entry) -> str:
    name = entry.name
    try:
        if entry.folder == "metrics":
            # As a merged segment is named, and before all that are saved from now on.
            return f"metrics/{encode_name(check_name(name))}/{0:020}-{0:08}.{entry.row:06}.json"
        return name_key(entry.folder, check_name(name))
    except InvalidNameError:
        # No file can have its name; this one is read, and refused for what it holds.
        shown = repr(name)[:40].encode("ascii", "backslashreplace").decode()
        return f"{entry.folder}/{encode_name(f'{shown}, row {entry.row} of {DATABASE}')}.json"
