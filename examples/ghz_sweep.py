"""Which five qubits of a device make the best GHZ state? Measured, stored and read back.

    python examples/ghz_sweep.py
    python examples/ghz_sweep.py --url s3://my-bucket/objects --registry-url s3://my-bucket

Each run prepares (|00000> + |11111>)/sqrt(2) on another chain of the 27 qubits of
ibmq_kolkata, in Aer's simulation of it with the calibration that was recorded on the device,
and measures 13 circuits: the populations P, and at 12 angles phi the parity after each qubit
was turned by phi. The parity of N qubits oscillates as C cos(N phi), and the fidelity is

    F = (P00000 + P11111 + C) / 2

as in Sackett et al., Nature 404, 256 (2000), doi:10.1038/35005011; above 1/2 all N qubits are
entangled. Idle qubits keep their state in this noise model, so a real device does worse.

A second process with an empty cache then reads everything back, checks it against what was
measured, and makes the best run the project's baseline. Seeds are fixed: a second sweep
measures, and stores, the same artifacts. Needs qiskit, qiskit-aer, qiskit-ibm-runtime, rich.
"""

from __future__ import annotations

import argparse
import cmath
import hashlib
import io
import json
import math
import os
import secrets
import subprocess
import sys
import tempfile
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from qiskit import QuantumCircuit, qasm3, qpy, transpile
from qiskit.circuit import Parameter
from qiskit.providers import BackendV2
from qiskit_aer import AerSimulator
from qiskit_ibm_runtime.fake_provider import FakeKolkataV2
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.filesize import decimal
from rich.progress import track
from rich.table import Table
from rich.text import Text

from devqubit.errors import DevQubitError
from devqubit.storage import (
    ArtifactRef,
    ObjectStore,
    Registry,
    RunRecord,
    create_registry,
    create_store,
)

N = 5
# Disjoint: together 25 of the device's 27 qubits.
CHAINS = (
    (0, 1, 2, 3, 5),
    (4, 7, 10, 12, 15),
    (9, 8, 11, 14, 16),
    (17, 18, 21, 23, 24),
    (20, 19, 22, 25, 26),
)
# More than 2 N in a turn, or cos(N phi) could not be told from slower oscillations.
ANGLES = [2 * math.pi * k / 12 for k in range(12)]
# A parameter's id is random unless given, and so would be the digest of every QPY file.
PHI = Parameter("phi", uuid=uuid.UUID(int=N))
SEED = 404256
# By file name: kind, media type, role.
KINDS = {
    "populations.qasm": ("source.openqasm3", "text/plain", "program"),
    "parity.qasm": ("source.openqasm3", "text/plain", "program"),
    "circuits.qpy": ("qiskit.qpy.circuits", "application/octet-stream", "program"),
    "counts.json": ("result.counts.json", "application/json", "results"),
    "calibration.json": ("device.calibration.json", "application/json", "device_snapshot"),
}

Results = list[dict[str, Any]]
"""One entry a circuit: its name, `phi` where it has one, and its counts by bit string."""


class DiffersError(Exception):
    """What was read back is not what was stored."""


@dataclass(frozen=True)
class Sweep:
    """One sweep: all that the process which reads it back is told.

    Attributes:
        store_url: Where the artifacts are.
        registry_url: Where the runs are.
        project: Project of the runs.
        shots: Shots of each circuit.
        group_id: The group of the runs, and how their ids start; sorts by time.
        measured: By run id, what was measured, to compare with what is read.
    """

    store_url: str
    registry_url: str
    project: str
    shots: int
    group_id: str
    measured: dict[str, Results] = field(default_factory=dict)


def main() -> int:
    """Runs a sweep, or, in the second process, reads one back; 1 if anything went wrong."""
    # Redirected, there is no width to keep to, and nothing is to be cut.
    width = None if sys.stdout.isatty() else 240
    console = Console(width=width, highlight=False, markup=False, emoji=False)
    arguments = parsed_arguments()
    try:
        if arguments.command == "report":
            report(Sweep(**json.load(sys.stdin)), console)
            return 0
        sweep = new_sweep(arguments, console)
        run_sweep(sweep, console)
        return report_in_new_process(sweep)
    except (DevQubitError, DiffersError) as exc:
        print("ghz_sweep:", " ".join(str(exc).split()), file=sys.stderr)
        return 1


