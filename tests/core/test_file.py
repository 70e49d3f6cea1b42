"""The local backend: what only a file system can do to a store."""

from __future__ import annotations

import errno
import io
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from devqubit.errors import (
    AccessDeniedError,
    BlobNotFoundError,
    InvalidKeyError,
    StorageFullError,
    UnsafePathError,
)
from devqubit.plugin import ABSENT, Bucket, open_bucket
from devqubit.storage import create_registry, create_store


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def bucket(root: Path) -> Bucket:
    return open_bucket(root)


@pytest.mark.parametrize(
    "key", ["", "/", "/a", "a/", "a//b", ".", "..", "../x", "a/../../x", "a\0", "\ud800"]
)
@pytest.mark.parametrize("call", ["read", "write", "stat", "delete"])
def test_keys_that_leave_the_root(bucket: Bucket, root: Path, key: str, call: str) -> None:
    """A key that is no path below the root is refused by every call."""
    arguments = (b"",) if call == "write" else ()
    with pytest.raises(InvalidKeyError):
        getattr(bucket, call)(key, *arguments)
    assert not root.exists()


def test_reserved_keys_are_refused(bucket: Bucket) -> None:
    """Names of temporary files and the lock are no keys."""
    with pytest.raises(InvalidKeyError):
        bucket.write(".devqubit-lock", b"")


CALLS: dict[str, Callable[[Bucket, str], object]] = {
    "read": lambda bucket, key: bucket.read(key),
    "stat": lambda bucket, key: bucket.stat(key),
    "write": lambda bucket, key: bucket.write(key, b"new"),
    "create": lambda bucket, key: bucket.write(key, b"new", if_version=ABSENT),
    "delete": lambda bucket, key: bucket.delete(key),
    "download": lambda bucket, key: bucket.download(key, io.BytesIO()),
}


@pytest.mark.parametrize("call", CALLS)
def test_linked_folder_is_not_followed(
    bucket: Bucket, root: Path, tmp_path: Path, call: str
) -> None:
    """A folder that is a link to elsewhere is refused, and nothing happens there."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x").write_bytes(b"theirs")
    root.mkdir()
    (root / "runs").symlink_to(outside)
    with pytest.raises(UnsafePathError, match="symbolic link"):
        CALLS[call](bucket, "runs/x")
    assert [(p.name, p.read_bytes()) for p in outside.iterdir()] == [("x", b"theirs")]


@pytest.mark.parametrize("call", ["read", "stat", "write", "delete", "download"])
def test_linked_file_is_not_followed(bucket: Bucket, root: Path, tmp_path: Path, call: str) -> None:
    """A file that is a link to elsewhere is refused, and that file stays as it is."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"theirs")
    root.mkdir()
    (root / "x").symlink_to(secret)
    with pytest.raises(UnsafePathError):
        CALLS[call](bucket, "x")
    assert secret.read_bytes() == b"theirs"


def test_links_are_not_listed(bucket: Bucket, root: Path, tmp_path: Path) -> None:
    """Links to files, folders and loops are passed over by lists."""
    bucket.write("a/x", b"")
    (root / "loop").symlink_to(root)
    (root / "a" / "out").symlink_to(tmp_path)
    (root / "a" / "file").symlink_to(root / "a" / "x")
    assert [info.key for info in bucket.list()] == ["a/x"]


def test_root_may_be_a_link(tmp_path: Path) -> None:
    """The root itself may be a link, such as to a larger disk."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    digest = create_store(tmp_path / "link").put_bytes(b"x")
    assert create_store(tmp_path / "disk").get_bytes(digest) == b"x"


def test_special_files_are_no_blobs(bucket: Bucket, root: Path) -> None:
    """A folder or a pipe in a blob's place is not there, and does not block."""
    root.mkdir()
    os.mkfifo(root / "pipe")
    (root / "folder").mkdir()
    for key in ("pipe", "folder"):
        with pytest.raises(BlobNotFoundError):
            bucket.read(key)
    assert not bucket.delete("folder")


def test_file_in_the_way_of_a_folder(bucket: Bucket) -> None:
    """A blob cannot lie below another blob; below it, nothing is found."""
    bucket.write("a", b"file")
    with pytest.raises(InvalidKeyError, match="folder is needed"):
        bucket.write("a/b", b"")
    with pytest.raises(BlobNotFoundError):
        bucket.read("a/b")


