"""A workspace that devqubit 0.1.12 itself made, copied: all of it, and not a byte of it changed."""

from __future__ import annotations

import json
import math
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from devqubit.errors import DevQubitError, InvalidArgumentError, StorageError, UnsupportedError
from devqubit.maintenance import Place, copy, open_place, open_workspace

local = pytest.importorskip(
    "devqubit_engine.storage.backends.local", reason="its own session: nox -s compat"
)

NAMES = ["plain", "a/b", "50%", "x%2Fy", ".hidden", "ünïcode run"]
# A writer that stays open, with its last commit in the journal alone.
WRITER = """
import sys
from pathlib import Path
from devqubit_engine.storage.backends.local import LocalWorkspace
workspace = LocalWorkspace(Path(sys.argv[1]))
workspace.registry.save({"run_id": "last", "project": "bell", "created_at": "2026-01-02"})
print("ready", flush=True)
sys.stdin.read()
"""


def record(name: str, digest: str) -> dict[str, Any]:
    """A run as the engine saves it, with fields that nobody here knows."""
    return {
        "z": 1e3,
        "run_id": name,
        "project": {"name": "bell lab"},
        "adapter": "qiskit",
        "created_at": "2026-01-01T00:00:00Z",
        "info": {"status": "FINISHED", "ended_at": "2026-01-01T00:01:00Z"},
        "artifacts": [{"kind": "k", "role": "r", "media_type": "text/plain", "digest": digest}],
        "unknown": {"ü": [1.50, None]},
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A workspace with runs, a baseline, metric points and objects."""
    folder = tmp_path / "workspace"
    with local.LocalWorkspace(folder) as workspace:
        for name in NAMES:
            digest = workspace.store.put_bytes(name.encode())
            workspace.registry.save(record(name, digest))
        points = [
            {"run_id": "a/b", "key": key, "step": n, "timestamp": "t", "value": n / 7}
            for n in range(120)
            for key in ("loss", "fidelity")
        ]
        points.append({**points[0], "step": 500, "value": math.inf})
        workspace.registry.save_metric_points(points)
        workspace.registry.set_baseline("bell lab", "plain")
        workspace.registry.close_all()
    return folder


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Place]:
    """An empty place."""
    with open_place(f"file://{tmp_path}/target?durability=fast") as place:
        yield place


def everything(folder: Path) -> dict[str, tuple[bytes, int]]:
    """All files of a folder: names, bytes and times."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def stored(folder: Path) -> dict[str, str]:
    """The records in a database, as text."""
    with closing(sqlite3.connect(folder / "registry.db")) as connection:
        return dict(connection.execute("SELECT run_id, record_json FROM runs"))


def change(folder: Path, sql: str, *values: object) -> None:
    """Changes a database as anybody may."""
    with closing(sqlite3.connect(folder / "registry.db")) as connection:
        connection.execute(sql, values)
        connection.commit()
        connection.execute("PRAGMA journal_mode=DELETE")


def test_everything(folder: Path, target: Place) -> None:
    """Runs with their very bytes, baselines, points and objects are at the target."""
    with open_workspace(str(folder)) as source:
        report = copy(source, target)
    kinds = report.objects, report.points, report.runs, report.baselines
    assert [tally.copied for tally in kinds] == [6, 1, 6, 1]
    assert report.complete
    for name, text in stored(folder).items():
        run = target.registry.load(name)
        assert run.record == json.loads(text)
        assert target.store.get_bytes(run.artifacts[0].digest) == name.encode()
    assert target.registry.bucket.read("runs/plain.json").data == stored(folder)["plain"].encode()
    baseline = target.registry.get_baseline("bell lab")
    assert baseline is not None
    assert baseline["run_id"] == "plain"


def test_points(folder: Path, target: Place) -> None:
    """Every point is the same as the engine itself reads, an infinite one too."""
    with open_workspace(str(folder)) as source:
        copy(source, target)
    with local.LocalWorkspace(folder) as workspace:
        for key in ("loss", "fidelity"):
            expected = list(workspace.registry.iter_metric_points("a/b", key))
            assert list(target.registry.iter_metric_points("a/b", key)) == expected
            assert len(expected) >= 120


def test_nothing_changes(folder: Path, target: Place) -> None:
    """Not a byte, a name or a time in the workspace is another one afterwards."""
    before = everything(folder)
    with open_workspace(str(folder)) as source:
        copy(source, target)
        with pytest.raises(UnsupportedError):
            source.registry.save({"run_id": "r"})
        with pytest.raises(UnsupportedError):
            source.registry.bucket.delete("runs/plain.json")
    assert everything(folder) == before


def test_in_use(folder: Path, target: Place) -> None:
    """While another process has it open, its last commit is copied, and nothing is touched."""
    command = [sys.executable, "-c", WRITER, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        before = everything(folder)
        assert before["registry.db-wal"][0] != b""
        with open_workspace(str(folder)) as source:
            copy(source, target)
        assert everything(folder) == before
        writer.communicate(b"")
    assert target.registry.load("last").project == "bell"


def test_second_time(folder: Path, target: Place) -> None:
    """Right after a copy another one writes nothing; a run that was made since is added."""
    with open_workspace(str(folder)) as source:
        copy(source, target)
        before = list(target.registry.bucket.list())
        copy(source, target)
    assert list(target.registry.bucket.list()) == before
    with local.LocalWorkspace(folder) as workspace:
        workspace.registry.save(record("new", workspace.store.put_bytes(b"new")))
    with open_workspace(str(folder / "registry.db")) as source:
        assert copy(source, target).runs.copied == 1


def test_in_place(folder: Path) -> None:
    """A workspace may become one of today's where it is: the old files stay as they are."""
    before = everything(folder)
    with open_workspace(str(folder)) as source, open_place(str(folder)) as target:
        assert copy(source, target).complete
        assert {s["run_id"] for s in target.registry.list_runs()} == set(NAMES)
    after = everything(folder)
    assert {name: after[name] for name in before} == before


def test_project(folder: Path, target: Place) -> None:
    """One project of a workspace."""
    with local.LocalWorkspace(folder) as workspace:
        digest = workspace.store.put_bytes(b"other")
        workspace.registry.save({**record("other", digest), "project": {"name": "other"}})
    with open_workspace(str(folder)) as source:
        report = copy(source, target, project="other")
    assert (report.runs.copied, report.objects.copied, report.baselines.copied) == (1, 1, 0)
    assert target.registry.list_projects() == ["other"]


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", "null", '{"run_id": "plain"}', '{"run_id": 7}', "NaN"]
)
def test_bad_records(folder: Path, target: Place, text: str) -> None:
    """A record that is none is reported with its key; the other runs are copied."""
    change(folder, "UPDATE runs SET record_json = ? WHERE run_id = '50%'", text)
    with open_workspace(str(folder)) as source:
        report = copy(source, target)
    assert [problem.key for problem in report.problems] == ["runs/50%25.json"]
    assert (report.runs.failed, report.runs.copied) == (1, 5)


@pytest.mark.parametrize("name", ["", "n" * 201, b"\xff\x00", 7])
def test_bad_names(folder: Path, target: Place, name: object) -> None:
    """A run whose id no file can have is reported, never lost silently."""
    change(folder, "UPDATE runs SET run_id = ? WHERE run_id = '50%'", name)
    with open_workspace(str(folder)) as source:
        report = copy(source, target)
    assert (report.runs.failed, report.runs.copied, len(report.problems)) == (1, 5, 1)


def test_bad_points_and_baselines(folder: Path, target: Place) -> None:
    """Points and baselines that cannot be meant are reported."""
    change(folder, "UPDATE metric_points SET step = 'x' WHERE step = 3")
    change(folder, "UPDATE baselines SET project = ''")
    with open_workspace(str(folder)) as source:
        report = copy(source, target)
    assert (report.points.failed, report.baselines.failed, report.runs.copied) == (1, 1, 6)


def test_damaged_object(folder: Path, target: Place) -> None:
    """An object that does not match its digest is reported and not copied."""
    path = next(p for p in sorted((folder / "objects").rglob("*")) if p.is_file())
    path.write_bytes(b"other")
    with open_workspace(str(folder)) as source:
        report = copy(source, target)
    assert [problem.key for problem in report.problems] == [f"sha256:{path.name}"]
    assert (report.objects.failed, report.objects.copied) == (1, 5)


@pytest.mark.parametrize("content", [b"", b"no database", b"SQLite format 3\0", None])
def test_no_database(tmp_path: Path, content: bytes | None) -> None:
    """What is no database of 0.1.12 is refused with its name, by an error of ours."""
    if content is not None:
        (tmp_path / "registry.db").write_bytes(content)
    with pytest.raises(DevQubitError, match=r"registry\.db"), open_workspace(str(tmp_path)):
        pass


def test_pipe(tmp_path: Path) -> None:
    """A pipe, which nobody writes to, is not waited for."""
    os.mkfifo(tmp_path / "registry.db")
    with pytest.raises(InvalidArgumentError), open_workspace(str(tmp_path / "registry.db")):
        pass


def test_killed(folder: Path, target: Place) -> None:
    """What a process that was killed left in the journal is copied too."""
    command = [sys.executable, "-c", WRITER, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        writer.kill()
    before = everything(folder)
    with open_workspace(str(folder)) as source:
        copy(source, target)
    assert everything(folder) == before
    assert target.registry.exists("last")


@pytest.mark.parametrize("table", ["runs", "baselines", "metric_points"])
def test_missing_table(folder: Path, table: str) -> None:
    """A table that is missing, or is a view of something else, is refused."""
    change(folder, f"DROP TABLE {table}")
    change(folder, f"CREATE VIEW {table} AS SELECT 1 AS run_id")
    with pytest.raises(InvalidArgumentError, match=table), open_workspace(str(folder)):
        pass


def test_damaged_database(folder: Path) -> None:
    """Damaged pages are an error of ours."""
    size = os.path.getsize(folder / "registry.db")
    with (folder / "registry.db").open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 8192))
    with pytest.raises(StorageError, match=r"registry\.db"), open_workspace(str(folder)):
        pass
