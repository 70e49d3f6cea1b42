"""Garbage collections against four writers whose clocks disagree: `nox -s reliability`.

Each writer puts objects, most of which were there and old, saves runs that refer to them, and
deletes runs of its own. At the end every object of every run is there.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from devqubit.errors import ObjectNotFoundError
from devqubit.maintenance import collect_garbage
from devqubit.plugin import open_bucket
from devqubit.storage import ObjectStore, create_registry
from devqubit.storage import _lease as lease
from tests.core.test_garbage import AgedBucket, artifact
from tests.servers.gcs import GCSServer

pytestmark = [pytest.mark.reliability, pytest.mark.timeout(900)]

SECONDS = int(os.environ.get("GARBAGE_SECONDS", "60"))
WRITERS = 4
OBJECTS = 300
SEED = 20260131
AHEAD = timedelta(minutes=15)


class Own(threading.local):
    """What is of one thread."""

    ahead = -AHEAD


OWN = Own()


class Clock(datetime):
    """A clock that is 15 minutes ahead in every other writer, and behind in all other threads."""

    @classmethod
    def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
        return datetime.now(UTC) + OWN.ahead


@pytest.fixture(params=["file", "s3", "gs"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A place on each backend."""
    if request.param == "file":
        yield f"file://{tmp_path}/place?durability=fast"
    elif request.param == "s3":
        bucket = request.getfixturevalue("s3_bucket")
        endpoint = request.getfixturevalue("s3_endpoint")
        yield f"s3://{bucket}/x?endpoint_url={endpoint}&region=us-east-1"
    else:
        server: GCSServer = request.getfixturevalue("gcs_server")
        bucket = request.getfixturevalue("gcs_bucket")
        yield f"gs://{bucket}/x?endpoint_url={server.endpoint}&anonymous=true"


def test_no_live_object_is_lost(
    url: str, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    """After 60 s of collections against 4 writers, what every run refers to is there."""
    monkeypatch.setattr(lease, "datetime", Clock)
    same_versions = not url.startswith(("file", "gs"))
    bucket = AgedBucket(open_bucket(url), same_versions=same_versions)
    store = ObjectStore(bucket)
    end = time.monotonic() + SECONDS
    with create_registry(url) as registry:
        registry.save({"run_id": "first"})
        with ThreadPoolExecutor(WRITERS + 2) as pool:
            writers = [pool.submit(write, number, store, url, end) for number in range(WRITERS)]
            ages = pool.submit(grow_old, bucket, end)
            deleted = rounds = 0
            while time.monotonic() < end:
                deleted += collect_garbage(store, registry, dry_run=False).deleted
                rounds += 1
            saved = sum(writer.result() for writer in writers)
            ages.result()
        registry.refresh()
        referred = {a.digest for run in registry.iter_runs() for a in run.artifacts}
    lost = [digest for digest in sorted(referred) if not store.exists(digest)]
    record_property("collections", rounds)
    record_property("deleted", deleted)
    record_property("saved", saved)
    assert lost == []
    assert (deleted > 0, saved > 0, rounds > 1) == (True, True, True)


def write(number: int, store: ObjectStore, url: str, end: float) -> int:
    """One writer, with a registry of its own; returns how many runs it saved."""
    OWN.ahead = AHEAD if number % 2 else -AHEAD
    choose = random.Random(SEED + number)
    saved = 0
    with create_registry(url) as registry:
        while time.monotonic() < end:
            data = b"object %d" % choose.randrange(OBJECTS)
            digest = store.put_bytes(data)
            time.sleep(choose.random() * 0.05)
            run_id = f"{number}-{choose.randrange(10)}"
            registry.save({"run_id": run_id, "artifacts": [artifact(digest)]})
            saved += 1
            # It is referred to: nothing may take it any more.
            if not store.exists(digest):
                raise ObjectNotFoundError(digest)
            if choose.random() < 0.4:
                registry.delete(f"{number}-{choose.randrange(10)}")
    return saved


def grow_old(bucket: AgedBucket, end: float) -> None:
    """Makes a second last hours: what is there for 3 s is 18 hours old, for 8 s two days.

    So a client has 5 s, for 12 hours, to save its run after it put an object.
    """
    while time.monotonic() < end:
        for info in list(bucket.bucket.list("sha256/")):
            seconds = (datetime.now(UTC) - info.modified).total_seconds()
            if seconds > 8:
                bucket.age_of(info, 48 * 3600)
            elif seconds > 3:
                bucket.age_of(info, 18 * 3600)
        time.sleep(0.2)
