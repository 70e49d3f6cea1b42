"""A GHZ experiment on a simulated device, kept with devqubit and read back.

From which qubit should a GHZ state of five qubits grow? It is prepared from each in turn, on the
noise model of a device whose calibration was recorded from the real one. One circuit measures
the populations of 00000 and 11111; a sweep of a phase measures how the parity oscillates, whose
amplitude C is the coherence between the two. Together they give the fidelity of the state,
F = (P00000 + P11111 + C) / 2 (Sackett et al., Nature 404, 256 (2000)).

Every execution becomes a run with four artifacts: its circuits as QPY, the preparation as
OpenQASM 3, the counts, and the device's calibration. A new process with an empty cache then opens
both places, lists the runs, makes the best one the project's baseline and checks what was stored.

    python examples/ghz_sweep.py
    python examples/ghz_sweep.py --url s3://bucket/objects --registry-url s3://bucket
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from devqubit.errors import DevQubitError
from devqubit.storage import (
    ArtifactRef,
    ObjectStore,
    Registry,
    RunRecord,
    create_registry,
    create_store,
)

QUBITS = 5
SEED = 20260131
# Half a period of the parity, which oscillates QUBITS times as fast as the phase turns.
PHASES = [round(index * math.pi / 40, 6) for index in range(9)]

# Piped output has no width of its own, and a digest must not be cut.
console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)


@dataclass(frozen=True)
class Execution:
    """What one execution left behind, for the check in the second process."""

    run_id: str
    counts: list[dict[str, int]]


def main() -> int:
    """Runs the experiment, or, as the second process, the report."""
    options = parsed_arguments()
    try:
        return report(options) if options.report else experiment(options)
    except DevQubitError as exc:
        console.print(f"[red]{type(exc).__name__}[/red]: {exc}", markup=True, soft_wrap=True)
        return 1


def parsed_arguments() -> argparse.Namespace:
    """The command line; without URLs, a new workspace in a temporary folder."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--url", help="where artifacts go (default: a new temporary folder)")
    parser.add_argument("--registry-url", help="where runs go (default: beside the artifacts)")
    parser.add_argument("--shots", type=int, default=4096, help="shots of each circuit")
    parser.add_argument("--project", default="ghz-5", help="project of the runs")
    parser.add_argument("--report", help=argparse.SUPPRESS)
    options = parser.parse_args()
    workspace = None
    if not options.url or not options.registry_url:
        workspace = Path(tempfile.mkdtemp(prefix="devqubit-demo-"))
    options.url = options.url or str(workspace / "objects" if workspace else "")
    options.registry_url = options.registry_url or str(workspace)
    return options


def experiment(options: argparse.Namespace) -> int:
    """Executes and stores every circuit, then reports from a new process."""
    began = time.perf_counter()
    with create_store(options.url) as store, create_registry(options.registry_url) as registry:
        executions = execute_all(store, registry, options)
    seconds = time.perf_counter() - began
    circuits = sum(len(execution.counts) for execution in executions)
    console.print(f"{circuits} circuits executed, {len(executions)} runs stored: {seconds:.1f} s\n")
    with tempfile.TemporaryDirectory() as folder:
        expected = Path(folder) / "expected.json"
        expected.write_text(json.dumps([asdict(execution) for execution in executions]))
        command = [sys.executable, __file__, "--report", str(expected)]
        command += ["--url", options.url, "--registry-url", options.registry_url]
        command += ["--project", options.project]
        empty_cache = {**os.environ, "DEVQUBIT_CACHE_DIR": str(Path(folder) / "cache")}
        sys.stdout.flush()
        return subprocess.run(command, env=empty_cache, check=False).returncode


