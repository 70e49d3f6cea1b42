"""A second process: reads a run back, with this project's API and with the engine's, as JSON.

Usage: python read_runs.py REGISTRY_URL STORE_URL RUN_ID
"""

from __future__ import annotations

import hashlib
import json
import sys
from importlib import import_module
from typing import Any

from devqubit.storage import ObjectStore, Registry, create_registry, create_store


def with_our_api(registry: Registry, store: ObjectStore, run_id: str) -> dict[str, Any]:
    """What somebody without the engine reads."""
    run = registry.load(run_id)
    found = {ref.kind: store.get_bytes(ref.digest) for ref in run.artifacts}
    digests = ["sha256:" + hashlib.sha256(data).hexdigest() for data in found.values()]
    baseline = registry.get_baseline(run.project)
    return {
        "record": run.to_dict(),
        "intact": digests == [ref.digest for ref in run.artifacts],
        "objects": sorted(store.list_digests()),
        "listed": [s["run_id"] for s in registry.list_runs(status="FINISHED")],
        "found": [r.run_id for r in registry.search_runs("metric.fidelity > 0.9 and tag.lab = a")],
        "failed": [s["run_id"] for s in registry.list_runs(status="FAILED")],
        "group": [s["run_id"] for s in registry.list_runs_in_group("sweep")],
        "projects": registry.list_projects(),
        "baseline": baseline["run_id"] if baseline else None,
        "series": registry.load_metric_series(run_id),
    }


def with_the_engine(registry: Registry, store: ObjectStore, run_id: str) -> dict[str, Any]:
    """What the engine's own readers make of our registry and store."""
    history = import_module("devqubit_engine.tracking.history")
    records = import_module("devqubit_engine.tracking.record")
    extract = import_module("devqubit_engine.uec.api.extract")
    diff = import_module("devqubit_engine.compare.diff")
    verify = import_module("devqubit_engine.compare.verify")
    gc = import_module("devqubit_engine.storage.gc")

    run = registry.load(run_id)
    finished = [s["run_id"] for s in registry.list_runs(project=run.project, status="FINISHED")]
    other = registry.load(next(found for found in finished if found != run_id))
    points = history.iter_metric_points(registry, run_id, "loss", start_step=1)
    compared = diff.diff(run_id, other.run_id, registry=registry, store=store)
    where = {"project": run.project, "store": store, "registry": registry}
    garbage = gc.gc_plan(store, registry)
    return {
        "named": records.resolve_run_id("bell", run.project, registry),
        "counts": extract.resolve_counts(run, store),
        "points": [point["value"] for point in points],
        "rows": len(history.metric_history_long(registry, project=run.project)),
        "same program": compared.program.exact_match,
        "verified": verify.verify_against_baseline(other, **where).ok,
        "scanned": garbage.runs_scanned,
        "errors": garbage.errors,
    }


def main() -> None:
    registry_url, store_url, run_id = sys.argv[1:]
    with create_registry(registry_url) as registry, create_store(store_url) as store:
        read = {
            "ours": with_our_api(registry, store, run_id),
            "engine": with_the_engine(registry, store, run_id),
        }
    print(json.dumps(read))  # noqa: T201  # the test reads it


if __name__ == "__main__":
    main()
