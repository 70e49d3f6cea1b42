"""JSON documents in one folder of a bucket, each stored under its own name.

Runs and baselines are such documents. Anybody may write files there, so nothing that
is read is trusted: its size, its form, and whether it is what its key says.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from devqubit.errors import (
    BlobNotFoundError,
    BucketNotFoundError,
    ConflictError,
    CorruptRecordError,
    CredentialsError,
    StorageError,
    ThrottledError,
    UnreachableError,
)
from devqubit.storage._bucket import ABSENT, Absent, Blob, BlobInfo, Bucket, Version
from devqubit.storage._names import candidate_keys, name_key, names_of_key, rival_keys
from devqubit.storage._records import MAX_RECORD_BYTES, decode_json

__all__ = ["Document", "DocumentFolder", "Problem"]

# These say that nothing can be read, not that one file is bad.
_FATAL: Final = (BucketNotFoundError, CredentialsError, ThrottledError, UnreachableError)


@dataclass(frozen=True, slots=True)
class Problem:
    """A file that cannot be served.

    Attributes:
        key: The file, such as `runs/x.json`.
        reason: Why not.
    """

    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class Document:
    """A document as it was read; `data` are its bytes."""

    name: str
    key: str
    content: dict[str, Any]
    version: Version
    data: bytes


class DocumentFolder:
    """The documents `<folder>/<name>.json` of a bucket.

    Args:
        bucket: The bucket.
        folder: The folder's name.
        name_of: The name that a document gives itself, or None.
    """

    def __init__(
        self, bucket: Bucket, folder: str, name_of: Callable[[dict[str, Any]], object]
    ) -> None:
        self._bucket = bucket
        self._folder = folder
        self._name_of = name_of

    def write(
        self, name: str, data: bytes, *, if_version: Version | Absent | None = None
    ) -> Version:
        """Stores a document under its name; raises as `Bucket.write`."""
        key = name_key(self._folder, name)
        if self._is_ambiguous(name):
            self._make_way(key, name)
        return self._bucket.write(key, data, if_version=if_version)

    def read(self, name: str) -> Document | None:
        """The document of a name, or None.

        Raises:
            InvalidNameError: Nothing can have that name.
            CorruptRecordError: What is stored is not that document.
        """
        for key in candidate_keys(self._folder, name):
            try:
                document = self._read_key(key)
            except BlobNotFoundError:
                continue
            if document.name == name:
                return document
        return None

    def exists(self, name: str) -> bool:
        """Whether there is such a document, unread where its key says it all."""
        if self._is_ambiguous(name):
            return self.read(name) is not None
        try:
            self._bucket.stat(name_key(self._folder, name))
        except BlobNotFoundError:
            return False
        return True

    def delete(self, name: str, *, if_version: Version | None = None) -> bool:
        """Deletes a document, also one that devqubit 0.1.12 wrote under its raw name."""
        if not self._is_ambiguous(name):
            return self._bucket.delete(name_key(self._folder, name), if_version=if_version)
        deleted = False
        for key in candidate_keys(self._folder, name):
            with suppress(BlobNotFoundError, CorruptRecordError):
                if self._read_key(key).name == name:
                    deleted = self._bucket.delete(key, if_version=if_version) or deleted
        return deleted

    def scan(self) -> Iterator[Document | Problem]:
        """Every document, and every file that should be one but cannot be served.

        Raises:
            StorageError: The folder as a whole cannot be read.
        """
        infos = {info.key: info for info in self._bucket.list(self.prefix)}
        for key, blob in self.fetch(infos.values()):
            found = self.examine(key, blob, infos)
            if found is not None:
                yield found

    @property
    def prefix(self) -> str:
        """What the keys of all documents start with."""
        return f"{self._folder}/"

    def rivals(self, key: str) -> set[str]:
        """The other keys that may hold the same document: one of them stands for all."""
        return rival_keys(self._folder, key)

    def fetch(self, infos: Iterable[BlobInfo]) -> Iterator[tuple[str, Blob | Problem | None]]:
        """Reads files that were listed, many at a time, but none that is far too large.

        Yields:
            Each key with its blob, with what is wrong with it, or with None if it is
            nobody's document, or gone by now.

        Raises:
            StorageError: Nothing can be read, whichever file.
        """
        readable = []
        for info in infos:
            reason = self._refusal(info)
            if reason is None:
                readable.append(info.key)
            else:
                yield info.key, Problem(info.key, reason) if info.key.endswith(".json") else None
        for key, blob in self._bucket.read_many(readable):
            if isinstance(blob, _FATAL):
                raise blob
            if isinstance(blob, BlobNotFoundError):
                yield key, None
            else:
                yield key, Problem(key, str(blob)) if isinstance(blob, StorageError) else blob

    def examine(
        self, key: str, blob: Blob | Problem | None, listed: Container[str]
    ) -> Document | Problem | None:
        """What a file that was fetched holds.

        Args:
            key: The file.
            blob: What `fetch` gave.
            listed: The keys of the folder.
        """
        if not isinstance(blob, Blob):
            return blob
        try:
            document = self._document(key, blob)
        except CorruptRecordError as exc:
            return Problem(key, str(exc))
        ours = name_key(self._folder, document.name)
        if key != ours and ours in listed:
            return Problem(key, f"an older copy, by devqubit 0.1.12, of {ours!r}: delete it")
        return document

    def _is_ambiguous(self, name: str) -> bool:
        """Whether the name's key could be the raw one, of devqubit 0.1.12, of another name."""
        return name_key(self._folder, name) != f"{self._folder}/{name}.json"

    def _make_way(self, key: str, name: str) -> None:
        """Gives a document that devqubit 0.1.12 wrote under `key`, its raw name, its own key."""
        with suppress(BlobNotFoundError, CorruptRecordError, ConflictError):
            there = self._read_key(key)
            if there.name != name:
                moved = json.dumps(there.content).encode("ascii")
                self._bucket.write(name_key(self._folder, there.name), moved, if_version=ABSENT)

    def _refusal(self, info: BlobInfo) -> str | None:
        if not names_of_key(self._folder, info.key):
            return "its name is none that is ever given"
        if info.size > MAX_RECORD_BYTES:
            return f"it has {info.size:,} bytes, more than {MAX_RECORD_BYTES:,}"
        return None

    def _read_key(self, key: str) -> Document:
        # A little more than allowed shows that it is too large, whatever its size.
        return self._document(key, self._bucket.read(key, length=MAX_RECORD_BYTES + 1))

    def _document(self, key: str, blob: Blob) -> Document:
        content = decode_json(blob.data, repr(key))
        name = self._name_of(content)
        if not isinstance(name, str) or name not in names_of_key(self._folder, key):
            raise CorruptRecordError(f"{key!r} holds {name!r}, which belongs under another name")
        return Document(name, key, content, blob.version, blob.data)