def execute_all(
    store: ObjectStore, registry: Registry, options: argparse.Namespace
) -> list[Execution]:
    """Prepares the state from each qubit on the simulated device, one run each."""
    from qiskit_aer import AerSimulator
    from qiskit_ibm_runtime.fake_provider import FakeManilaV2

    device = FakeManilaV2()
    simulator = AerSimulator.from_backend(device)
    calibration = json.dumps(device.properties().to_dict(), default=str, sort_keys=True).encode()
    group = {"group_id": new_id(), "group_name": "root of the GHZ state"}
    executions = []
    for root in range(QUBITS):
        created = now()
        circuits = compiled_circuits(device, root)
        job = simulator.run(circuits, shots=options.shots, seed_simulator=SEED + root)
        counts = job.result().get_counts()
        artifacts = stored_artifacts(store, circuits, counts, calibration)
        record = {
            "schema": "devqubit.run/1.0",
            "run_id": new_id(),
            "created_at": created,
            "adapter": "qiskit",
            "project": {"name": options.project},
            "info": {"status": "FINISHED", "ended_at": now(), "run_name": f"from qubit {root}"},
            "data": {
                "params": {"shots": options.shots, "qubits": QUBITS, "root": root, "seed": SEED},
                "metrics": {"depth": circuits[0].depth(), **metrics(counts)},
                "tags": {"experiment": "ghz-parity"},
            },
            "backend": {"name": device.name, "provider": "qiskit-aer"},
            "fingerprints": fingerprints(artifacts, options.shots),
            "artifacts": artifacts,
            **group,
        }
        registry.save(record)
        executions.append(Execution(str(record["run_id"]), counts))
    return executions


def compiled_circuits(device: Any, root: int) -> list[Any]:
    """The circuits of one run, for the device: populations, then parity at each phase."""
    from qiskit import transpile

    circuits = [ghz_circuit(root, phase) for phase in (None, *PHASES)]
    return list(
        transpile(
            circuits,
            device,
            initial_layout=range(QUBITS),
            optimization_level=1,
            seed_transpiler=SEED,
        )
    )


def ghz_circuit(root: int, phase: float | None) -> Any:
    """GHZ grown from a qubit, measured as it is or, at a phase, in the basis of the parity."""
    from qiskit import QuantumCircuit

    circuit = QuantumCircuit(QUBITS, name="ghz" if phase is None else f"ghz-parity-{phase}")
    circuit.h(root)
    for qubit in range(root, QUBITS - 1):
        circuit.cx(qubit, qubit + 1)
    for qubit in range(root, 0, -1):
        circuit.cx(qubit, qubit - 1)
    if phase is not None:
        for qubit in range(QUBITS):
            circuit.rz(phase, qubit)
            circuit.h(qubit)
    circuit.measure_all()
    return circuit


def metrics(counts: list[dict[str, int]]) -> dict[str, float]:
    """Populations, coherence and fidelity of the state, from the counts of a run's circuits."""
    ends, *sweep = counts
    populations = (ends.get("0" * QUBITS, 0) + ends.get("1" * QUBITS, 0)) / sum(ends.values())
    coherence = amplitude(PHASES, [parity(one) for one in sweep])
    return {
        "populations": populations,
        "coherence": coherence,
        "fidelity": (populations + coherence) / 2,
    }


def parity(counts: dict[str, int]) -> float:
    """How many more outcomes have an even number of ones than an odd one, of all."""
    odd = sum(number for bits, number in counts.items() if bits.count("1") % 2)
    return 1 - 2 * odd / sum(counts.values())


def amplitude(phases: list[float], values: list[float]) -> float:
    """The amplitude of an oscillation with `QUBITS` periods in a turn, by least squares."""
    import numpy as np

    angles = QUBITS * np.array(phases)
    design = np.column_stack([np.cos(angles), np.sin(angles)])
    return float(np.linalg.norm(np.linalg.lstsq(design, np.array(values), rcond=None)[0]))


def stored_artifacts(
    store: ObjectStore, circuits: list[Any], counts: list[dict[str, int]], calibration: bytes
) -> list[dict[str, Any]]:
    """Stores the four artifacts of an execution; the calibration is the same for all."""
    from qiskit import qasm3, qpy

    file = io.BytesIO()
    qpy.dump(circuits, file)
    kinds = [
        ("qiskit.qpy.circuits", "application/x-qpy", "program", file.getvalue()),
        ("source.openqasm3", "text/x-openqasm", "program", qasm3.dumps(circuits[0]).encode()),
        ("result.counts.json", "application/json", "results", json.dumps(counts).encode()),
        ("device.calibration.json", "application/json", "device_snapshot", calibration),
    ]
    return [
        ArtifactRef(kind, store.put_bytes(data), media_type, role).to_dict()
        for kind, media_type, role, data in kinds
    ]


