"""Commands that look at runs, and change them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.cli.command import INTERRUPTIBLE, Workspace


@pytest.fixture
def runs(devqubit: Workspace) -> Workspace:
    """Three runs of two projects, one of them a baseline."""
    devqubit.run("a", created_at="2026-01-01T00:00:00Z", data={"metrics": {"fidelity": 0.9}})
    devqubit.run("b", created_at="2026-01-02T00:00:00Z", data={"metrics": {"fidelity": 0.99}})
    devqubit.run("c", created_at="2026-01-03T00:00:00Z", project="ghz", group_id="g")
    devqubit.text("baseline", "set", "bell", "a")
    return devqubit


def test_list(runs: Workspace) -> None:
    """Runs are listed newest first, as a table, and with the same filters as JSON."""
    assert [row[:2] for row in runs.rows("runs", "list")] == [
        ["c", "ghz"],
        ["b", "bell"],
        ["a", "bell"],
    ]
    assert [run["run_id"] for run in runs.json("runs", "list", "--project", "bell")] == ["b", "a"]
    found = runs.json("runs", "list", "--after", "2026-01-02T00:00:00Z")
    assert [run["run_id"] for run in found] == ["c"]


def test_search(runs: Workspace) -> None:
    """A query finds runs, in the order asked for; JSON has the whole records."""
    found = runs.json("runs", "search", "metric.fidelity > 0", "--sort", "metric.fidelity")
    assert [run["data"]["metrics"]["fidelity"] for run in found] == [0.99, 0.9]
    rows = runs.rows("runs", "search", "metric.fidelity > 0", "--ascending")
    assert [row[0] for row in rows] == ["a", "b"]


def test_bad_query(runs: Workspace) -> None:
    """A query that cannot be read is a mistake in typing, and the message says where."""
    code, message = runs.refused("runs", "search", "metric.fidelity >")
    assert (code, message) == (2, "Error: Position 17: expected a value, found the end")


def test_show(runs: Workspace) -> None:
    """A run is shown as it is in the bucket: over lines for people, as one for programs."""
    assert json.loads(runs.text("runs", "show", "a"))["data"] == {"metrics": {"fidelity": 0.9}}
    assert [run["run_id"] for run in runs.json("runs", "show", "a", "c")] == ["a", "c"]
    assert runs.refused("runs", "show", "nope") == (3, "Error: Run not found: nope")


def test_delete(runs: Workspace) -> None:
    """Deleting shows, asks, and deletes; a dry run only shows."""
    assert [row[0] for row in runs.rows("runs", "delete", "b", "--dry-run")] == ["b"]
    code, message = runs.on_terminal("runs", "delete", "b", typed=b"n\n")
    assert (code, "Delete 1 run(s)" in message) == (1, True)
    assert "b" in {run["run_id"] for run in runs.json("runs", "list")}
    code, message = runs.on_terminal("runs", "delete", "b", typed=b"y\n")
    assert (code, "Deleted 1 of 1 run(s)" in message) == (0, True)
    assert runs.json("runs", "delete", "c", "--yes") == [{"run_id": "c", "deleted": True}]
    assert [run["run_id"] for run in runs.json("runs", "list")] == ["a"]


def test_delete_asks_nobody(runs: Workspace) -> None:
    """Where nobody can be asked, nothing is deleted without --yes."""
    code, message = runs.refused("runs", "delete", "b", "--json")
    assert (code, message.endswith("add --yes, or --dry-run")) == (2, True)
    assert len(runs.json("runs", "list")) == 3


def test_delete_of_a_baseline(runs: Workspace) -> None:
    """A baseline is not deleted, and nothing that was named beside it."""
    code, message = runs.refused("runs", "delete", "b", "a", "--yes")
    assert (code, "baseline of 'bell'" in message) == (2, True)
    assert len(runs.json("runs", "list")) == 3


def test_export(runs: Workspace, tmp_path: Path) -> None:
    """Records are written out a line each, to the output or to a file that appears whole."""
    lines = runs.text("runs", "export").splitlines()
    assert [json.loads(line)["run_id"] for line in lines] == ["a", "b", "c"]
    target = tmp_path / "out.jsonl"
    done = runs.json("runs", "export", "--project", "bell", "-o", str(target))
    assert done == [{"output": str(target), "runs": 2}]
    assert target.read_text().splitlines() == lines[:2]


def test_projects_and_groups(runs: Workspace) -> None:
    """Projects have their number of runs and baseline, groups their number of runs."""
    assert runs.rows("projects") == [["bell", "2", "a"], ["ghz", "1", ""]]
    assert runs.json("projects")[0] == {"project": "bell", "runs": 2, "baseline": "a"}
    assert [(group["group_id"], group["run_count"]) for group in runs.json("groups")] == [("g", 1)]
    assert runs.rows("groups")[0][:4] == ["g", "", "ghz", "1"]


def test_baseline(runs: Workspace) -> None:
    """A baseline is set, got, listed and cleared; none is exit code 1."""
    assert runs.text("baseline", "get", "bell") == "a\n"
    assert runs.json("baseline", "set", "bell", "b")[0]["run_id"] == "b"
    assert [row[:2] for row in runs.rows("baseline", "list")] == [["bell", "b"]]
    assert runs.json("baseline", "clear", "bell", "--dry-run")[0]["cleared"] is False
    assert runs.json("baseline", "clear", "bell", "--yes")[0]["cleared"] is True
    assert runs.refused("baseline", "get", "bell") == (1, "'bell' has no baseline")
    assert runs.refused("baseline", "set", "bell", "nope") == (3, "Error: Run not found: nope")


def test_refresh(runs: Workspace) -> None:
    """A refresh says what it did; a file that is no run is a problem."""
    (done,) = runs.json("refresh")
    assert (done["listed"], done["problems"]) == (3, [])
    (runs.home / "runs" / "x.json").write_text("{")
    done = runs("refresh")
    assert done.returncode == 1
    assert b"1 unreadable" in done.stdout
    assert b"runs/x.json\t" in done.stdout


def test_names_do_no_harm(devqubit: Workspace) -> None:
    """What a name would do to a terminal, it does not."""
    devqubit.run("a", project="x\x1b[31m\ny")
    assert devqubit.rows("projects") == [["x\\x1b[31m\\ny", "1", ""]]
    assert "\x1b[31m" not in devqubit.on_terminal("projects")[1]
    assert "\x1b" not in devqubit.text("runs", "show", "a")


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is another thing there")
def test_interrupted_delete(devqubit: Workspace) -> None:
    """Ctrl-C while runs are deleted says how many are gone, and the rest is there."""
    ids = [f"r{number:04}" for number in range(1500)]
    folder = devqubit.home / "runs"
    folder.mkdir(parents=True)
    for run_id in ids:
        (folder / f"{run_id}.json").write_text(json.dumps({"run_id": run_id}))
    command = [*INTERRUPTIBLE, "runs", "delete", "--yes", *ids]
    child = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=devqubit.environment
    )
    while (folder / f"{ids[9]}.json").exists():
        assert child.poll() is None
        time.sleep(0.001)
    child.send_signal(signal.SIGINT)
    _, error = child.communicate(timeout=60)
    gone = len(ids) - len(list(folder.glob("*.json")))
    # The run on its way may be gone and not counted.
    said = [f"Deleted {n} of 1500 run(s)\nInterrupted\n".encode() for n in (gone, gone - 1)]
    assert (child.returncode, error in said) == (130, True), (error, gone)


def test_hostile_file_name(devqubit: Workspace) -> None:
    """What the name of a foreign file would do to a terminal, it does not."""
    (devqubit.home / "runs").mkdir(parents=True)
    (devqubit.home / "runs" / "a\x1b[31m.json").write_bytes(b"{")
    done = devqubit("refresh")
    assert b"\x1b" not in done.stdout + done.stderr
