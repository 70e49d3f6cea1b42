"""Registries: refreshing an index from far away, and asking it."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks._distance import far_away
from benchmarks._measure import Comparison, Figure, Skipped, peak_memory
from benchmarks._servers import fill, s3_place
from benchmarks._setup import Setup

__all__ = ["registry_index", "registry_refresh"]

ROUND_TRIP: Final = 0.02
RUNS: Final = 10_000
COMPARED_RUNS: Final = 300
INDEXED: Final = 100_000
FILTERS: Final[dict[str, str]] = {
    "project": "project-3",
    "name": "run 77",
    "adapter": "cirq",
    "status": "FAILED",
    "backend_name": "ionq",
    "fingerprint": f"{77:064x}",
    "git_commit": f"{77:040x}",
    "group_id": "g77",
    "created_after": "2026-06-01",
    "created_before": "2026-06-01",
}
SEARCHES: Final[tuple[tuple[str, dict[str, Any], float | None], ...]] = (
    ("metric.fidelity > 0.95", {"sort_by": "metric.fidelity"}, 0.025),
    ("params.shots = 4096 and metric.fidelity > 0.99", {}, 0.025),
    ("not tag.owner ~ U1 and (project = project-3 or params.layers >= 5)", {}, None),
)


def registry_refresh(setup: Setup) -> list[Comparison | Figure | Skipped]:
    """A cold and a warm refresh of a bucket 20 ms away, and the rival's opening of it."""
    found: list[Comparison | Figure | Skipped] = []
    with (
        s3_place(setup.endpoint, setup.folder) as place,
        far_away(place.endpoint, ROUND_TRIP) as relay,
    ):
        fill(place, "many", _blobs(RUNS))
        url = f"s3://{place.bucket}/many?endpoint_url={relay.endpoint}&region=us-east-1"
        result = _refreshes(url, setup.folder / "cache")
        figure = f"of {RUNS:,} runs at {ROUND_TRIP * 1e3:.0f} ms"
        found.append(Figure("refresh", f"cold {figure}", "s", result["cold"], 15.0))
        found.append(Figure("refresh", f"nothing changed {figure}", "s", result["warm"], None))
        if setup.rival is None:
            found.append(Skipped("refresh", "no devqubit-engine: give --rival-python"))
            return found
        fill(place, "few", _blobs(COMPARED_RUNS))
        ours, theirs = [], []
        for number in range(3):
            cache = setup.folder / f"few{number}"
            few = f"s3://{place.bucket}/few?endpoint_url={relay.endpoint}&region=us-east-1"
            ours.append(_refreshes(few, cache)["cold"])
            theirs.append(_rival_opens(setup.rival.python, place.bucket, relay.endpoint, cache))
        found.append(
            Comparison(
                job="refresh",
                figure=f"cold refresh of {COMPARED_RUNS} runs at {ROUND_TRIP * 1e3:.0f} ms",
                unit="s",
                rival=setup.rival.name,
                ours=tuple(ours),
                theirs=tuple(theirs),
            )
        )
    return found


