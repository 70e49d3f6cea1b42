"""Processes that are killed at random moments: `nox -s reliability`.

`KILLS` says how often on `file://` (a third of it on S3), `FAULTS_SEED` when.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from devqubit.maintenance import Finding, collect_garbage, open_place, verify
from tests.reliability.killed import JOBS, beside

pytestmark = [pytest.mark.reliability, pytest.mark.timeout(900)]

SEED = int(os.environ.get("FAULTS_SEED", "20261123"))
KILLS = int(os.environ.get("KILLS", "200"))
GARBAGE = 1_500
LONGEST = 0.6  # seconds after the first acknowledgement
ROOT = Path(__file__).parents[2]


@pytest.fixture(params=["file", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty place."""
    if request.param == "file":
        yield f"file://{tmp_path}/place"
        return
    bucket = request.getfixturevalue("s3_bucket")
    endpoint = request.getfixturevalue("s3_endpoint")
    yield f"s3://{bucket}/x?endpoint_url={endpoint}&region=us-east-1"


def test_killed(url: str, tmp_path: Path) -> None:
    """What was acknowledged is there, nothing torn is seen, and the next process goes on."""
    kills = KILLS if url.startswith("file") else KILLS * 3 // 10
    moments = random.Random(SEED)
    counted = 0
    jobs = [job for job in JOBS if job != "deleted"]
    for number in range(kills):
        job = jobs[number % len(jobs)]
        done = killed(job, url, SEED + number, moments.uniform(0, LONGEST))
        counted = max([counted, *(int(d.split()[1]) for d in done if d.startswith("count "))])
        look(url, done, counted)
    check(url)
    check(beside(url))
    print(f"{kills} kills, seed {SEED}, {counted} updates counted")
    if url.startswith("file"):
        with open_place(url) as place:
            place.registry.bucket.sweep(datetime.now(UTC))
        assert list((tmp_path / "place").rglob(".devqubit-*.tmp")) == []


def test_killed_while_it_deletes(tmp_path: Path) -> None:
    """A collection killed between its deletes takes only garbage, and the next one goes on."""
    kills, in_the_middle = KILLS // 10, 0
    moments = random.Random(SEED)
    url = f"file://{tmp_path}/place?durability=fast"
    with open_place(url) as place:
        kept = {place.store.put_bytes(b"kept %d" % number) for number in range(20)}
        place.registry.save({"run_id": "r", "refs": sorted(kept)})
        for number in range(kills):
            there = len(list(place.store.list_digests()))
            garbage = (b"%d %d" % (number, n) for n in range(GARBAGE - there))
            assert all(isinstance(put, str) for put in place.store.put_many(garbage))
            for path in (tmp_path / "place/objects/sha256").rglob("*"):
                os.utime(path, (time.time() - 48 * 3600,) * 2)
            killed("deleted", url, SEED, moments.uniform(0, LONGEST))
            left = set(place.store.list_digests())
            assert kept - left == set()
            in_the_middle += len(kept) < len(left) < GARBAGE
        check(url)
        collect_garbage(place.store, place.registry, dry_run=False)
        assert set(place.store.list_digests()) == kept
    print(f"{kills} kills, seed {SEED}, {in_the_middle} between deletes")
    assert in_the_middle > 0


def killed(job: str, url: str, seed: int, after: float) -> list[str]:
    """Starts a job, kills it some time after it has done something; what it said was done."""
    command = [sys.executable, "-m", "tests.reliability.killed", job, url, str(seed)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        first = child.stdout.readline()
        assert first.endswith("\n"), f"{job} ended by itself"
        time.sleep(after)
        child.send_signal(signal.SIGKILL)
        rest = child.stdout.read()
    # A line without its end was not said.
    return [line[:-1] for line in [first, *rest.splitlines(keepends=True)] if line.endswith("\n")]


def look(url: str, done: list[str], counted: int) -> None:
    """What was said to be done is there, whole."""
    with open_place(url) as place:
        for _, size in place.store.get_sizes(d for d in done if d.startswith("sha256:")):
            assert isinstance(size, int)
        for line in done:
            if line.startswith("run "):
                assert place.registry.load(line.removeprefix("run ")).record["ref"]
        if counted:
            assert place.registry.load("counted").record["n"] >= counted


def check(url: str) -> None:
    """Everything is read, hashed and looked up."""
    found: list[Finding] = []
    with open_place(url) as place:
        verify(place.store, place.registry, found=found.append)
        assert found == []
        assert place.registry.problems() == []
