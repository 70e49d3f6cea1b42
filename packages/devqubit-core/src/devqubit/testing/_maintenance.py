"""What `verify`, `collect_garbage`, `prune_runs` and `copy` must do on every backend."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from devqubit.errors import StorageError
from devqubit.maintenance import Place, collect_garbage, copy, open_place, prune_runs, verify
from devqubit.plugin import Absent, Blob, BlobInfo, Bucket, Version
from devqubit.storage import ObjectStore, Registry
from devqubit.storage._digest import object_key, object_prefix
from devqubit.testing._base import Conformance, gist, require

__all__ = ["MaintenanceConformance"]

FOLDERS = ("runs/", "baselines/", "metrics/")
PROJECT = "bell"
AGE = timedelta(days=2)


class AgingBucket(Bucket):
    """A real bucket, of which any blob can be made two days old until it is written again.

    Attributes:
        before_delete: Is called once, when the next object is about to be deleted.
        renewed: Set when an old blob was written again.
    """

    def __init__(self, bucket: Bucket) -> None:
        self._real = bucket
        self.location, self.capabilities = bucket.location, bucket.capabilities
        self.max_concurrency = bucket.max_concurrency
        self._old: set[str] = set()
        self.before_delete: Callable[[], object] | None = None
        self.renewed = threading.Event()

    def age(self, digests: Iterable[str]) -> None:
        """Makes objects older than any grace period that is asked for here."""
        self._old.update(map(object_key, digests))

    def read(self, key: str, *, start: int = 0, length: int | None = None) -> Blob:
        return self._real.read(key, start=start, length=length)

    def write(
        self, key: str, data: bytes, *, if_version: Version | Absent | None = None
    ) -> Version:
        version = self._real.write(key, data, if_version=if_version)
        if key in self._old:
            self._old.remove(key)
            self.renewed.set()
        return version

    def stat(self, key: str) -> BlobInfo:
        return self._aged(self._real.stat(key))

    def delete(self, key: str, *, if_version: Version | None = None) -> bool:
        if key.startswith(object_prefix(None)):
            self._about_to_delete()
        return self._real.delete(key, if_version=if_version)

    def delete_many(self, keys: Iterable[str]) -> Iterator[tuple[str, StorageError | None]]:
        self._about_to_delete()
        return self._real.delete_many(keys)

    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[BlobInfo]:
        return map(self._aged, self._real.list(prefix, start_after=start_after))

    def sweep(self, before: datetime) -> int:
        return self._real.sweep(before)

    def _about_to_delete(self) -> None:
        call, self.before_delete = self.before_delete, None
        if call is not None:
            call()

    def _aged(self, info: BlobInfo) -> BlobInfo:
        return replace(info, modified=info.modified - AGE) if info.key in self._old else info


class MaintenanceConformance(Conformance):
    """A place that is checked, cleaned, pruned and copied."""

    @pytest.fixture
    def aging(self, bucket: Bucket) -> AgingBucket:
        """The bucket of the store."""
        return AgingBucket(bucket)

    @pytest.fixture
    def place(self, bucket: Bucket, aging: AgingBucket) -> Place:
        """Three runs, of which each refers to two objects, points of one, and a baseline."""
        place = Place(ObjectStore(aging), Registry(bucket))
        for number in range(3):
            name = f"run {number}"
            digests = [place.store.put_bytes(body) for body in (b"shared", name.encode())]
            created = f"2026-01-0{number + 1}T00:00:00Z"
            place.registry.save(run(name, PROJECT, digests, created_at=created))
        point = {"run_id": "run 0", "key": "loss", "step": 1, "timestamp": "t", "value": 0.5}
        place.registry.save_metric_points([point])
        place.registry.set_baseline(PROJECT, "run 0")
        return place

    @pytest.fixture
    def local(self, tmp_path: Path) -> Iterator[Place]:
        """An empty place on this machine."""
        with open_place(f"file://{tmp_path}/local?durability=fast") as place:
            yield place

    def test_verify(self, place: Place, bucket: Bucket) -> None:
        """What is whole is clean; of what is not, each problem is found."""
        report = verify(place.store, place.registry)
        assert report.is_clean
        assert (report.runs, report.objects, report.orphans, report.baselines) == (3, 4, 0, 1)
        damaged, missing = (digest_of(place, f"run {number}") for number in range(2))
        bucket.write(object_key(damaged), b"RUN 0")
        bucket.delete(object_key(missing))
        bucket.write("runs/run 2.json", b"{")
        place.store.put_bytes(b"of nobody")
        report = verify(place.store, place.registry)
        assert report.problems == {"damaged object": 1, "missing object": 1, "unreadable run": 1}
        assert report.orphans == 2

    def test_repair(self, place: Place, local: Place, bucket: Bucket) -> None:
        """Damaged and missing objects are brought back from another store."""
        copy(place, local)
        damaged, missing = (digest_of(place, f"run {number}") for number in range(2))
        bucket.write(object_key(damaged), b"RUN 0")
        bucket.delete(object_key(missing))
        report = verify(place.store, place.registry, repair_from=local.store)
        assert (report.repaired, report.is_clean) == (2, True)
        assert place.store.get_bytes(damaged) == b"run 0"
        assert place.store.get_bytes(missing) == b"run 1"

    def test_garbage(self, place: Place, aging: AgingBucket) -> None:
        """Old objects of nobody are deleted, and nothing else; no lease stays."""
        old = {place.store.put_bytes(b"old %d" % number) for number in range(5)}
        kept = {*place.store.list_digests()} - old
        aging.age([*old, *kept])
        kept.add(place.store.put_bytes(b"young"))
        before = list(aging.list())
        planned = collect_garbage(place.store, place.registry)
        assert (planned.garbage, planned.deleted, list(aging.list())) == (5, 0, before)
        done = collect_garbage(place.store, place.registry, dry_run=False)
        assert (done.garbage, done.deleted, done.young, done.failed) == (5, 5, 1, 0)
        assert {*place.store.list_digests()} == kept
        assert list(aging.list("_gc/")) == []
        assert verify(place.store, place.registry).is_clean

    def test_garbage_that_is_wanted_again(self, place: Place, aging: AgingBucket) -> None:
        """What is put again just before it is deleted is there when the put is done."""
        digest = place.store.put_bytes(b"wanted again")
        aging.age([digest])
        with ThreadPoolExecutor(1) as pool:
            puts: list[Future[str]] = []

            def put_again() -> None:
                puts.append(pool.submit(place.store.put_bytes, b"wanted again"))
                assert aging.renewed.wait(60)

            aging.before_delete = put_again
            collect_garbage(place.store, place.registry, dry_run=False)
            (put,) = puts
            assert put.result() == digest
        assert place.store.get_bytes(digest) == b"wanted again"

    def test_garbage_of_runs_that_cannot_be_read(
        self, place: Place, aging: AgingBucket, bucket: Bucket
    ) -> None:
        """While a run cannot be read, nobody knows what is garbage: nothing is deleted."""
        aging.age([place.store.put_bytes(b"old")])
        bucket.write("runs/run 2.json", b"{")
        with pytest.raises(StorageError, match=r"run 2\.json"):
            collect_garbage(place.store, place.registry, dry_run=False)
        assert len(list(place.store.list_digests())) == 5

    def test_prune(self, place: Place, bucket: Bucket) -> None:
        """Old runs go with their points; the baseline and the newest stay."""
        require(bucket, "conditional_delete")
        report = prune_runs(place.registry, keep=1, dry_run=False)
        assert (report.runs, report.old, report.deleted) == (3, 1, 1)
        left = [info.key for folder in ("runs/", "metrics/") for info in bucket.list(folder)]
        assert left[:2] == ["runs/run 0.json", "runs/run 2.json"]
        assert [key.rpartition("/")[0] for key in left[2:]] == ["metrics/run 0"]
        assert verify(place.store, place.registry).is_clean

    def test_copy(self, place: Place, local: Place) -> None:
        """What is copied has the same bytes under the same names; again, nothing is copied."""
        assert copy(place, local).complete
        assert contents(local) == contents(place)
        again = copy(place, local)
        tallies = again.objects, again.points, again.runs, again.baselines
        assert [tally.copied + tally.replaced for tally in tallies] == [0, 0, 0, 0]

    def test_mirror(self, place: Place, local: Place) -> None:
        """A mirror of another place has what that has, and no more."""
        digests = [local.store.put_bytes(body) for body in (b"large" * 2**18, b"shared")]
        local.registry.save(run("other", "ghz", digests))
        local.registry.set_baseline("ghz", "other")
        report = copy(local, place, delete=True)
        assert report.complete
        assert (report.objects.copied, report.objects.present, report.runs.deleted) == (1, 1, 3)
        assert contents(place) == contents(local)


def run(run_id: str, project: str, digests: Iterable[str], **more: Any) -> dict[str, Any]:
    """The record of a run that ended, with its artifacts."""
    artifact = {"kind": "counts", "media_type": "application/json", "role": "results"}
    return {
        "run_id": run_id,
        "project": {"name": project},
        "info": {"status": "FINISHED"},
        "artifacts": [{**artifact, "digest": digest} for digest in digests],
        **more,
    }


def digest_of(place: Place, run_id: str) -> str:
    """The digest of the object that only this run refers to."""
    return str(place.registry.load(run_id).record["artifacts"][1]["digest"])


def contents(place: Place) -> dict[str, tuple[int, str]]:
    """Everything of a place: the gist of what is under each key and digest."""
    registry, store = place.registry.bucket, place.store
    keys = [info.key for folder in FOLDERS for info in registry.list(folder)]
    found = {key: registry.read(key).data for key in keys}
    found.update({digest: store.get_bytes(digest) for digest in store.list_digests()})
    return {name: gist(data) for name, data in found.items()}