def registry_index(setup: Setup) -> list[Comparison | Figure | Skipped]:
    """An index of 100,000 runs: making it, opening it, asking it."""
    code = "from benchmarks.registry import index_in_child as main; main()"
    environment = {**os.environ, "DEVQUBIT_CACHE_DIR": str(setup.folder)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return [Figure("index", *values) for values in json.loads(done.stdout.splitlines()[-1])]


def index_in_child() -> None:
    """In a process of its own, for its memory: prints name, unit, value and limit of each."""
    from devqubit.storage._index import Index
    from devqubit.storage._index_tables import put_runs
    from devqubit.storage._records import RunRecord
    from devqubit.storage._rows import RunRow, run_row

    random.seed(7)
    figures: list[tuple[str, str, float, float | None]] = []
    location = "s3://benchmark/index"
    making = [0.0]

    def rows() -> Iterator[RunRow]:
        for number in range(INDEXED):
            began = time.perf_counter()
            data = json.dumps(record(number)).encode()
            making[0] += time.perf_counter() - began
            run = RunRecord(json.loads(data), None)
            yield run_row(f"runs/{run.run_id}.json", run, data)

    before = peak_memory()
    index = Index(location)
    began = time.perf_counter()
    index.change(lambda connection: put_runs(connection, rows()))
    seconds = time.perf_counter() - began - making[0]
    grown = peak_memory() - before
    figures.append((f"index {INDEXED:,} records of 1.3 KB", "s", seconds, 6.0))
    figures.append((f"memory to index {INDEXED:,} records", "MB", grown, 200.0))
    index.close()
    began = time.perf_counter()
    Index(location).read(lambda connection: connection.execute("SELECT 1").fetchone())
    figures.append((f"open an index of {INDEXED:,}", "s", time.perf_counter() - began, 0.03))
    figures.extend(_questions(Index(location)))
    print(json.dumps(figures))


def _questions(index: Any) -> Iterator[tuple[str, str, float, float | None]]:
    from devqubit.storage import _questions as questions
    from devqubit.storage._query import parse
    from devqubit.storage._query_sql import search

    columns = {"name": "run_name"}
    for name, value in FILTERS.items():
        texts = {} if "created" in name else {columns.get(name, name): value}
        bounds = questions.time_bounds(
            value if name == "created_after" else None,
            value if name == "created_before" else None,
        )

        def ask(texts: Any = texts, bounds: Any = bounds) -> object:
            return index.read(lambda c: questions.select_runs(c, texts, bounds, 100, 0))

        yield f"list_runs({name}=…, limit=100)", "s", _seconds(ask), 0.005
    for query, options, limit in SEARCHES:
        arguments = {"sort_by": None, "descending": True, "limit": 100, "offset": 0, **options}

        def find(query: str = query, arguments: Any = arguments) -> object:
            return index.read(lambda c: search(c, parse(query), **arguments))

        yield f"search {query!r}", "s", _seconds(find), limit


def _seconds(ask: Callable[[], object]) -> float:
    taken = []
    for _ in range(9):
        began = time.perf_counter()
        ask()
        taken.append(time.perf_counter() - began)
    return median(taken)


def record(number: int) -> dict[str, Any]:
    """A run record of about 1.3 KB."""
    run = {
        "schema": "devqubit.run/1.0",
        "run_id": f"01JD{number:022d}",
        "created_at": f"2026-{1 + number % 12:02d}-{1 + number % 28:02d}T{number % 24:02d}:00:00Z",
        "adapter": random.choice(["qiskit", "cirq", "pennylane"]),
        "project": {"name": f"project-{number % 20}"},
        "info": {
            "status": random.choice(["FINISHED"] * 8 + ["FAILED", "RUNNING"]),
            "ended_at": "2026-12-31T03:05:00Z",
            "run_name": f"run {number % 5000}",
        },
        "data": {
            "params": {
                "shots": random.choice([1024, 2048, 4096, 8192, 16384]),
                "angle": random.random(),
                "layers": number % 7,
            },
            "metrics": {"fidelity": 0.9 + random.random() * 0.1, "energy": -random.random()},
            "tags": {"device": "real", "owner": f"u{number % 13}"},
        },
        "backend": {"name": random.choice(["ibm_brisbane", "aer", "ionq"]), "provider": "x"},
        "provenance": {"git": {"commit": f"{number % 300:040x}"}},
        "fingerprints": {"run": f"{number % 50000:064x}", "program": f"{number % 100:064x}"},
        "group_id": f"g{number % 1000}",
        "group_name": "sweep",
    }
    return {**run, "notes": "x" * (1300 - len(json.dumps(run)))}


def _blobs(runs: int) -> Iterator[tuple[str, bytes]]:
    for run in map(record, range(runs)):
        yield f"runs/{run['run_id']}.json", json.dumps(run).encode()


def _refreshes(url: str, cache: Path) -> dict[str, float]:
    code = (
        "import json, sys; from devqubit.storage import create_registry\n"
        "registry = create_registry(sys.argv[1])\n"
        "cold, warm = registry.refresh(), registry.refresh()\n"
        "assert cold.added == cold.listed == warm.listed and not warm.changed\n"
        "print(json.dumps({'cold': cold.seconds, 'warm': warm.seconds}))"
    )
    return _in_child(sys.executable, code, url, DEVQUBIT_CACHE_DIR=str(cache))


def _rival_opens(python: str, bucket: str, endpoint: str, cache: Path) -> float:
    code = (
        "import json, pathlib, sys, time\n"
        "from devqubit_engine.storage.backends.s3 import S3Registry\n"
        "began = time.monotonic()\n"
        "S3Registry(sys.argv[1], 'few', region='us-east-1', endpoint_url=sys.argv[2],\n"
        "           cache_dir=pathlib.Path(sys.argv[3]))\n"
        "print(json.dumps({'cold': time.monotonic() - began}))"
    )
    return _in_child(python, code, bucket, endpoint, str(cache))["cold"]


def _in_child(python: str, code: str, *arguments: str, **environment: str) -> dict[str, float]:
    done = subprocess.run(
        [python, "-c", code, *arguments],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures
