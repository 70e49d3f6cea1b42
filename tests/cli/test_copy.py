"""`devqubit copy`, as people and scripts run it."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from devqubit.storage import create_registry, create_store
from tests.cli.command import INTERRUPTIBLE, Workspace
from tests.servers.relay import Delay, Relay, Rule


@pytest.fixture
def filled(devqubit: Workspace) -> Workspace:
    """A workspace with a run that refers to an object."""
    devqubit.run("r1", devqubit.artifact(b"counts"))
    return devqubit


def files(folder: Path) -> list[str]:
    """The files below a folder, but for its lock."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(str(p.relative_to(folder)) for p in found if not p.name.startswith(".devqubit"))


def test_copy(filled: Workspace, tmp_path: Path) -> None:
    """A row for each kind: what was copied, and what was there."""
    target = tmp_path / "target"
    rows = filled.rows("copy", str(filled.home), str(target))
    assert [row[:4] for row in rows] == [
        ["objects", "1", "0", "0"],
        ["points", "0", "0", "0"],
        ["runs", "1", "0", "0"],
        ["baselines", "0", "0", "0"],
    ]
    assert files(target) == files(filled.home)


def test_json(filled: Workspace, tmp_path: Path) -> None:
    """One object with the counts and the problems."""
    arguments = ("copy", str(filled.home), str(tmp_path / "target"))
    filled.text(*arguments)
    (found,) = filled.json(*arguments)
    assert (found["runs"]["present"], found["runs"]["copied"]) == (1, 0)
    assert (found["problems"], found["objects"]["bytes"]) == ([], 0)


def test_arrangement_follows(devqubit: Workspace, tmp_path: Path) -> None:
    """Where SRC has its objects beside the runs, an empty DST gets them there too."""
    with create_store(tmp_path / "a") as store, create_registry(tmp_path / "a") as registry:
        store.put_bytes(b"x")
        registry.save({"run_id": "r"})
    devqubit.text("copy", str(tmp_path / "a"), str(tmp_path / "b"))
    assert files(tmp_path / "b") == files(tmp_path / "a")


def test_stores_elsewhere(filled: Workspace, tmp_path: Path) -> None:
    """`--src-store` and `--dst-store` say where the objects are."""
    os.rename(filled.home / "objects", tmp_path / "elsewhere")
    stores = ("--src-store", str(tmp_path / "elsewhere"), "--dst-store", str(tmp_path / "there"))
    filled.text("copy", str(filled.home), str(tmp_path / "target"), *stores)
    assert files(tmp_path / "there") == files(tmp_path / "elsewhere")
    assert files(tmp_path / "target") == ["runs/r1.json"]


def test_failure(filled: Workspace, tmp_path: Path) -> None:
    """What could not be copied is named on the error output, and the exit code is 1."""
    (filled.home / "runs" / "bad.json").write_text("{")
    done = filled("copy", str(filled.home), str(tmp_path / "target"))
    assert done.returncode == 1
    assert done.stderr.startswith(b"runs/bad.json: ")
    assert files(tmp_path / "target" / "runs") == ["r1.json"]


def test_onto_itself(filled: Workspace) -> None:
    """That is a mistake in typing."""
    code, message = filled.refused("copy", str(filled.home), f"file://{filled.home}/")
    assert (code, "are the same place" in message) == (2, True)


def test_unreachable(filled: Workspace) -> None:
    """A backend that fails is exit code 3, and says what was done by then."""
    target = "s3://bucket/x?endpoint_url=http://127.0.0.1:9&max_attempts=1&region=us-east-1"
    done = filled("copy", str(filled.home), target)
    assert done.returncode == 3
    assert b"Error: " in done.stderr


class TestDelete:
    @pytest.fixture
    def target(self, tmp_path: Path) -> Path:
        """A place with a run that the workspace does not have."""
        with create_registry(tmp_path / "target") as registry:
            registry.save({"run_id": "extra"})
        return tmp_path / "target"

    def test_dry_run(self, filled: Workspace, target: Path) -> None:
        """It shows what would be deleted, and changes nothing."""
        before = files(target)
        (found,) = filled.json("copy", str(filled.home), str(target), "--delete", "--dry-run")
        assert (found["runs"]["deleted"], found["runs"]["copied"]) == (1, 1)
        assert files(target) == before

    def test_nobody_to_ask(self, filled: Workspace, target: Path) -> None:
        """A script without `--yes` is refused, and nothing is changed."""
        before = files(target)
        done = filled("copy", str(filled.home), str(target), "--delete")
        assert (done.returncode, b"--yes" in done.stderr) == (2, True)
        assert files(target) == before

    def test_yes(self, filled: Workspace, target: Path) -> None:
        """With `--yes` it is done."""
        filled.text("copy", str(filled.home), str(target), "--delete", "--yes")
        assert files(target) == files(filled.home)

    @pytest.mark.parametrize(("typed", "left"), [(b"y\n", []), (b"n\n", ["runs/extra.json"])])
    def test_asked(self, filled: Workspace, target: Path, typed: bytes, left: list[str]) -> None:
        """A person is told how much it is, and asked."""
        arguments = ("copy", str(filled.home), str(target), "--delete")
        _, seen = filled.on_terminal(*arguments, typed=typed)
        assert "Delete 0 objects, 0 points, 1 runs, 0 baselines" in seen
        assert [name for name in files(target) if "extra" in name] == left

    def test_empty_source(self, devqubit: Workspace, target: Path, tmp_path: Path) -> None:
        """A wrong SRC does not empty DST."""
        arguments = ("copy", str(tmp_path / "typo"), str(target), "--delete", "--yes")
        code, message = devqubit.refused(*arguments)
        assert (code, "is empty" in message) == (2, True)
        assert files(target) == ["runs/extra.json"]


def test_nothing_there(devqubit: Workspace, tmp_path: Path) -> None:
    """A SRC with nothing in it, which may be a mistake in typing, is said so."""
    done = devqubit("copy", str(tmp_path / "typo"), str(tmp_path / "target"))
    assert (done.returncode, b"is empty" in done.stderr) == (0, True)


def test_other_database(devqubit: Workspace, tmp_path: Path) -> None:
    """A `registry.db` that is none of devqubit 0.1.12 is refused in one line."""
    with closing(sqlite3.connect(tmp_path / "registry.db")) as connection:
        connection.execute("CREATE TABLE other (x)")
    code, message = devqubit.refused("copy", str(tmp_path), str(tmp_path / "target"))
    assert (code, "has no table 'runs'" in message) == (2, True)


def test_interrupt(filled: Workspace, s3_endpoint: str, s3_bucket: str) -> None:
    """Ctrl-C ends it at once, and says what was done; the next copy goes on."""
    with Relay(s3_endpoint) as relay:
        relay.add(Rule(method="PUT", target="/runs/"), Delay(30))
        target = f"s3://{s3_bucket}/x?endpoint_url={relay.endpoint}&region=us-east-1"
        command = [*INTERRUPTIBLE, "copy", str(filled.home), target]
        with subprocess.Popen(command, env=filled.environment, stderr=subprocess.PIPE) as child:
            while not any(r.method == "PUT" and "/runs/" in r.target for r in relay.requests):
                assert child.poll() is None
            child.send_signal(signal.SIGINT)
            _, said = child.communicate(timeout=20)
        relay.clear()
        assert child.returncode == 130
        assert said.startswith(b"Copied in ")
        assert b"1 objects" in said
        (found,) = filled.json("copy", str(filled.home), target)
    assert (found["objects"]["present"], found["problems"]) == (1, [])
