"""Files into a store and out of it, where no backend makes a difference."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from devqubit.errors import (
    ConflictError,
    IntegrityError,
    InvalidDigestError,
    ObjectNotFoundError,
    StorageError,
)
from devqubit.storage import ObjectStore, create_store
from devqubit.storage._digest import digest_of

DATA = bytes(range(256)) * 4096
NOTHING = digest_of(b"nothing that is here")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ObjectStore]:
    """A store in a folder."""
    with create_store(f"file://{tmp_path}/store?durability=fast") as store:
        yield store


def damage(tmp_path: Path, digest: str) -> None:
    """Flips a bit of a stored object."""
    digits = digest.removeprefix("sha256:")
    path = tmp_path / "store" / "sha256" / digits[:2] / digits
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


class Stream(io.RawIOBase):
    """A file that is read once, as a pipe or an answer is."""

    def __init__(self, data: bytes) -> None:
        self._left = data

    def read(self, size: int = -1) -> bytes:
        data, self._left = self._left[:size], self._left[size:]
        return data


def test_file_that_is_read_once(store: ObjectStore) -> None:
    """What cannot be read twice is stored all the same."""
    digest = store.put_file(Stream(DATA))  # type: ignore[arg-type]  # all that is needed of it
    assert store.get_bytes(digest) == DATA


class Changing(io.FileIO):
    """A file that somebody writes when it was read to its end for the first time."""

    def __init__(self, path: Path, then: bytes) -> None:
        super().__init__(path)
        self._change: list[bytes] = [then]

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        if size and not data and self._change:
            Path(str(self.name)).write_bytes(self._change.pop())
        return data


@pytest.mark.parametrize("then", [DATA + b"x", DATA[:-1], DATA[:-1] + b"x"])
def test_file_that_changes_meanwhile(store: ObjectStore, tmp_path: Path, then: bytes) -> None:
    """A file that somebody writes while it is stored is refused, and nothing is seen of it."""
    path = tmp_path / "source"
    path.write_bytes(DATA)
    with Changing(path, then) as file, pytest.raises(StorageError):
        store.put_file(file)
    assert list(store.list_digests()) == []


def test_open_as_text(store: ObjectStore, tmp_path: Path) -> None:
    """A file in text mode is refused: which bytes are meant is not guessed."""
    path = tmp_path / "text"
    path.write_text("é")
    with path.open() as file, pytest.raises(TypeError, match="mode 'rb'"):
        store.put_file(file)  # type: ignore[arg-type]


def test_missing_source(store: ObjectStore, tmp_path: Path) -> None:
    """A path where nothing is raises what open() raises."""
    with pytest.raises(FileNotFoundError):
        store.put_file(tmp_path / "missing")


@pytest.mark.parametrize("size", [100, len(DATA)])
def test_damaged_object_replaces_no_file(store: ObjectStore, tmp_path: Path, size: int) -> None:
    """What does not match its digest appears nowhere, and what was there stays."""
    digest = store.put_bytes(DATA[:size])
    damage(tmp_path, digest)
    target = tmp_path / "target"
    target.write_bytes(b"before")
    with pytest.raises(IntegrityError):
        store.get_file(digest, target)
    assert target.read_bytes() == b"before"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["store", "target"]


def test_damaged_object_is_not_written_on(store: ObjectStore, tmp_path: Path) -> None:
    """A file that was passed open gets not one wrong byte."""
    digest = store.put_bytes(DATA)
    damage(tmp_path, digest)
    target = io.BytesIO()
    with pytest.raises(IntegrityError):
        store.get_file(digest, target)
    assert target.getvalue() == b""


def test_damaged_object_has_no_end(store: ObjectStore, tmp_path: Path) -> None:
    """Who reads a damaged object to its end is told there."""
    digest = store.put_bytes(DATA + DATA)
    damage(tmp_path, digest)
    with store.open(digest) as file:
        assert file.read(1000) == DATA[:1000]
        with pytest.raises(IntegrityError):
            file.read()


def test_replaced_object_is_noticed(store: ObjectStore, tmp_path: Path) -> None:
    """A file that is open holds on to what it opened, and says when that is gone."""
    digest = store.put_bytes(DATA)
    with store.open(digest) as file:
        assert file.read(10) == DATA[:10]
        damage(tmp_path, digest)
        file.seek(-10, os.SEEK_END)
        with pytest.raises(ConflictError, match="replaced"):
            file.read()


def test_target_is_a_folder(store: ObjectStore, tmp_path: Path) -> None:
    """A folder as the target is refused before anything is read."""
    with pytest.raises(IsADirectoryError):
        store.get_file(NOTHING, tmp_path)


def test_target_through_a_link(store: ObjectStore, tmp_path: Path) -> None:
    """A link to a file stays a link: the file behind it is replaced."""
    digest = store.put_bytes(b"new")
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    store.get_file(digest, tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"new"


def test_missing_object_makes_no_file(store: ObjectStore, tmp_path: Path) -> None:
    """What is not there leaves nothing where it should have been."""
    with pytest.raises(ObjectNotFoundError):
        store.get_file(NOTHING, tmp_path / "target")
    with pytest.raises(InvalidDigestError):
        store.get_file("sha256:x", tmp_path / "target")
    assert [p.name for p in tmp_path.iterdir() if p.name != "store"] == []


def test_seek(store: ObjectStore) -> None:
    """An open object behaves as a file does."""
    with store.open(store.put_bytes(DATA)) as file:
        assert (file.readable(), file.seekable(), file.writable()) == (True, True, False)
        assert file.seek(-3, os.SEEK_END) == len(DATA) - 3
        assert file.read() == DATA[-3:]
        assert (file.read(), file.seek(10), file.tell()) == (b"", 10, 10)
        assert (file.read(5), file.seek(-2, os.SEEK_CUR), file.read(2)) == (
            DATA[10:15],
            13,
            DATA[13:15],
        )
        assert (file.seek(len(DATA) + 5), file.read(1)) == (len(DATA) + 5, b"")
        with pytest.raises(ValueError, match="no byte -1"):
            file.seek(-1)
    with pytest.raises(ValueError, match="closed"):
        file.read(1)
