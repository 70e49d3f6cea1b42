"""Objects that are files: in, out, and in parts."""

from __future__ import annotations

import io
import random
from pathlib import Path

import pytest

from devqubit.errors import InvalidDigestError, ObjectNotFoundError
from devqubit.storage import ObjectStore
from devqubit.testing._base import Conformance, gist
from devqubit.testing._blobs import MIB

__all__ = ["FileChecks"]

MISSING = "sha256:" + "0" * 64
SIZES = [0, 10, MIB, 10 * MIB + 7]


def content(size: int) -> bytes:
    """Bytes, no two parts of them alike."""
    return random.Random(size).randbytes(size)  # noqa: S311


class FileChecks(Conformance):
    """`put_file`, `get_file` and `open`."""

    @pytest.mark.parametrize("size", SIZES)
    def test_file_in_and_out(self, store: ObjectStore, tmp_path: Path, size: int) -> None:
        """A file goes in under the digest of its bytes, and comes out as it was."""
        data, folder = content(size), tmp_path / "files"
        folder.mkdir()
        (folder / "in").write_bytes(data)
        digest = store.put_file(folder / "in")
        assert digest == store.put_bytes(data)
        store.get_file(digest, folder / "out")
        assert gist((folder / "out").read_bytes()) == gist(data)
        assert sorted(path.name for path in folder.iterdir()) == ["in", "out"]

    @pytest.mark.parametrize("size", SIZES)
    def test_open_file_in_and_out(self, store: ObjectStore, size: int) -> None:
        """An open file is read from where it stands, and written from where it stands."""
        data = content(size)
        source, target = io.BytesIO(b"head" + data), io.BytesIO()
        source.seek(4)
        target.write(b"before")
        digest = store.put_file(source)
        store.get_file(digest, target)
        assert gist(target.getvalue()) == gist(b"before" + data)

    @pytest.mark.parametrize("size", SIZES[1:])
    def test_progress(self, store: ObjectStore, size: int) -> None:
        """Progress is told in bytes, ever more of them, up to all."""
        sent: list[tuple[int, int | None]] = []
        got: list[tuple[int, int | None]] = []
        data = content(size)
        digest = store.put_file(io.BytesIO(data), progress=lambda *told: sent.append(told))
        store.get_file(digest, io.BytesIO(), progress=lambda *told: got.append(told))
        for told in (sent, got):
            assert told == sorted(told)
            assert [total for _, total in told] == [size] * len(told)
            assert told[-1:] == [(size, size)]

    def test_file_that_is_there(self, store: ObjectStore) -> None:
        """A file that is there already is the same object, and progress is at its end."""
        data = content(MIB)
        told: list[int] = []
        digests = {store.put_file(io.BytesIO(data)) for _ in range(2)}
        store.put_file(io.BytesIO(data), progress=lambda done, _: told.append(done))
        assert list(store.list_digests()) == list(digests)
        assert told == [MIB]

    def test_missing_file(self, store: ObjectStore, tmp_path: Path) -> None:
        """What is not there is said so, and makes no file."""
        for read in (store.open, lambda digest: store.get_file(digest, tmp_path / "out")):
            with pytest.raises(ObjectNotFoundError):
                read(MISSING)
            with pytest.raises(InvalidDigestError):
                read("sha256:0")
        assert not (tmp_path / "out").exists()

    def test_parts_of_an_object(self, store: ObjectStore) -> None:
        """An open object is read wherever one looks, and from beginning to end."""
        data = content(3 * MIB)
        digest = store.put_bytes(data)
        with store.open(digest) as file:
            for start, length in ((2 * MIB, 10), (5, 2 * MIB), (3 * MIB - 1, 10), (3 * MIB, 1)):
                file.seek(start)
                assert gist(file.read(length)) == gist(data[start : start + length])
            file.seek(0)
            assert gist(file.read()) == gist(data)

    def test_open_empty_object(self, store: ObjectStore) -> None:
        """An empty object is an empty file."""
        with store.open(store.put_bytes(b"")) as file:
            assert (file.read(), file.read(1)) == (b"", b"")
