"""rclone: a folder of this machine as a bucket, in which anything may lie."""

from __future__ import annotations

import os
import shutil
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from devqubit.errors import CorruptRecordError
from devqubit.maintenance import collect_garbage, copy, open_place, verify
from tests.real_servers.rclone import rclone

MIB = 1024 * 1024


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The URL of an empty place, and the folder that it is."""
    program = shutil.which("rclone") or pytest.skip("rclone is not installed")
    with rclone(tmp_path, program) as endpoint:
        folder = tmp_path / "files" / "lab" / "x"
        (folder / "runs").mkdir(parents=True)
        yield f"s3://lab/x?endpoint_url={endpoint}&region=us-east-1", folder


def test_huge_record(served: tuple[str, Path], tmp_path: Path) -> None:
    """A record of 2 GB is known by the list: it is reported, and never loaded."""
    url, folder = served
    # Before anything is asked for: rclone remembers for minutes what is in a folder.
    (folder / "runs" / "huge.json").touch()
    os.truncate(folder / "runs" / "huge.json", 2 << 30)
    with open_place(url) as place, open_place(str(tmp_path / "copy")) as other:
        place.registry.save({"run_id": "mine"})
        tracemalloc.start()
        try:
            place.registry.refresh()
            assert [problem.key for problem in place.registry.problems()] == ["runs/huge.json"]
            assert verify(place.store, place.registry).problems == {"unreadable run": 1}
            report = copy(place, other)
            with pytest.raises(CorruptRecordError, match="huge"):
                collect_garbage(place.store, place.registry, dry_run=False, alone=True)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert (report.runs.copied, report.runs.failed) == (1, 1)
    assert peak < 32 * MIB
