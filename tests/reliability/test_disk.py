"""Disks that are full, and folders that cannot be written: `nox -s reliability`.

Needs to be root on Linux, for small file systems of its own; skipped where that is not so.
"""

from __future__ import annotations

import os
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
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def read_only(disk: Path) -> None:
    """Nothing can be written there any more."""
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)


def used(disk: Path) -> int:
    """Bytes in use."""
    found = os.statvfs(disk)
    return (found.f_blocks - found.f_bfree) * found.f_frsize


def test_full_store(disk: Path, tmp_path: Path) -> None:
    """What does not fit is refused, each time; nothing is lost, and nothing of it stays."""
    large = tmp_path / "large"
    large.write_bytes(os.urandom(8 * MIB))
    puts: list[Callable[[], object]] = []
    with open_place(f"{disk}/place") as place:
        kept = place.store.put_bytes(b"kept")
        place.registry.save({"run_id": "kept", "ref": kept})
        before = used(disk)
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
        assert used(disk) - before < 64 * 1024  # folders
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


def test_full_cache(disk: Path, tmp_path: Path) -> None:
    """Where the cache is full, or cannot be written, reads go on without it."""
    with create_store(tmp_path / "store", cache=disk / "cache", cache_size="1 GB") as store:
        digests = [store.put_bytes(os.urandom(MIB)) for _ in range(8)]
        for _ in range(2):
            assert all(len(store.get_bytes(digest)) == MIB for digest in digests)
        read_only(disk)
        assert all(len(store.get_bytes(digest)) == MIB for digest in digests)


def test_full_index(disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the index has no space, it is kept in memory: all is written, and all is answered."""
    monkeypatch.setenv("DEVQUBIT_CACHE_DIR", str(disk / "cache"))
    with create_registry(f"file://{tmp_path}/place?durability=fast") as registry:
        for number in range(40):
            registry.save({"run_id": f"r{number}", "text": "x" * 200_000})
        assert registry.load("r39").run_id == "r39"
        assert registry.count_runs() == 40
    monkeypatch.setenv("DEVQUBIT_CACHE_DIR", str(tmp_path / "cache"))
    with create_registry(f"file://{tmp_path}/place?durability=fast") as registry:
        assert registry.count_runs() == 40


def test_full_target(disk: Path, tmp_path: Path) -> None:
    """A file that does not fit does not appear, and a command says so in one line."""
    devqubit = Workspace(tmp_path / "home", {"DEVQUBIT_CACHE_DIR": str(tmp_path / "cache")})
    digest = devqubit.artifact(os.urandom(8 * MIB))
    code, message = devqubit.refused("get", digest, "-o", str(disk / "out"))
    assert (code, "[Errno 28] No space left" in message) == (3, True)
    assert list(disk.iterdir()) == []
