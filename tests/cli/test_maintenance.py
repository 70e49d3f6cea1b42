"""`devqubit verify`, `gc` and `prune`, as processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from devqubit.storage import create_registry, create_store


@pytest.fixture
def urls(tmp_path: Path) -> tuple[str, ...]:
    """A store with an object that a run refers to, and one of before yesterday without."""
    places = f"file://{tmp_path}/objects", f"file://{tmp_path}/runs"
    with create_store(places[0]) as store, create_registry(places[1]) as registry:
        wanted, garbage = store.put_bytes(b"wanted"), store.put_bytes(b"garbage")
        ended = {"created_at": "2020-01-01T00:00:00Z", "info": {"status": "FINISHED"}}
        registry.save({"run_id": "r", "x": wanted, **ended})
    then = time.time() - 2 * 86400
    os.utime(object_file(tmp_path, garbage), (then, then))
    return ("--store", places[0], "--registry", places[1])


def object_file(folder: Path, digest: str) -> Path:
    """The file of an object."""
    return folder / "objects" / "sha256" / digest[7:9] / digest[7:]


def devqubit(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the command, without anybody to ask."""
    command = [sys.executable, "-c", "from devqubit.cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def test_gc(urls: tuple[str, ...]) -> None:
    """It shows, refuses to delete where nobody can be asked, and deletes with --yes."""
    shown = devqubit("gc", *urls, "--dry-run")
    assert (shown.returncode, "garbage\t1\t7 B" in shown.stdout) == (0, True)
    assert devqubit("gc", *urls).returncode == 2
    done = devqubit("gc", *urls, "--yes", "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["deleted"], found["dry_run"]) == (0, 1, False)
    assert json.loads(devqubit("gc", *urls, "--dry-run", "--json").stdout)["garbage"] == 0


def test_gc_of_a_wrong_registry(urls: tuple[str, ...], tmp_path: Path) -> None:
    """A registry without runs is a mistake in typing."""
    done = devqubit("gc", *urls[:2], "--registry", f"file://{tmp_path}/typo", "--yes")
    assert (done.returncode, "--allow-empty" in done.stderr) == (2, True)


def test_gc_grace(urls: tuple[str, ...]) -> None:
    """The grace period is typed in hours, days or weeks, and not too short."""
    shown = devqubit("gc", *urls, "--grace", "3d", "--dry-run", "--json")
    assert json.loads(shown.stdout)["young"] == 2
    for wrong in ("1h", "soon"):
        done = devqubit("gc", *urls, "--grace", wrong, "--dry-run")
        assert (done.returncode, done.stdout) == (2, "")


def test_verify(urls: tuple[str, ...], tmp_path: Path) -> None:
    """Exit code 0 for a clean store, 1 for problems, 0 again when all were repaired."""
    clean = devqubit("verify", *urls, "--json")
    assert clean.returncode == 0
    assert json.loads(clean.stdout)["summary"]["orphans"] == 1
    backup = f"file://{tmp_path}/backup"
    with create_store(backup) as store:
        digest = store.put_bytes(b"wanted")
    object_file(tmp_path, digest).write_bytes(b"wasted")
    damaged = devqubit("verify", *urls)
    assert (damaged.returncode, digest in damaged.stdout) == (1, True)
    repaired = devqubit("verify", *urls, "--repair-from", backup, "--json")
    problem, summary = map(json.loads, repaired.stdout.splitlines())
    assert (repaired.returncode, problem["problem"]["repaired"]) == (0, True)
    assert summary["summary"]["repaired"] == 1
    assert devqubit("verify", *urls, "--sample", "50%", "--part", "1").returncode == 0


def test_prune(urls: tuple[str, ...]) -> None:
    """It shows the runs, and deletes them with --yes."""
    shown = devqubit("prune", *urls[2:], "--older-than", "4w", "--dry-run")
    assert (shown.returncode, shown.stdout.split("\t")[0]) == (0, "r")
    done = devqubit("prune", *urls[2:], "--older-than", "4w", "--yes", "--json")
    assert (done.returncode, json.loads(done.stdout)["deleted"]) == (0, True)
    assert devqubit("prune", *urls[2:], "--yes").returncode == 2
