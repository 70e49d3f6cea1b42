"""Disks that are full, quotas that are used up, and folders that cannot be written.

Needs to be root on Linux, for small file systems of its own, and for the quota the programs of
Btrfs; what needs more than there is is skipped: `nox -s reliability`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devqubit.errors import AccessDeniedError, StorageFullError
from devqubit.maintenance import open_place, verify
from devqubit.storage import create_registry, create_store
from tests.cli.command import Workspace

pytestmark = [
    pytest.mark.reliability,
    pytest.mark.skipif(
        sys.platform != "linux" or os.geteuid() != 0, reason="mounting a file system needs root"
    ),
]

MIB = 1024 * 1024


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Mounts file systems."""
    folder = tmp_path / "mounted"
    folder.mkdir()

    def mount(*arguments: str) -> Path:
        ended = subprocess.run(["mount", *arguments, str(folder)], capture_output=True)
        if ended.returncode:
            pytest.skip(f"no file system can be mounted here: {ended.stderr.decode()}")
        return folder

    yield mount
    subprocess.run(["umount", "-l", str(folder)], capture_output=True)


@pytest.fixture
def disk(mounted: Callable[..., Path]) -> Path:
    """A file system of 4 MiB."""
    return mounted("-t", "tmpfs", "-o", "size=4m", "tmpfs")


@pytest.fixture
def quota(mounted: Callable[..., Path], tmp_path: Path) -> Path:
    """A folder that may hold 4 MiB, on a larger disk."""
    if shutil.which("mkfs.btrfs") is None:
        pytest.skip("there is no mkfs.btrfs: install btrfs-progs")
    image = tmp_path / "btrfs"
    image.touch()
    os.truncate(image, 256 * MIB)
    subprocess.run(["mkfs.btrfs", "--quiet", str(image)], check=True, capture_output=True)
    disk = mounted("-o", "loop", str(image))
    folder = disk / "limited"
    for command in (
        ("quota", "enable", str(disk)),
        ("subvolume", "create", str(folder)),
        ("qgroup", "limit", "4M", str(folder)),
    ):
        subprocess.run(["btrfs", *command], check=True, capture_output=True)
    return folder


@pytest.fixture(params=["disk", "quota"])
def small(request: pytest.FixtureRequest) -> Path:
    """Where there is space for 4 MiB, of the disk's or by a quota."""
    folder: Path = request.getfixturevalue(request.param)
    return folder


def read_only(folder: Path) -> None:
    """Nothing can be written there any more."""
    find = ["findmnt", "--noheadings", "--output", "TARGET", "--target", str(folder)]
    disk = subprocess.run(find, check=True, capture_output=True, text=True).stdout.strip()
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)


def used(folder: Path) -> int:
    """Bytes of all files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_full_store(small: Path, tmp_path: Path) -> None:
    """What does not fit is refused, each time; nothing is lost, and nothing of it stays."""
    large = tmp_path / "large"
    large.write_bytes(os.urandom(8 * MIB))
    puts: list[Callable[[], object]] = []
    with open_place(f"{small}/place") as place:
        kept = place.store.put_bytes(b"kept")
        place.registry.save({"run_id": "kept", "ref": kept})
        before = used(small)
        puts = [
            lambda: place.store.put_bytes(os.urandom(8 * MIB)),
            lambda: place.store.put_file(large),
            lambda: place.registry.save({"run_id": "new", "text": "x" * 8 * MIB}),
            lambda: place.registry.update("kept", lambda run: run.update(text="x" * 8 * MIB)),
        ]
        for put in puts * 3:
            with pytest.raises(StorageFullError):
                put()
        (error,) = place.store.put_many([large], errors="return")
        assert isinstance(error, StorageFullError)
        assert used(small) == before
        assert verify(place.store, place.registry).is_clean
        assert place.registry.load("kept").record == {"run_id": "kept", "ref": kept}


def test_read_only_store(disk: Path) -> None:
    """Where nothing may be written, reading and asking go on, and writing says so."""
    with open_place(f"{disk}/place") as place:
        kept = place.store.put_bytes(b"kept")
        place.registry.save({"run_id": "kept", "ref": kept})
        read_only(disk)
        for write in (
            lambda: place.store.put_bytes(b"new"),
            lambda: place.store.delete(kept),
            lambda: place.registry.save({"run_id": "new"}),
            lambda: place.registry.update("kept", lambda run: run.update(x=1)),
        ):
            with pytest.raises(AccessDeniedError):
                write()
        assert place.store.get_bytes(kept) == b"kept"
        assert [run.run_id for run in place.registry.iter_runs()] == ["kept"]
        assert verify(place.store, place.registry).is_clean


def test_full_cache(small: Path, tmp_path: Path) -> None:
    """Where the cache is full, or cannot be written, reads go on without it."""
    with create_store(tmp_path / "store", cache=small / "cache", cache_size="1 GB") as store:
        digests = [store.put_bytes(os.urandom(MIB)) for _ in range(8)]
        for _ in range(2):
            assert all(len(store.get_bytes(digest)) == MIB for digest in digests)
        read_only(small)
        assert all(len(store.get_bytes(digest)) == MIB for digest in digests)


def test_full_index(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the index has no space, it is kept in memory: all is written, and all is answered."""
    monkeypatch.setenv("DEVQUBIT_CACHE_DIR", str(small / "cache"))
    with create_registry(f"file://{tmp_path}/place?durability=fast") as registry:
        for number in range(40):
            registry.save({"run_id": f"r{number}", "text": "x" * 200_000})
        assert registry.load("r39").run_id == "r39"
        assert registry.count_runs() == 40
    monkeypatch.setenv("DEVQUBIT_CACHE_DIR", str(tmp_path / "cache"))
    with create_registry(f"file://{tmp_path}/place?durability=fast") as registry:
        assert registry.count_runs() == 40


def test_full_target(small: Path, tmp_path: Path) -> None:
    """A file that does not fit does not appear, and a command says so in one line."""
    devqubit = Workspace(tmp_path / "home", {"DEVQUBIT_CACHE_DIR": str(tmp_path / "cache")})
    digest = devqubit.artifact(os.urandom(8 * MIB))
    code, message = devqubit.refused("get", digest, "-o", str(small / "out"))
    assert code == 3
    assert "No space left" in message or "quota exceeded" in message
    assert list(small.iterdir()) == []
