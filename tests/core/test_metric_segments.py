"""Metric points that somebody else wrote: what is too large is refused unread."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import pytest

from devqubit.errors import CorruptRecordError
from devqubit.storage import create_registry


def test_segment_that_is_far_too_large(tmp_path: Path) -> None:
    """A segment of 1 GiB is refused by the size that the list says, and never loaded."""
    (tmp_path / "metrics" / "r").mkdir(parents=True)
    (tmp_path / "metrics" / "r" / "huge.json").touch()
    os.truncate(tmp_path / "metrics" / "r" / "huge.json", 1 << 30)
    with create_registry(tmp_path) as registry:
        tracemalloc.start()
        try:
            with pytest.raises(CorruptRecordError, match="more than"):
                list(registry.iter_metric_points("r", "loss"))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 8 * 1024 * 1024