def fingerprints(artifacts: list[dict[str, Any]], shots: int) -> dict[str, str]:
    """What makes two runs comparable: the same program, device and number of shots."""
    program, device = artifacts[1]["digest"], artifacts[3]["digest"]
    run = hashlib.sha256(f"{program} {device} {shots}".encode()).hexdigest()
    return {"program": program, "device": device, "run": f"sha256:{run}"}


def report(options: argparse.Namespace) -> int:
    """Opens both places anew, shows the runs, sets the baseline and checks the counts."""
    expected = {
        one["run_id"]: one["counts"] for one in json.loads(Path(options.report).read_text())
    }
    with create_store(options.url) as store, create_registry(options.registry_url) as registry:
        listed = registry.list_runs(project=options.project, limit=1000)
        runs = [registry.load(run["run_id"]) for run in listed if run["run_id"] in expected]
        best = max(runs, key=lambda run: run.metrics["fidelity"])
        registry.set_baseline(options.project, best.run_id)
        baseline = registry.get_baseline(options.project)
        show_runs(store, runs, baseline["run_id"] if baseline else "")
        show_places(store, registry, runs)
        wrong = [run.run_id for run in runs if not is_intact(store, run, expected[run.run_id])]
    missing = expected.keys() - {run.run_id for run in runs}
    if wrong or missing or baseline is None or baseline["run_id"] != best.run_id:
        console.print(f"[red]Not as it was stored[/red]: {sorted([*wrong, *missing])}")
        return 1
    console.print(
        f"Checked: {len(runs)} runs, their counts and circuits are what was measured. "
        f"The baseline of {options.project} is {best.run_id}."
    )
    return 0


def is_intact(store: ObjectStore, run: RunRecord, counts: list[dict[str, int]]) -> bool:
    """Whether the stored counts are those measured, and the circuits can be loaded again."""
    from qiskit import qasm3, qpy

    content = {artifact.kind: store.get_bytes(artifact.digest) for artifact in run.artifacts}
    circuits = qpy.load(io.BytesIO(content["qiskit.qpy.circuits"]))
    return (
        json.loads(content["result.counts.json"]) == counts
        and len(circuits) == len(counts)
        and qasm3.dumps(circuits[0]).encode() == content["source.openqasm3"]
    )


def show_runs(store: ObjectStore, runs: list[RunRecord], baseline: str) -> None:
    """Prints the runs as a table, in the order of the sweep."""
    table = Table(title="Runs", title_justify="left")
    for heading in ("run", "name", "project", "backend"):
        table.add_column(heading, no_wrap=True)
    for heading in ("shots", "depth", "fidelity", "size"):
        table.add_column(heading, justify="right", no_wrap=True)
    for run in sorted(runs, key=lambda run: run.params["root"]):
        size = sum(store.get_size(artifact.digest) for artifact in run.artifacts)
        table.add_row(
            f"{run.run_id}{' *' if run.run_id == baseline else ''}",
            run.run_name,
            run.project,
            run.backend_name,
            str(run.params["shots"]),
            f"{run.metrics['depth']:.0f}",
            f"{run.metrics['fidelity']:.3f}",
            f"{size / 1000:.1f} kB",
        )
    console.print(table)
    console.print("* the best by fidelity: the project's baseline\n")


def show_places(store: ObjectStore, registry: Registry, runs: list[RunRecord]) -> None:
    """Prints where everything went, and how much of it."""
    digests = [artifact.digest for run in runs for artifact in run.artifacts]
    size = sum(map(store.get_size, set(digests)))
    console.print(
        f"artifacts           {store.location}\n"
        f"                    {len(set(digests))} objects for {len(digests)} references, "
        f"{size / 1000:.1f} kB\n"
        f"runs and baselines  {registry.location}\n",
        soft_wrap=True,
    )


def new_id() -> str:
    """An id that sorts by time."""
    return f"{time.time_ns() // 1_000_000:012x}-{os.urandom(5).hex()}"


def now() -> str:
    """The time, ISO 8601."""
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


if __name__ == "__main__":
    sys.exit(main())