def parsed_arguments() -> argparse.Namespace:
    """The command line. `report` is how the second process is started."""
    about = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("command", nargs="?", choices=("report",), help=argparse.SUPPRESS)
    parser.add_argument("--url", help="where artifacts go (default: a new temporary folder)")
    parser.add_argument("--registry-url", help="where runs go (default: the same folder)")
    parser.add_argument("--shots", type=positive, default=4000, help="a circuit (%(default)s)")
    parser.add_argument("--project", default="ghz-chains", help="of the runs (%(default)s)")
    return parser.parse_args()


def positive(text: str) -> int:
    """A whole number above zero."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"a whole number above zero, not {text!r}")
    return int(text)


def new_sweep(arguments: argparse.Namespace, console: Console) -> Sweep:
    """What the command line asks for, with a new workspace for what it leaves open."""
    store_url, registry_url = arguments.url, arguments.registry_url
    if store_url is None or registry_url is None:
        workspace = tempfile.mkdtemp(prefix="devqubit-ghz-")
        line(console, "Workspace", f"{workspace}  (yours to keep or delete)")
        store_url = store_url or os.path.join(workspace, "objects")
        registry_url = registry_url or workspace
    group_id = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
    return Sweep(store_url, registry_url, arguments.project, arguments.shots, group_id)


def report_in_new_process(sweep: Sweep) -> int:
    """Starts this file anew, with an empty cache; its exit code."""
    with tempfile.TemporaryDirectory() as cache:
        # By standard input: the arguments of a process are there for everybody to see.
        return subprocess.run(
            [sys.executable, __file__, "report"],
            input=json.dumps(asdict(sweep)),
            text=True,
            env={**os.environ, "DEVQUBIT_CACHE_DIR": cache},
            check=False,
        ).returncode


def run_sweep(sweep: Sweep, console: Console) -> None:
    """Executes every chain, and stores each as a run as soon as it is measured."""
    device = FakeKolkataV2()
    # Exact noise, from which shots are drawn: the same counts on any number of threads.
    simulator = AerSimulator.from_backend(device, method="density_matrix")
    each = f"{1 + len(ANGLES)} circuits of {sweep.shots} shots"
    line(console, "Measuring", f"{len(CHAINS)} chains on {device.name}, each with {each}")
    with create_store(sweep.store_url) as store, create_registry(sweep.registry_url) as registry:
        steps = track(CHAINS, "", console=console, transient=True, disable=not console.is_terminal)
        for number, chain in enumerate(steps, start=1):
            created_at, circuits = now(), compiled(device, chain)
            results = execute(simulator, circuits, sweep.shots)
            artifacts = store_artifacts(store, device, circuits, results)
            run_id = f"{sweep.group_id}-{number}"
            registry.save(
                {
                    "schema": "devqubit.run/1.0",
                    "run_id": run_id,
                    "created_at": created_at,
                    "adapter": "qiskit",
                    "backend": {"name": device.name, "provider": "qiskit-aer"},
                    **outcome(sweep, chain, results, artifacts),
                }
            )
            sweep.measured[run_id] = results


def programs() -> list[QuantumCircuit]:
    """The circuits on five qubits in a row: `populations`, and `parity` at the angle phi."""
    populations, parity = (QuantumCircuit(N, N, name=name) for name in ("populations", "parity"))
    for circuit in (populations, parity):
        circuit.h(2)
        # From the middle outwards these are three layers, from an end they were four.
        for control, target in ((2, 1), (2, 3), (1, 0), (3, 4)):
            circuit.cx(control, target)
    parity.rz(PHI, range(N))
    parity.h(range(N))
    for circuit in (populations, parity):
        circuit.measure(range(N), range(N))
    return [populations, parity]


def compiled(device: BackendV2, chain: Sequence[int]) -> list[QuantumCircuit]:
    """The programs in the device's gates, on the qubits of a chain."""
    size = device.num_qubits
    # Placed by hand: a layout of several registers is written to QPY in random order.
    placed = [
        QuantumCircuit(size, N, name=program.name).compose(program, chain, range(N))
        for program in programs()
    ]
    circuits: list[QuantumCircuit] = transpile(
        placed, device, initial_layout=range(size), optimization_level=1, seed_transpiler=SEED
    )
    return circuits


def execute(simulator: AerSimulator, circuits: Sequence[QuantumCircuit], shots: int) -> Results:
    """Measures the populations, and the parity at every angle."""
    populations, parity = circuits
    bound = [populations, *(parity.assign_parameters({PHI: phi}) for phi in ANGLES)]
    counts = simulator.run(bound, shots=shots, seed_simulator=SEED).result().get_counts()
    labels: Results = [{"circuit": "populations"}]
    labels += [{"circuit": "parity", "phi": phi} for phi in ANGLES]
    return [{**label, "counts": dict(each)} for label, each in zip(labels, counts, strict=True)]


