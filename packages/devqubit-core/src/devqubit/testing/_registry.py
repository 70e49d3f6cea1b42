"""What a registry must do on every backend."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from devqubit.errors import (
    InvalidArgumentError,
    InvalidNameError,
    InvalidRecordError,
    RunNotFoundError,
)
from devqubit.plugin import Bucket
from devqubit.storage import ArtifactRef, Registry
from devqubit.testing._registry_files import RegistryFileChecks
from devqubit.testing._run_records import DIGEST, RECORD, record

__all__ = ["RegistryConformance"]

ODD_NAMES = [
    "..",
    ".",
    ".hidden",
    "a/b",
    "../../x",
    "/",
    "a\\b",
    "%2e",
    "%2F",
    "50%",
    "100%25",
    "a b",
    "a+b",
    "a#b?c=d&e",
    "\U0001f642",
    "nul\0",
    "line\nbreak",
    "x.json",
    "é" * 100,
    "con",
]
BAD_NAMES = ["", "n" * 201, "n" * 1000, "é" * 101, "\0" * 100, "\ud800", 7, None]


class RegistryConformance(RegistryFileChecks):
    """Runs and baselines, names from people, and files from anybody."""

    def test_record_round_trip(self, registry: Registry) -> None:
        """A record comes back equal, unknown fields and all."""
        registry.save(RECORD)
        run = registry.load(RECORD["run_id"])
        assert run.record == RECORD
        assert run.to_dict() == RECORD

    def test_record_properties(self, registry: Registry) -> None:
        """Each property reads its place in the record."""
        registry.save(RECORD)
        run = registry.load(RECORD["run_id"])
        assert (run.run_id, run.project, run.adapter, run.status) == (
            RECORD["run_id"],
            "bell",
            "qiskit",
            "FINISHED",
        )
        assert (run.created_at, run.ended_at) == (RECORD["created_at"], "2026-01-02T03:05:00Z")
        assert (run.run_name, run.backend_name, run.git_commit) == (
            "nightly",
            "ibm_brisbane",
            "c0ffee",
        )
        assert (run.params, run.metrics, run.tags, run.metric_series) == (
            RECORD["data"]["params"],
            RECORD["data"]["metrics"],
            RECORD["data"]["tags"],
            RECORD["data"]["metric_series"],
        )
        assert run.fingerprints == RECORD["fingerprints"]
        assert (run.run_fingerprint, run.program_fingerprint) == ("r1", "p1")
        assert (run.group_id, run.group_name, run.parent_run_id) == (
            "g1",
            "sweep",
            RECORD["parent_run_id"],
        )
        assert run.artifacts == [
            ArtifactRef("qiskit.qpy.circuits", DIGEST, "application/x-qpy", "program", {"n": 1})
        ]

    def test_smallest_record(self, registry: Registry) -> None:
        """A run id is all a record needs; what is missing has a default."""
        registry.save({"run_id": "r"})
        run = registry.load("r")
        assert (run.project, run.adapter, run.status, run.ended_at) == ("", "", "RUNNING", None)
        assert (run.params, run.artifacts, run.fingerprints) == ({}, [], {})

    def test_save_replaces(self, registry: Registry) -> None:
        """Saving again replaces the record, and its version is another."""
        registry.save(record("r", adapter="cirq"))
        first = registry.load("r")
        registry.save(record("r", adapter="braket"))
        second = registry.load("r")
        assert (first.adapter, second.adapter) == ("cirq", "braket")
        assert first.version != second.version

    def test_all_runs(self, registry: Registry) -> None:
        """All runs are gone through, page by page, or those of a project and status."""
        for number in range(1_030):
            status = "FAILED" if number % 2 else "FINISHED"
            fields = {"project": f"p{number % 5}", "info": {"status": status}}
            registry.save(record(f"run-{number:04}", **fields))
        runs = [run.run_id for run in registry.iter_runs()]
        assert runs == [f"run-{number:04}" for number in range(1_030)]
        found = [run.run_id for run in registry.iter_runs(project="p3", status="FAILED")]
        assert found == [f"run-{number:04}" for number in range(3, 1_030, 10)]

    def test_missing_run(self, registry: Registry) -> None:
        """What is not there is RunNotFoundError, None or False, as the call says."""
        with pytest.raises(RunNotFoundError) as caught:
            registry.load("r")
        assert caught.value.run_id == "r"
        assert (registry.load_or_none("r"), registry.exists("r"), registry.delete("r")) == (
            None,
            False,
            False,
        )

    def test_delete(self, registry: Registry) -> None:
        """A deleted run is gone."""
        registry.save(RECORD)
        run_id = RECORD["run_id"]
        assert (registry.exists(run_id), registry.delete(run_id)) == (True, True)
        assert (registry.exists(run_id), registry.list_runs()) == (False, [])

    @pytest.mark.parametrize("name", ODD_NAMES)
    def test_odd_names(self, registry: Registry, bucket: Bucket, name: str) -> None:
        """Any name is kept as it is, in one file of its folder."""
        registry.save(record(name, project={"name": name}))
        registry.set_baseline(name, name)
        assert registry.load(name).project == name
        assert registry.exists(name)
        assert [run["run_id"] for run in registry.list_runs(project=name)] == [name]
        baseline = registry.get_baseline(name)
        assert baseline is not None
        assert (baseline["project"], baseline["run_id"]) == (name, name)
        assert registry.list_baselines() == [baseline]
        assert [i.key.split("/")[0] for i in bucket.list()] == ["baselines", "runs"]
        assert [i.key.count("/") for i in bucket.list()] == [1, 1]
        assert (registry.clear_baseline(name), registry.delete(name)) == (True, True)
        assert list(bucket.list()) == []

    def test_names_do_not_meet(self, registry: Registry) -> None:
        """Names that resemble each other's encoding are different runs."""
        names = ["a/b", "a%2Fb", "a%2fb", "a%252Fb", "A/b"]
        for name in names:
            registry.save(record(name, adapter=name))
        assert [registry.load(name).adapter for name in names] == names
        assert sorted(run["run_id"] for run in registry.list_runs()) == sorted(names)
        registry.delete("a/b")
        assert [registry.exists(name) for name in names] == [False, True, True, True, True]

    @pytest.mark.parametrize("name", BAD_NAMES)
    def test_bad_names(self, registry: Registry, bucket: Bucket, name: Any) -> None:
        """Names that cannot be stored are refused everywhere, and nothing is written."""
        calls: list[Callable[[], object]] = [
            lambda: registry.load(name),
            lambda: registry.exists(name),
            lambda: registry.delete(name),
            lambda: registry.save({"run_id": name}),
            lambda: registry.set_baseline(name, "r"),
            lambda: registry.get_baseline(name),
            lambda: registry.clear_baseline(name),
        ]
        if name is not None:
            calls.append(lambda: registry.save({"run_id": "r", "project": {"name": name}}))
        for call in calls:
            with pytest.raises((InvalidNameError, InvalidRecordError)):
                call()
        assert list(bucket.list()) == []

    @pytest.mark.parametrize(
        ("change", "place"),
        [
            ({"x": object()}, "x is a object"),
            ({"x": {"y": [1, {2, 3}]}}, r"x\.y\[1\] is a set"),
            ({"x": b"bytes"}, "x is a bytes"),
            ({"x": {1: "one"}}, "x has the key 1"),
            ({"artifacts": "none"}, "artifacts"),
            ({"artifacts": [{"kind": "k"}]}, r"artifacts\[0\]"),
            ({"x": "long" * 5_000_000}, "put_bytes"),
        ],
    )
    def test_bad_records(
        self, registry: Registry, bucket: Bucket, change: dict[str, Any], place: str
    ) -> None:
        """What JSON cannot hold is refused with its place, and nothing is written."""
        with pytest.raises(InvalidRecordError, match=place):
            registry.save({"run_id": "r", **change})
        assert list(bucket.list()) == []

    def test_diverged_metrics_are_kept(self, registry: Registry) -> None:
        """A metric that is no number any more, or infinite, comes back as it was."""
        metrics = {"nan": math.nan, "up": math.inf, "down": -math.inf}
        registry.save({"run_id": "r", "data": {"metrics": metrics}})
        found = registry.load("r").metrics
        assert (math.isnan(found["nan"]), found["up"], found["down"]) == (True, math.inf, -math.inf)
        matching = [registry.search_runs(f"metric.{name} > 1") for name in metrics]
        assert [len(runs) for runs in matching] == [0, 1, 0]
        assert len(registry.search_runs("metric.nan exists")) == 1

    def test_circular_record(self, registry: Registry) -> None:
        """A record that contains itself is refused."""
        circular: dict[str, Any] = {"run_id": "r"}
        circular["self"] = circular
        with pytest.raises(InvalidRecordError):
            registry.save(circular)

    @pytest.mark.parametrize("bad", [None, [], "text", {}, {"run_id": None}])
    def test_record_without_id(self, registry: Registry, bad: Any) -> None:
        """No record, or one without a run id, is refused."""
        with pytest.raises(InvalidRecordError):
            registry.save(bad)

    def test_list_runs(self, registry: Registry) -> None:
        """Runs are listed newest first, those of one moment by descending id, in pages."""
        times = {
            "c": "2026-01-01T00:00:00Z",
            "a": "2026-01-02T00:00:00+01:00",
            "b": "2026-01-02T00:00:00Z",
            "z": "2026-01-02T00:00:00Z",
            "none": "",
        }
        for run_id, created in times.items():
            registry.save(record(run_id, created_at=created))
        listed = [run["run_id"] for run in registry.list_runs()]
        assert listed == ["z", "b", "a", "c", "none"]
        assert [run["run_id"] for run in registry.list_runs(limit=2, offset=1)] == listed[1:3]
        later = registry.list_runs(created_after="2026-01-01T00:00:00Z")
        assert [run["run_id"] for run in later] == ["z", "b", "a"]
        earlier = registry.list_runs(created_before="2026-01-02T00:00:00")
        assert [run["run_id"] for run in earlier] == ["a", "c"]

    def test_list_runs_summaries(self, registry: Registry) -> None:
        """A summary has the fields of the run, and no more."""
        registry.save(RECORD)
        assert registry.list_runs() == [
            {
                "run_id": RECORD["run_id"],
                "run_name": "nightly",
                "project": "bell",
                "adapter": "qiskit",
                "status": "FINISHED",
                "created_at": RECORD["created_at"],
                "ended_at": "2026-01-02T03:05:00Z",
                "group_id": "g1",
                "group_name": "sweep",
                "parent_run_id": RECORD["parent_run_id"],
            }
        ]

    @pytest.mark.parametrize(
        ("filters", "matches"),
        [
            ({"project": "bell"}, True),
            ({"name": "nightly", "adapter": "qiskit", "status": "FINISHED"}, True),
            ({"backend_name": "ibm_brisbane", "fingerprint": "r1"}, True),
            ({"git_commit": "c0ffee", "group_id": "g1"}, True),
            ({"project": "other"}, False),
            ({"name": "nightl"}, False),
            ({"adapter": "qiskit", "status": "FAILED"}, False),
            ({"group_id": ""}, False),
        ],
    )
    def test_list_runs_filters(
        self, registry: Registry, filters: dict[str, Any], matches: bool
    ) -> None:
        """Filters match whole values, all of them."""
        registry.save(RECORD)
        assert len(registry.list_runs(**filters)) == int(matches)

    @pytest.mark.parametrize("bad", [{"limit": -1}, {"offset": -1}, {"created_after": "soon"}])
    def test_list_runs_bad_filters(self, registry: Registry, bad: dict[str, Any]) -> None:
        """A filter that cannot be meant is refused."""
        with pytest.raises(InvalidArgumentError, match=next(iter(bad))):
            registry.list_runs(**bad)

    def test_baselines(self, registry: Registry) -> None:
        """A project has one baseline, which can be set again, listed and cleared."""
        registry.save(record("r1"))
        registry.save(record("r2"))
        assert (registry.get_baseline("p"), registry.clear_baseline("p")) == (None, False)
        registry.set_baseline("p", "r1")
        registry.set_baseline("p", "r2")
        registry.set_baseline("a", "r1")
        found = [(base["project"], base["run_id"]) for base in registry.list_baselines()]
        assert found == [("a", "r1"), ("p", "r2")]
        assert registry.clear_baseline("p")
        assert registry.get_baseline("p") is None

    def test_baseline_of_a_missing_run(self, registry: Registry, bucket: Bucket) -> None:
        """A run that is not there cannot be a baseline."""
        with pytest.raises(RunNotFoundError):
            registry.set_baseline("p", "r")
        assert list(bucket.list()) == []
