"""The GHZ demo, run as a user runs it: real circuits, real files, two processes."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("qiskit_aer", reason="the demo simulates circuits: nox -s demo_tests")

DEMO = Path(__file__).parents[2] / "examples" / "ghz_sweep.py"
SHOTS = 500
RUNS = 5
CIRCUITS = 13


def run_demo(folder: Path, *arguments: str, told: str = "") -> subprocess.CompletedProcess[str]:
    """Runs the demo with its temporary files in a folder."""
    return subprocess.run(
        [sys.executable, str(DEMO), "--shots", str(SHOTS), *arguments],
        env={**os.environ, "TMPDIR": str(folder), "PYTHONIOENCODING": "utf-8"},
        input=told,
        capture_output=True,
        encoding="utf-8",
        timeout=240,
    )


def documents(folder: Path) -> list[dict[str, Any]]:
    """The JSON files of a folder, by name."""
    return [json.loads(path.read_bytes()) for path in sorted(folder.glob("*.json"))]


def objects(store: Path) -> dict[str, bytes]:
    """The files of a store, by path relative to it; locks and the like left out."""
    files = (path for path in store.rglob("*") if path.is_file() and path.name[0] != ".")
    return {path.relative_to(store).as_posix(): path.read_bytes() for path in files}


class Sweep:
    """A finished sweep with its store and its registry in different folders."""

    def __init__(self, folder: Path) -> None:
        self.store, self.registry = folder / "artifacts", folder / "runs of all"
        self.places = ["--url", self.store.as_uri(), "--registry-url", str(self.registry)]
        self.done = run_demo(folder, *self.places, "--project", "ghz/test")
        self.runs = documents(self.registry / "runs")

    def artifacts(self, name: str) -> Iterator[tuple[dict[str, Any], bytes]]:
        """Each run with the bytes of its artifact of a name."""
        for run in self.runs:
            yield run, self.path(run, name).read_bytes()

    def path(self, run: dict[str, Any], name: str) -> Path:
        """The file of a run's artifact."""
        (digest,) = (ref["digest"] for ref in run["artifacts"] if ref["meta"]["name"] == name)
        digits = str(digest).removeprefix("sha256:")
        return self.store / "sha256" / digits[:2] / digits

    def measured(self) -> dict[str, Any]:
        """The results of each run."""
        return {run["run_id"]: json.loads(body) for run, body in self.artifacts("counts.json")}


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    """One sweep that the tests look at, with all its runs."""
    done = Sweep(tmp_path_factory.mktemp("sweep"))
    assert len(done.runs) == RUNS, done.done.stderr
    return done


def test_it_succeeds(sweep: Sweep) -> None:
    """It exits with 0 and complains of nothing."""
    assert (sweep.done.returncode, sweep.done.stderr) == (0, "")


def test_the_table_has_every_run(sweep: Sweep) -> None:
    """Redirected, it prints one line a run, whole and without colours, with its fidelity."""
    assert "\x1b" not in sweep.done.stdout
    assert "…" not in sweep.done.stdout
    for run in sweep.runs:
        (row,) = (row for row in sweep.done.stdout.splitlines() if row.startswith(run["run_id"]))
        fidelity = f"{run['data']['metrics']['fidelity']:.4f}"
        for cell in ("ghz/test", "fake_kolkata", f"{CIRCUITS} x {SHOTS}", fidelity, "kB"):
            assert cell in row


def test_it_says_where_everything_went(sweep: Sweep) -> None:
    """It prints both locations, how many objects there are and which are shared."""
    assert sweep.store.as_uri() in sweep.done.stdout
    assert sweep.registry.as_uri() in sweep.done.stdout
    assert f"25 in {len(objects(sweep.store))} objects" in sweep.done.stdout
    assert "populations.qasm, parity.qasm, calibration.json" in sweep.done.stdout


def test_objects_are_named_by_their_hash(sweep: Sweep) -> None:
    """Every file of the store is at sha256/<2 hex>/<64 hex> of what it holds."""
    hashes = {path: hashlib.sha256(body).hexdigest() for path, body in objects(sweep.store).items()}
    assert {path: f"sha256/{digest[:2]}/{digest}" for path, digest in hashes.items()} == {
        path: path for path in hashes
    }


def test_only_what_is_the_same_is_shared(sweep: Sweep) -> None:
    """Programs and calibration are one object for all runs; compiled circuits are one each."""
    assert {
        name: len({body for _, body in sweep.artifacts(name)})
        for name in ("populations.qasm", "parity.qasm", "calibration.json", "circuits.qpy")
    } == {"populations.qasm": 1, "parity.qasm": 1, "calibration.json": 1, "circuits.qpy": RUNS}


def test_runs_are_files_of_their_id(sweep: Sweep) -> None:
    """The registry holds runs/<run id>.json and the project's baseline, and nothing else."""
    runs = {f"runs/{run['run_id']}.json" for run in sweep.runs}
    assert objects(sweep.registry).keys() == {*runs, "baselines/ghz%2Ftest.json"}


def test_the_baseline_is_the_best_run(sweep: Sweep) -> None:
    """The project's baseline is the run of the highest fidelity."""
    best = max(sweep.runs, key=lambda run: float(run["data"]["metrics"]["fidelity"]))
    (baseline,) = documents(sweep.registry / "baselines")
    assert (baseline["project"], baseline["run_id"]) == ("ghz/test", best["run_id"])