def metrics_of(results: Results) -> dict[str, float]:
    """The fidelity as above, its standard error from shot noise, and what it is made of."""
    populations, *turned = (entry["counts"] for entry in results)
    shots = sum(populations.values())
    extremes = (populations.get("0" * N, 0) + populations.get("1" * N, 0)) / shots
    parities = [parity_of(counts) for counts in turned]
    # Projected on the wave of frequency N, which finds C whatever the phase of the state.
    waves = [cmath.exp(-1j * N * phi) * 2 / len(ANGLES) for phi in ANGLES]
    amplitude = sum((w * parity for w, parity in zip(waves, parities, strict=True)), 0j)
    in_phase = [(w * amplitude.conjugate()).real / abs(amplitude) for w in waves]
    noise = zip(in_phase, parities, strict=True)
    variance = extremes * (1 - extremes) + sum(w**2 * (1 - parity**2) for w, parity in noise)
    return {
        "fidelity": (extremes + abs(amplitude)) / 2,
        "fidelity_error": math.sqrt(variance / shots) / 2,
        "populations": extremes,
        "coherence": abs(amplitude),
    }


def parity_of(counts: Mapping[str, int]) -> float:
    """The mean of +1 for an even number of ones and -1 for an odd one."""
    signed = sum((-1) ** bits.count("1") * number for bits, number in counts.items())
    return float(signed / sum(counts.values()))


def calibration(device: BackendV2) -> dict[str, Any]:
    """What was known of the device: times in seconds, frequencies in Hz, errors from 0 to 1."""
    target = device.target
    return {
        "backend": device.name,
        "calibrated_at": device.properties().last_update_date.isoformat(),
        "qubits": [
            {"t1": qubit.t1, "t2": qubit.t2, "frequency": qubit.frequency}
            for qubit in target.qubit_properties
        ],
        "operations": [
            {"name": name, "qubits": [*qubits], "error": known.error, "duration": known.duration}
            for name in sorted(target.operation_names)
            for qubits, known in sorted(target[name].items())
            if known and known.error is not None
        ],
    }


def store_artifacts(
    store: ObjectStore, device: BackendV2, circuits: Sequence[QuantumCircuit], results: Results
) -> dict[str, ArtifactRef]:
    """Stores, by file name, programs as written and as compiled, counts and calibration."""
    file = io.BytesIO()
    qpy.dump(circuits, file)
    bodies = {
        **{f"{program.name}.qasm": qasm3.dumps(program).encode() for program in programs()},
        "circuits.qpy": file.getvalue(),
        "counts.json": json.dumps(results, sort_keys=True, indent=1).encode(),
        "calibration.json": json.dumps(calibration(device), indent=1).encode(),
    }
    stored = {}
    for name, body in bodies.items():
        kind, media_type, role = KINDS[name]
        stored[name] = ArtifactRef(kind, store.put_bytes(body), media_type, role, {"name": name})
    return stored


def outcome(
    sweep: Sweep, chain: Sequence[int], results: Results, artifacts: Mapping[str, ArtifactRef]
) -> dict[str, Any]:
    """The part of a run record that says what was done, and what came of it."""
    params = {"qubits": list(chain), "angles": ANGLES, "shots": sweep.shots, "seed": SEED}
    program = fingerprint(artifacts["populations.qasm"].digest, artifacts["parity.qasm"].digest)
    device = artifacts["calibration.json"].digest
    run = fingerprint(program, device, params)
    return {
        "project": {"name": sweep.project},
        "info": {"status": "FINISHED", "ended_at": now(), "run_name": f"GHZ on {dashed(chain)}"},
        "data": {"params": params, "metrics": metrics_of(results), "tags": {"state": "GHZ"}},
        "fingerprints": {"program": program, "device": device, "run": run},
        "group_id": sweep.group_id,
        "group_name": "GHZ on every chain",
        "artifacts": [artifact.to_dict() for artifact in artifacts.values()],
    }


