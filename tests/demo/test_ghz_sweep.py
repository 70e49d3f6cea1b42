"""The demo as a user runs it: a command, its output, and the files it leaves."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("qiskit_aer", reason="the demo needs Qiskit: nox -s demo_tests")

DEMO = Path(__file__).parents[2] / "examples" / "ghz_sweep.py"


def run_demo(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs the demo in a process of its own."""
    return subprocess.run(
        [sys.executable, str(DEMO), *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the demo has run into, with few shots."""
    folder = tmp_path_factory.mktemp("demo") / "work space"
    store, registry = f"--url={folder / 'objects'}", f"--registry-url={folder}"
    done = run_demo(store, registry, "--shots=500", "--project=my ghz/5")
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "output").write_text(done.stdout)
    return folder


def records(workspace: Path) -> list[dict[str, object]]:
    """The run records as plain files."""
    return [json.loads(path.read_bytes()) for path in (workspace / "runs").iterdir()]


def test_output(workspace: Path) -> None:
    """A person sees the runs, where everything went, and that it was checked."""
    output = (workspace / "output").read_text()
    for part in ("fake_manila", "from qubit 4", "500", "my ghz/5", "20 references", "Checked: 5"):
        assert part in output
    assert "\x1b" not in output
    assert "…" not in output


def test_objects_hash_to_their_names(workspace: Path) -> None:
    """Each object lies under its own digest, and the calibration is there once."""
    files = [path for path in (workspace / "objects").rglob("*") if path.is_file()]
    assert len(files) == 16
    for path in files:
        name = hashlib.sha256(path.read_bytes()).hexdigest()
        assert path == workspace / "objects" / "sha256" / name[:2] / name


def test_baseline_is_the_best(workspace: Path) -> None:
    """The project's baseline is the run of the highest fidelity."""
    baseline = json.loads((workspace / "baselines" / "my ghz%2F5.json").read_bytes())
    fidelity = {run["run_id"]: run["data"]["metrics"]["fidelity"] for run in records(workspace)}  # type: ignore[index]
    assert baseline["run_id"] == max(fidelity, key=lambda run: fidelity[run])


def test_figures_make_sense(workspace: Path) -> None:
    """The noisy state is entangled, and not perfect."""
    for run in records(workspace):
        metrics = run["data"]["metrics"]  # type: ignore[index]
        assert 0.5 < metrics["fidelity"] < 0.95
        assert 0 < metrics["coherence"] < 1


def test_default_workspace(tmp_path: Path) -> None:
    """Without URLs, everything goes into a new folder that is named and kept."""
    done = run_demo("--shots=100", TMPDIR=str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    (folder,) = tmp_path.glob("devqubit-demo-*")
    assert str(folder) in done.stdout
    assert len(list((folder / "runs").iterdir())) == 5


def test_failure_is_one_line(tmp_path: Path) -> None:
    """A place that cannot be opened is one readable line, and a failing exit code."""
    done = run_demo("--url=nowhere://x", f"--registry-url={tmp_path}")
    assert done.returncode == 1
    assert done.stdout.startswith("UnknownSchemeError: No backend serves nowhere://")
    assert "Traceback" not in done.stderr
