"""The tracking engine of devqubit 0.1.12 and its Qiskit adapter, on our store and registry.

They are installed from the package index, unchanged: `nox -s compat`.
"""

from __future__ import annotations

import inspect
import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from devqubit import storage
from devqubit.errors import InvalidRecordError
from devqubit.storage import ObjectStore, Registry, RunRecord, create_registry, create_store

engine = pytest.importorskip(
    "devqubit_engine.tracking.run", reason="its own session: nox -s compat"
)
protocols = pytest.importorskip("devqubit_engine.storage.types")
records = pytest.importorskip("devqubit_engine.tracking.record")

READER = Path(__file__).with_name("read_runs.py")
SHOTS = 200
LOSSES = [1.0, 0.5, 0.25]


@dataclass(frozen=True)
class Place:
    """Where a store and a registry are, and both of them open."""

    registry_url: str
    store_url: str
    registry: Registry
    store: ObjectStore


@pytest.fixture(params=["file", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """An empty place, in a folder and in a bucket."""
    if request.param == "file":
        urls = f"file://{tmp_path}/lab", f"file://{tmp_path}/lab/objects"
    else:
        bucket = request.getfixturevalue("s3_bucket")
        query = f"endpoint_url={request.getfixturevalue('s3_endpoint')}&region=us-east-1"
        urls = f"s3://{bucket}/lab?{query}", f"s3://{bucket}/lab/objects?{query}"
    with create_registry(urls[0]) as registry, create_store(urls[1]) as store:
        yield Place(*urls, registry, store)


def track(place: Place, **arguments: Any) -> Any:
    """The engine's context, as its users open it."""
    return engine.track("bells", store=place.store, registry=place.registry, **arguments)


def run_bell(place: Place, **arguments: Any) -> str:
    """Runs a Bell circuit on Aer within the engine's context; returns the run's id."""
    from qiskit import QuantumCircuit
    from qiskit_aer import AerSimulator

    circuit = QuantumCircuit(2, name="bell")
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.measure_all()
    with track(place, **arguments) as run:
        run.log_params({"depth": circuit.depth(), "angles": [0.0, math.pi]})
        run.set_tag("lab", "a")
        for step, loss in enumerate(LOSSES):
            run.log_metric("loss", loss, step=step)
        run.log_text("notes.txt", "a cold day")
        backend = run.wrap(AerSimulator(seed_simulator=7))
        counts = backend.run(circuit, shots=SHOTS).result().get_counts()
        run.log_metric("fidelity", (counts["00"] + counts["11"]) / SHOTS)
    return str(run.run_id)


def read_elsewhere(place: Place, run_id: str, folder: Path) -> dict[str, Any]:
    """What a second process, without an index of its own yet, reads of a run."""
    done = subprocess.run(
        [sys.executable, str(READER), place.registry_url, place.store_url, run_id],
        env={**os.environ, "DEVQUBIT_CACHE_DIR": str(folder / "another cache")},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    read: dict[str, Any] = json.loads(done.stdout)
    return read


def parameters(function: Any) -> list[tuple[str, str, object]]:
    """What a method takes: names, kinds and defaults."""
    found = inspect.signature(function).parameters.values()
    return [(p.name, p.kind.name, p.default) for p in found]


def asked_for(protocol: type) -> dict[str, list[tuple[str, str, object]]]:
    """The methods of a protocol, and what each takes."""
    return {
        name: parameters(value)
        for name, value in vars(protocol).items()
        if inspect.isfunction(value) and not name.startswith("_")
    }


class TestProtocols:
    @pytest.mark.parametrize(
        ("ours", "theirs"),
        [(ObjectStore, "ObjectStoreProtocol"), (Registry, "RegistryProtocol")],
    )
    def test_methods_take_what_the_protocol_says(self, ours: type, theirs: str) -> None:
        """Every call that is right for the protocol is right for us: we may only add keywords."""
        expected = asked_for(getattr(protocols, theirs))
        assert expected
        actual = {name: parameters(getattr(ours, name)) for name in expected}
        assert {n: found[: len(expected[n])] for n, found in actual.items()} == expected
        added = [p for n, found in actual.items() for p in found[len(expected[n]) :]]
        assert [kind for _, kind, _ in added if kind != "KEYWORD_ONLY"] == []
        assert [name for name, _, default in added if default is inspect.Parameter.empty] == []

    def test_objects_are_instances(self, place: Place) -> None:
        """The engine's run-time checks pass."""
        assert isinstance(place.store, protocols.ObjectStoreProtocol)
        assert isinstance(place.registry, protocols.RegistryProtocol)

    def test_typed_values_have_the_same_fields(self) -> None:
        """Summaries, baselines and artifacts have the names of 0.1.12, no fewer, no more."""
        for name in ("RunSummary", "BaselineInfo", "ArtifactRef"):
            ours, theirs = getattr(storage, name), getattr(protocols, name)
            assert list(ours.__annotations__) == list(theirs.__annotations__)

    def test_records_have_the_properties_that_the_engine_reads(self) -> None:
        """Whatever can be read from the engine's `RunRecord` can be read from ours."""
        theirs = [n for n, v in vars(records.RunRecord).items() if isinstance(v, property)]
        assert theirs
        assert [n for n in theirs if not isinstance(getattr(RunRecord, n, None), property)] == []


class TestTrack:
    def test_a_second_process_reads_the_run(self, place: Place, tmp_path: Path) -> None:
        """A circuit run on Aer is read back whole, with our API and with the engine's."""
        other = run_bell(place, run_name="first", group_id="sweep")
        run_id = run_bell(place, run_name="bell", group_id="sweep")
        with pytest.raises(ZeroDivisionError), track(place):
            1 / 0  # noqa: B018
        place.registry.set_baseline("bells", run_id)

        read = read_elsewhere(place, run_id, tmp_path)
        ours, engines = read["ours"], read["engine"]

        record = ours["record"]
        assert record["info"]["status"] == "FINISHED"
        assert record["adapter"] == "qiskit"
        assert record["backend"]["name"] == "aer_simulator"
        assert record["data"]["params"]["angles"] == [0.0, math.pi]
        assert record["data"]["metrics"] == {"loss": LOSSES[-1], "fidelity": 1.0}
        assert [p["value"] for p in record["data"]["metric_series"]["loss"]] == LOSSES
        assert record["fingerprints"].keys() == {"program", "device", "intent", "run"}

        kinds = {ref["kind"] for ref in record["artifacts"]}
        assert kinds >= {"text.note", "qiskit.qpy.circuits", "source.openqasm3"}
        assert ours["intact"]
        assert {ref["digest"] for ref in record["artifacts"]} <= set(ours["objects"])

        both = sorted([run_id, other])
        assert sorted(ours["listed"]) == sorted(ours["found"]) == sorted(ours["group"]) == both
        assert len(ours["failed"]) == 1
        assert ours["projects"] == ["bells"]
        assert ours["baseline"] == run_id
        assert ours["series"] == record["data"]["metric_series"]

        assert engines["named"] == run_id
        assert engines["counts"].keys() == {"00", "11"}
        assert sum(engines["counts"].values()) == SHOTS
        assert engines["points"] == LOSSES[1:]
        assert engines["rows"] == 2 * len(LOSSES)
        assert engines["same program"]
        assert engines["verified"]
        assert engines["scanned"] == 3
        assert engines["errors"] == []

    def test_a_run_that_raises_has_failed(self, place: Place) -> None:
        """Its error is recorded, and raised on."""
        run = track(place)
        run.log_metric("loss", 1.0, step=0)
        with pytest.raises(ZeroDivisionError), run:
            1 / 0  # noqa: B018
        stored = place.registry.load(run.run_id)
        assert stored.status == "FAILED"
        assert stored.ended_at is not None
        assert stored.record["errors"][0]["type"] == "ZeroDivisionError"
        assert [p["value"] for p in stored.metric_series["loss"]] == [1.0]

    def test_an_interrupted_run_is_killed(self, place: Place) -> None:
        """As the engine has it when Ctrl-C ends a run."""
        with pytest.raises(KeyboardInterrupt), track(place) as run:
            raise KeyboardInterrupt
        assert place.registry.load(run.run_id).status == "KILLED"

    def test_a_run_is_seen_while_it_is_running(self, place: Place) -> None:
        """What is flushed can be read by others, points included."""
        with track(place) as run:
            run.log_metric("loss", 1.0, step=0)
            run.flush()
            with create_registry(place.registry_url) as other:
                assert other.load(run.run_id).status == "RUNNING"
                points = list(other.iter_metric_points(run.run_id, "loss"))
        assert [(p["step"], p["value"]) for p in points] == [(0, 1.0)]

    def test_runs_in_threads_share_a_registry(self, place: Place) -> None:
        """The engine closes the registry at the end of each run, while others still use it."""

        def sweep(number: int) -> str:
            with track(place, group_id="threads") as run:
                for step in range(20):
                    run.log_metric("loss", number + step, step=step)
                run.log_text("note", f"run {number}")
            return str(run.run_id)

        with ThreadPoolExecutor(4) as pool:
            run_ids = list(pool.map(sweep, range(12)))
        stored = [place.registry.load(run_id) for run_id in run_ids]
        assert [run.status for run in stored] == ["FINISHED"] * 12
        assert [len(run.metric_series["loss"]) for run in stored] == [20] * 12
        assert [len(run.artifacts) for run in stored] == [2] * 12  # the note and the envelope
        listed = place.registry.list_runs_in_group("threads")
        assert sorted(s["run_id"] for s in listed) == sorted(run_ids)

    def test_a_bundle_of_a_run_is_unpacked_elsewhere(self, place: Place, tmp_path: Path) -> None:
        """The engine packs from our store and registry, and unpacks into others of ours."""
        pack = import_module("devqubit_engine.bundle.pack")
        run_id = run_bell(place)
        pack.pack_run(run_id, tmp_path / "run.zip", store=place.store, registry=place.registry)
        home = tmp_path / "home"
        with create_registry(home) as registry, create_store(home / "objects") as store:
            pack.unpack_bundle(tmp_path / "run.zip", dest_store=store, dest_registry=registry)
            run = registry.load(run_id)
            assert run.to_dict() == place.registry.load(run_id).to_dict()
            for ref in run.artifacts:
                assert store.get_bytes(ref.digest) == place.store.get_bytes(ref.digest)

    @pytest.mark.parametrize(
        ("value", "stored"),
        [
            (1j, {"__repr__": "1j"}),
            ({2, 1}, [1, 2]),
            (b"raw", {"__repr__": "b'raw'"}),
            ({1: (2, 3)}, {"1": [2, 3]}),
        ],
    )
    def test_values_that_are_not_json(self, place: Place, value: object, stored: object) -> None:
        """The engine turns them into JSON before we see them."""
        with track(place) as run:
            run.log_param("value", value)
        assert place.registry.load(run.run_id).params["value"] == stored

    @pytest.mark.xfail(
        reason="the engine passes numpy's complex scalars on as complex, which save() refuses",
        raises=InvalidRecordError,
    )
    def test_an_amplitude_as_a_parameter_does_not_lose_the_run(self, place: Place) -> None:
        """0.1.12 stores it as text, and finishes the run."""
        numpy = import_module("numpy")
        with track(place) as run:
            run.log_param("amplitude", numpy.complex128(1j))
        stored = place.registry.load(run.run_id)
        assert stored.status == "FINISHED"
        assert stored.params["amplitude"] == "1j"

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    @pytest.mark.parametrize("step", [None, 3])
    def test_a_diverging_metric_does_not_lose_the_run(
        self, place: Place, value: float, step: int | None
    ) -> None:
        """A loss that diverged is a result; the run ends, with it and its artifacts."""
        with track(place) as run:
            run.log_text("note", "it diverged")
            run.log_metric("loss", value, step=step)
        stored = place.registry.load(run.run_id)
        assert stored.status == "FINISHED"
        assert len(stored.artifacts) == 2
        assert repr(stored.metrics["loss"]) == repr(value)