def fingerprint(*parts: object) -> str:
    """A digest that is the same whenever all parts are."""
    return "sha256:" + hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def now() -> str:
    """The time in UTC, ISO 8601."""
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def report(sweep: Sweep, console: Console) -> None:
    """Reads a sweep back, checks it, makes its best run the baseline, and shows it all."""
    with create_store(sweep.store_url) as store, create_registry(sweep.registry_url) as registry:
        listed = registry.list_runs(project=sweep.project, group_id=sweep.group_id)
        runs = [registry.load(run["run_id"]) for run in listed]
        check(sweep, runs, store)
        best = max(runs, key=lambda run: run.metrics["fidelity"])
        registry.set_baseline(sweep.project, best.run_id)
        baseline = registry.get_baseline(sweep.project)
        if baseline is None or baseline["run_id"] != best.run_id:
            raise DiffersError(f"The baseline was set to {best.run_id}, and is read as {baseline}")
        digests = {artifact.digest for run in runs for artifact in run.artifacts}
        sizes = {digest: store.get_size(digest) for digest in digests}
        console.print("", table(runs, sizes, best), "", sep="\n")
        for label, text in summary(store, registry, runs, sizes, best):
            line(console, label, text)


def check(sweep: Sweep, runs: Sequence[RunRecord], store: ObjectStore) -> None:
    """Raises `DiffersError` unless everything is as it was measured."""
    if sorted(run.run_id for run in runs) != sorted(sweep.measured):
        raise DiffersError(f"{len(sweep.measured)} runs were stored, {len(runs)} are listed")
    device = FakeKolkataV2()
    for run in runs:
        stored = {ref.meta["name"]: store.get_bytes(ref.digest) for ref in run.artifacts}
        counts = json.loads(stored["counts.json"])
        circuits = qpy.load(io.BytesIO(stored["circuits.qpy"]))
        for what, same in {
            "counts": counts == sweep.measured[run.run_id],
            "metrics": run.metrics == metrics_of(counts),
            "circuits": circuits == compiled(device, run.params["qubits"]),
            "calibration": json.loads(stored["calibration.json"]) == calibration(device),
        }.items():
            if not same:
                raise DiffersError(f"Run {run.run_id}: its {what} are not what was stored")


def table(runs: Sequence[RunRecord], sizes: Mapping[str, int], best: RunRecord) -> Table:
    """The runs, newest first, the best one marked."""
    shown = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in ("Run", "Project", "Backend", "Qubits"):
        shown.add_column(heading, overflow="fold")
    for heading in ("Circuits x shots", "Fidelity", "Error", "Artifacts"):
        shown.add_column(heading, overflow="fold", justify="right")
    for run in runs:
        shown.add_row(
            run.run_id,
            run.project,
            run.backend_name,
            dashed(run.params["qubits"]),
            f"{1 + len(run.params['angles'])} x {run.params['shots']}",
            f"{'* ' if run is best else ''}{run.metrics['fidelity']:.4f}",
            f"{run.metrics['fidelity_error']:.4f}",
            decimal(sum(sizes[artifact.digest] for artifact in run.artifacts)),
            style="bold green" if run is best else None,
        )
    return shown


def summary(
    store: ObjectStore,
    registry: Registry,
    runs: Sequence[RunRecord],
    sizes: Mapping[str, int],
    best: RunRecord,
) -> Iterator[tuple[str, str]]:
    """What came of it and where everything went, as labels and texts."""
    references = [artifact for run in runs for artifact in run.artifacts]
    uses = Counter(artifact.digest for artifact in references)
    shared = dict.fromkeys(ref.meta["name"] for ref in references if uses[ref.digest] == len(runs))
    saved = sum(sizes[digest] * (number - 1) for digest, number in uses.items())
    yield "Best *", f"qubits {dashed(best.params['qubits'])}, now the baseline of {best.project}"
    yield "Checked", "by a new process with an empty cache: all is as it was measured and compiled"
    yield "Artifacts", store.location
    yield (
        "",
        f"{len(references)} in {len(sizes)} objects of {decimal(sum(sizes.values()))}: sha256/",
    )
    yield "", f"all runs share {', '.join(shared)}, which saves {decimal(saved)}"
    yield "Runs", registry.location
    yield "", f"{len(runs)} records: runs/; the baseline: baselines/"
    yield "Read it", f"create_registry({registry.location!r}).load({best.run_id!r}).metrics"


def dashed(chain: Sequence[int]) -> str:
    """Qubits as people write them: 0-1-2-3-5."""
    return "-".join(map(str, chain))


def line(console: Console, label: str, text: str) -> None:
    """Prints a label and its text, which is never broken: paths are there to be copied."""
    console.print(Text.assemble((f"{label:<12}", "bold"), text), soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
