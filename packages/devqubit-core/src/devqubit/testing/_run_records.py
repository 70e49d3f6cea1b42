"""Run records for the tests of registries."""

from __future__ import annotations

import copy
from typing import Any

__all__ = ["DIGEST", "RECORD", "record"]

DIGEST = "sha256:" + "0123456789abcdef" * 4
RECORD: dict[str, Any] = {
    "schema": "devqubit.run/1.0",
    "run_id": "01JD0000000000000000000000",
    "created_at": "2026-01-02T03:04:05.678901Z",
    "adapter": "qiskit",
    "project": {"name": "bell", "owner": {"nested": [1, 2.5, None, True, "é\u2028\ud800"]}},
    "info": {
        "status": "FINISHED",
        "ended_at": "2026-01-02T03:05:00Z",
        "run_name": "nightly",
        "unknown": {},
    },
    "data": {
        "params": {"shots": 4096, "angle": 0.1, "big": 2**70},
        "metrics": {"fidelity": 0.9731},
        "tags": {"device": "real"},
        "metric_series": {"loss": [{"value": 0.5, "step": 1, "timestamp": "2026-01-02T03:04:06Z"}]},
    },
    "backend": {"name": "ibm_brisbane", "provider": "ibm"},
    "provenance": {"git": {"commit": "c0ffee"}},
    "fingerprints": {"run": "r1", "program": "p1", "device": "d1", "intent": "i1"},
    "group_id": "g1",
    "group_name": "sweep",
    "parent_run_id": "01JC0000000000000000000000",
    "artifacts": [
        {
            "kind": "qiskit.qpy.circuits",
            "digest": DIGEST,
            "media_type": "application/x-qpy",
            "role": "program",
            "meta": {"n": 1},
            "unknown": "kept",
        }
    ],
    "x-vendor": {"anything": ["at", "all", {"deep": {"deeper": 1e-300}}]},
}


def record(run_id: str, **changes: Any) -> dict[str, Any]:
    """A record like `RECORD` with another id and other top-level fields."""
    return {**copy.deepcopy(RECORD), "run_id": run_id, **changes}