def test_counts_sum_to_shots(sweep: Sweep) -> None:
    """Every circuit of every run was measured as often as asked."""
    sums = [
        [sum(entry["counts"].values()) for entry in json.loads(body)]
        for _, body in sweep.artifacts("counts.json")
    ]
    assert sums == [[SHOTS] * CIRCUITS] * RUNS


def test_fidelities_are_physical(sweep: Sweep) -> None:
    """Every state is entangled, none is perfect, and the fidelity is made of its parts."""
    for run in sweep.runs:
        metrics = run["data"]["metrics"]
        assert 0.5 < metrics["fidelity"] < 1
        assert 0 < metrics["coherence"] < metrics["populations"] < 1
        assert metrics["fidelity"] == (metrics["populations"] + metrics["coherence"]) / 2
        assert 0 < metrics["fidelity_error"] < 1 / SHOTS**0.5


def test_parity_oscillates_five_times_a_turn(sweep: Sweep) -> None:
    """What was measured at each angle lies on C cos(5 phi), within five standard errors."""
    for run, body in sweep.artifacts("counts.json"):
        for entry in json.loads(body)[1:]:
            odd = sum(n for bits, n in entry["counts"].items() if bits.count("1") % 2)
            expected = run["data"]["metrics"]["coherence"] * math.cos(5 * entry["phi"])
            assert 1 - 2 * odd / SHOTS == pytest.approx(expected, abs=5 / SHOTS**0.5)


def test_calibration_is_physical(sweep: Sweep) -> None:
    """The snapshot has, of all qubits, times and errors that a superconducting device can have."""
    _, body = next(sweep.artifacts("calibration.json"))
    snapshot = json.loads(body)
    assert len(snapshot["qubits"]) == 27
    times = [qubit[name] for qubit in snapshot["qubits"] for name in ("t1", "t2")]
    assert all(1e-6 < seconds < 1e-3 for seconds in times)
    assert {operation["name"] for operation in snapshot["operations"]} >= {"cx", "measure", "sx"}
    assert all(0 <= operation["error"] <= 1 for operation in snapshot["operations"])


def test_a_second_sweep_stores_nothing_new(sweep: Sweep) -> None:
    """Seeds are fixed: again, in other processes, the same artifacts are measured."""
    before = objects(sweep.store).keys()
    registry = sweep.registry.with_name("again")
    again = run_demo(sweep.store.parent, "--url", str(sweep.store), "--registry-url", str(registry))
    assert again.returncode == 0
    assert len(documents(registry / "runs")) == RUNS
    assert objects(sweep.store).keys() == before


def test_the_default_is_a_new_workspace_that_stays(tmp_path: Path) -> None:
    """Without URLs it prints a new folder, in which objects and runs are afterwards."""
    done = run_demo(tmp_path)
    assert done.returncode == 0
    (workspace,) = tmp_path.iterdir()
    assert f"Workspace   {workspace} " in done.stdout
    assert len(objects(workspace / "objects")) == 13
    assert len(documents(workspace / "runs")) == RUNS
    assert len(documents(workspace / "baselines")) == 1


def test_a_url_that_nobody_serves_is_one_line(tmp_path: Path) -> None:
    """A typo in a URL is an exit code of 1 and one line that says what to type."""
    done = run_demo(tmp_path, "--url", "s3a://bucket/objects")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "Did you mean s3://?" in done.stderr


def test_a_password_in_a_url_is_not_printed(tmp_path: Path) -> None:
    """A URL with a password is refused, and what is printed does not repeat it."""
    done = run_demo(tmp_path, "--registry-url", "s3://somebody:hunter2@bucket/runs")
    assert done.returncode == 1
    assert "hunter2" not in done.stdout + done.stderr


def test_the_second_process_notices_other_counts(sweep: Sweep) -> None:
    """Told of counts that are not the stored ones, it fails and says which run differs."""
    measured = sweep.measured()
    assert report(sweep, sweep.store, measured).returncode == 0
    run_id = sweep.runs[0]["run_id"]
    measured[run_id][0]["counts"]["00000"] += 1
    done = report(sweep, sweep.store, measured)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"ghz_sweep: Run {run_id}: its counts are not what was stored\n"


def test_the_second_process_notices_damage(sweep: Sweep, tmp_path: Path) -> None:
    """An object that was damaged is an exit code of 1 and one line."""
    store = shutil.copytree(sweep.store, tmp_path / "damaged")
    path = store / sweep.path(sweep.runs[0], "circuits.qpy").relative_to(sweep.store)
    path.write_bytes(path.read_bytes()[:-1])
    done = report(sweep, store, sweep.measured())
    assert done.returncode == 1
    assert done.stderr.startswith(f"ghz_sweep: The bytes stored for sha256:{path.name} hash to")
    assert done.stderr.count("\n") == 1


def report(sweep: Sweep, store: Path, measured: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """Starts the second process alone, told that something was measured."""
    told = {
        "store_url": str(store),
        "registry_url": str(sweep.registry),
        "project": "ghz/test",
        "shots": SHOTS,
        "group_id": sweep.runs[0]["group_id"],
        "measured": measured,
    }
    return run_demo(sweep.store.parent, "report", told=json.dumps(told))