def test_others_may_read(bucket: Bucket, root: Path) -> None:
    """Files have the permissions that the user's umask gives, so that a team can share."""
    before = os.umask(0o027)
    try:
        bucket.write("a/x", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((root / "a" / "x").stat().st_mode) == 0o640


def test_nothing_is_left_behind(bucket: Bucket, root: Path) -> None:
    """Writes, conflicts and failures leave no temporary file."""
    version = bucket.write("a/x", b"1")
    bucket.write("a/x", b"2", if_version=version)
    for condition in (ABSENT, version):
        with pytest.raises(Exception, match="a/x"):
            bucket.write("a/x", b"3", if_version=condition)
    assert [path.name for path in (root / "a").iterdir()] == ["x"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_folder(bucket: Bucket, root: Path) -> None:
    """A folder that may not be written is AccessDeniedError; reading still works."""
    bucket.write("a/x", b"1")
    (root / "a").chmod(0o555)
    with pytest.raises(AccessDeniedError):
        bucket.write("a/x", b"2")
    assert bucket.read("a/x").data == b"1"


def test_full_disk_leaves_nothing(
    bucket: Bucket, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that finds no space raises, and leaves the old blob and nothing else.

    The call that fails is replaced: filling a real disk needs rights that tests lack.
    """
    bucket.write("a", b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StorageFullError, match="no space"):
            bucket.write("a", b"new")
    assert bucket.read("a").data == b"old"
    assert sorted(path.name for path in root.iterdir()) == [".devqubit-lock", "a"]


def test_no_hard_links(bucket: Bucket, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the file system has no hard links, one creator still wins.

    The call that fails is replaced: such a file system cannot be mounted here.
    """

    def no_links(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    won = []

    def create(number: int) -> None:
        try:
            bucket.write("x", str(number).encode(), if_version=ABSENT)
            won.append(number)
        except Exception:
            pass

    threads = [threading.Thread(target=create, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert bucket.read("x").data == str(won[0]).encode()


def test_versions_of_rapid_writes_differ(root: Path) -> None:
    """Writes within one tick of the clock, whose inodes are used again, have new versions."""
    bucket = open_bucket(f"file://{root}?durability=fast")
    versions = [bucket.write("x", b"same") for _ in range(300)]
    assert len(set(versions)) == 300


def test_deleted_and_written_again_is_another_version(root: Path) -> None:
    """A blob that comes back has not the version it had."""
    bucket = open_bucket(f"file://{root}?durability=fast")
    versions = set()
    for _ in range(100):
        versions.add(bucket.write("x", b"same", if_version=ABSENT))
        bucket.delete("x")
    assert len(versions) == 100


def test_durability_is_what_is_asked(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Full durability syncs the file and each folder it is new in; fast syncs nothing."""
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.readlink(f"/proc/self/fd/{fd}")))
    open_bucket(f"file://{root}?durability=fast").write("a/x", b"")
    assert synced == []
    open_bucket(root).write("b/y", b"")
    folders = [path for path in synced if Path(path).is_dir()]
    assert folders == [str(root), str(root / "b")]
    assert len(synced) == 3


def test_a_file_replaced_by_hand_is_read_again(root: Path) -> None:
    """A record that somebody edits on disk is read as it is now."""
    registry = create_registry(root)
    registry.save({"run_id": "r", "adapter": "old"})
    before = registry.load("r").version
    (root / "runs" / "r.json").write_text('{"run_id": "r", "adapter": "by hand"}')
    run = registry.load("r")
    assert (run.adapter, run.version != before) == ("by hand", True)


class Failing(io.BytesIO):
    """A file of the caller's on a disk that fails."""

    def read(self, size: int | None = -1, /) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    def write(self, data: Any, /) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_errors_of_the_callers_file(tmp_path: Path) -> None:
    """What the caller's own file raises is not taken for the store's."""
    bucket = open_bucket(tmp_path)
    bucket.write("a", b"1")
    with pytest.raises(OSError, match="No space left"):
        bucket.download("a", Failing())
    with pytest.raises(OSError, match="Input/output"):
        bucket.upload("a", Failing(), 10)
    assert bucket.read("a").data == b"1"
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".tmp"] == []
