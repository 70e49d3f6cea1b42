"""Garbage collection: what it deletes, what it must not, and every order against a put."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from devqubit.errors import CorruptRecordError, InvalidArgumentError
from devqubit.maintenance import GarbageReport, collect_garbage
from devqubit.plugin import Absent, Blob, BlobInfo, Bucket, Version, open_bucket
from devqubit.storage import ObjectStore, Registry, create_registry, create_store
from devqubit.storage import _lease as lease

DAY = 24 * 3600


class AgedBucket(Bucket):
    """A real bucket whose blobs can be made old, by what it says of them, and stopped at.

    The version of a blob is the hash of its bytes, as on S3, if `same_versions` is set: what
    is written again cannot be told by it.
    """

    def __init__(self, bucket: Bucket, *, same_versions: bool = True) -> None:
        self.bucket = bucket
        self.location, self.capabilities = bucket.location, bucket.capabilities
        self.same_versions = same_versions
        self.aged: dict[str, tuple[datetime, timedelta]] = {}
        self.stops: dict[str, list[tuple[threading.Event, threading.Event] | None]] = {}
        self.calls: list[tuple[str, str]] = []

    def age(self, key: str, seconds: float) -> None:
        """Makes a blob older, until it is written again."""
        self.age_of(self.bucket.stat(key), seconds)

    def age_of(self, info: BlobInfo, seconds: float) -> None:
        """Makes what is known of a blob older, unless it was written again since."""
        self.aged[info.key] = info.modified, timedelta(seconds=seconds)

    def stop_at(self, call: str, number: int = 1) -> tuple[threading.Event, threading.Event]:
        """The next such call, or a later one, sets the first event, and waits for the second."""
        stop = threading.Event(), threading.Event()
        self.stops[call] = [*[None] * (number - 1), stop]
        return stop

    def read(self, key: str, *, start: int = 0, length: int | None = None) -> Blob:
        return self.bucket.read(key, start=start, length=length)

    def write(
        self, key: str, data: bytes, *, if_version: Version | Absent | None = None
    ) -> Version:
        self._called("write", key)
        version = self.bucket.write(key, data, if_version=if_version)
        self._called("wrote", key)
        return Version("same") if self.same_versions else version

    def stat(self, key: str) -> BlobInfo:
        self._called("stat", key)
        return self._info(self.bucket.stat(key))

    def delete(self, key: str, *, if_version: Version | None = None) -> bool:
        self._called("delete", key)
        deleted = self.bucket.delete(key, if_version=if_version)
        self._called("deleted", key)
        return deleted

    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[BlobInfo]:
        self._called("list", prefix)
        for info in list(self.bucket.list(prefix, start_after=start_after)):
            yield self._info(info)
        self._called("listed", prefix)

    def _info(self, info: BlobInfo) -> BlobInfo:
        written, age = self.aged.get(info.key, (None, timedelta()))
        version = Version("same") if self.same_versions else info.version
        # S3 tells a list milliseconds, and seconds to who asks for one.
        known = written if info.modified.microsecond else written and written.replace(microsecond=0)
        modified = info.modified - age if known == info.modified else info.modified
        return replace(info, modified=modified, version=version)

    def _called(self, call: str, key: str) -> None:
        self.calls.append((call, key))
        stops = self.stops.get(f"{call} {key.partition('/')[0]}")
        stop = stops.pop(0) if stops else None
        if stop is not None:
            stop[0].set()
            assert stop[1].wait(30), f"nobody goes on from {call} {key}"


@pytest.fixture(params=[True, False], ids=["etags", "generations"])
def bucket(request: pytest.FixtureRequest, tmp_path: Path) -> AgedBucket:
    """The bucket of a store, once with versions as on S3."""
    inner = open_bucket(f"file://{tmp_path}/objects?durability=fast")
    return AgedBucket(inner, same_versions=request.param)


@pytest.fixture
def store(bucket: AgedBucket) -> ObjectStore:
    """A store."""
    return ObjectStore(bucket)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    """A registry with one run, which refers to nothing."""
    with create_registry(f"file://{tmp_path}/runs?durability=fast") as registry:
        registry.save({"run_id": "first"})
        yield registry


def key_of(digest: str) -> str:
    """Where an object lies."""
    return f"sha256/{digest[7:9]}/{digest[7:]}"


def artifact(digest: str) -> dict[str, str]:
    """An entry of a record's artifacts."""
    return {"kind": "k", "digest": digest, "media_type": "text/plain", "role": "results"}


def put_old(store: ObjectStore, data: bytes, seconds: float = 2 * DAY) -> str:
    """Puts an object that is of before yesterday."""
    digest = store.put_bytes(data)
    assert isinstance(store.bucket, AgedBucket)
    store.bucket.age(key_of(digest), seconds)
    return digest


def collect(store: ObjectStore, *registries: Registry) -> GarbageReport:
    """Collects for real."""
    return collect_garbage(store, registries, dry_run=False)


def test_deletes_only_garbage(store: ObjectStore, registry: Registry) -> None:
    """What no run refers to goes; what is young, or stands in any field of a record, stays."""
    garbage = [put_old(store, b"%d" % number) for number in range(20)]
    named = put_old(store, b"artifact")
    hidden = put_old(store, b"in a field of another client")
    young = store.put_bytes(b"young")
    registry.save({"run_id": "r", "artifacts": [artifact(named)], "x": [{"y": f"see {hidden}!"}]})
    report = collect(store, registry)
    assert set(store.list_digests()) == {named, hidden, young}
    assert (report.objects, report.garbage, report.deleted) == (23, 20, 20)
    assert (report.young, report.kept, report.failed) == (1, 0, 0)
    assert not any(store.exists(digest) for digest in garbage)


def test_dry_run_is_the_default(store: ObjectStore, registry: Registry, bucket: AgedBucket) -> None:
    """Without being told to, it counts, and neither writes nor deletes anything."""
    put_old(store, b"garbage")
    before = len(bucket.calls)
    report = collect_garbage(store, registry)
    assert (report.dry_run, report.garbage, report.garbage_bytes, report.deleted) == (True, 1, 7, 0)
    assert {call for call, _ in bucket.calls[before:]} <= {"list", "listed", "stat"}


def test_runs_of_every_registry_count(
    store: ObjectStore, registry: Registry, tmp_path: Path
) -> None:
    """A store that two teams share loses nothing of either."""
    theirs = put_old(store, b"theirs")
    with create_registry(f"file://{tmp_path}/theirs?durability=fast") as other:
        other.save({"run_id": "r", "artifacts": [artifact(theirs)]})
        collect(store, registry, other)
    assert store.exists(theirs)


def test_an_unreadable_run_stops_it(store: ObjectStore, registry: Registry) -> None:
    """If a run cannot be read, nothing is deleted, and the file is named."""
    digest = put_old(store, b"garbage")
    registry.bucket.write("runs/broken.json", b"{")
    with pytest.raises(CorruptRecordError, match=r"runs/broken\.json"):
        collect(store, registry)
    assert store.exists(digest)


def test_a_registry_without_runs_is_refused(store: ObjectStore, tmp_path: Path) -> None:
    """An empty registry is likely a wrong URL; only with `allow_empty` it is taken as such."""
    digest = put_old(store, b"all that there is")
    with create_registry(f"file://{tmp_path}/typo") as empty:
        with pytest.raises(InvalidArgumentError, match="allow_empty"):
            collect(store, empty)
        assert store.exists(digest)
        assert collect_garbage(store, empty, dry_run=False, allow_empty=True).deleted == 1


def test_a_short_grace_period_is_refused(store: ObjectStore, registry: Registry) -> None:
    """A grace period that puts cannot rely on is an error."""
    with pytest.raises(InvalidArgumentError, match="too short"):
        collect_garbage(store, registry, grace=timedelta(hours=12))


def test_foreign_files_stay(store: ObjectStore, registry: Registry, bucket: AgedBucket) -> None:
    """Files that are no objects are counted, and stay, however old."""
    for key in ("sha256/readme.txt", "sha256/ab/short", "notes"):
        bucket.write(key, b"mine")
        bucket.age(key, 9 * DAY)
    assert collect(store, registry).foreign == 2
    assert bucket.bucket.read("sha256/readme.txt").data == b"mine"


def test_no_lease_stays(store: ObjectStore, registry: Registry, bucket: AgedBucket) -> None:
    """After a collection nothing of it is left, not even of one that crashed an hour ago."""
    bucket.write("_gc/crashed", b"{}")
    bucket.age("_gc/crashed", 3600)
    put_old(store, b"garbage")
    collect(store, registry)
    assert list(bucket.list("_gc/")) == []


def test_ctrl_c(store: ObjectStore, registry: Registry, bucket: AgedBucket) -> None:
    """An interrupt ends it at once, leaves no lease, and `progress` has said what was deleted."""
    for number in range(50):
        put_old(store, b"%d" % number)
    told: list[tuple[int, int | None]] = []

    def interrupt(done: int, total: int | None) -> None:
        told.append((done, total))
        if done == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        collect_garbage(store, registry, dry_run=False, progress=interrupt)
    assert told == [(n, 50) for n in range(1, 11)]
    assert list(bucket.list("_gc/")) == []


def test_an_old_object_is_put_again(store: ObjectStore, bucket: AgedBucket, tmp_path: Path) -> None:
    """A put of what is there for more than 12 hours makes it young; of younger, sends nothing."""
    large = os.urandom(300_000)
    (tmp_path / "large").write_bytes(large)
    for data, put in (
        (b"small", lambda: store.put_bytes(b"small")),
        (large, lambda: store.put_bytes(large)),
        (large, lambda: store.put_file(tmp_path / "large")),
        (large, lambda: list(store.put_many([tmp_path / "large"]))),
    ):
        key = key_of(put_old(store, data, DAY))
        put()
        assert bucket.stat(key).modified > datetime.now().astimezone() - timedelta(minutes=1)
        before = len(bucket.calls)
        put()
        # A small one is sent at most with the condition that it is not there.
        assert ("wrote", key) not in bucket.calls[before:]


# Where a collection stops, a put and its run come between, and then it goes on: while it looks
# at all objects, and, by its second lease, in every step of a batch.
STOPS = (
    *(("list sha256", 1), ("listed sha256", 1), ("write _gc", 1), ("delete _gc", 1)),
    *(("write _gc", 3), ("wrote _gc", 4), ("stat _gc", 2), ("list sha256", 2)),
    *(("delete sha256", 1), ("delete sha256", 2), ("delete _gc", 2), ("deleted _gc", 2)),
)


@pytest.mark.parametrize(("stop", "number"), STOPS)
def test_a_put_during_a_collection(
    store: ObjectStore, registry: Registry, bucket: AgedBucket, stop: str, number: int
) -> None:
    """Wherever the collection is, an old object that is put and referred to then stays."""
    digest = put_old(store, b"wanted again")
    put_old(store, b"garbage")
    reached, go_on = bucket.stop_at(stop, number)
    with ThreadPoolExecutor(2) as pool:
        collection = pool.submit(collect, store, registry)
        assert reached.wait(30)
        putting = pool.submit(put_and_save, store, registry)
        time.sleep(0.05)  # the put may have to wait for the collection
        go_on.set()
        putting.result(30)
        collection.result(30)
    assert store.get_bytes(digest) == b"wanted again"


PUT_STOPS = ("write sha256", "wrote sha256", "list _gc", "listed _gc")


@pytest.mark.parametrize("stop", PUT_STOPS)
def test_a_collection_during_a_put(
    store: ObjectStore, registry: Registry, bucket: AgedBucket, stop: str
) -> None:
    """Wherever a put of an old object is, a whole collection between loses nothing."""
    digest = put_old(store, b"wanted again")
    reached, go_on = bucket.stop_at(stop)
    with ThreadPoolExecutor(2) as pool:
        putting = pool.submit(put_and_save, store, registry)
        assert reached.wait(30)
        collect(store, registry)
        go_on.set()
        putting.result(30)
    assert store.get_bytes(digest) == b"wanted again"


def test_a_put_between_the_last_look_and_the_delete(
    store: ObjectStore, registry: Registry, bucket: AgedBucket
) -> None:
    """The narrowest window: it is written again after it was seen as old, before its delete."""
    digest = put_old(store, b"wanted again")
    reached, go_on = bucket.stop_at("delete sha256")
    with ThreadPoolExecutor(2) as pool:
        collection = pool.submit(collect, store, registry)
        assert reached.wait(30)
        putting = pool.submit(put_and_save, store, registry)
        time.sleep(0.5)
        assert not putting.done(), "the put does not wait for the lease"
        go_on.set()
        putting.result(30)
        collection.result(30)
    assert store.get_bytes(digest) == b"wanted again"


def test_a_run_saved_before_the_last_look(
    store: ObjectStore, registry: Registry, bucket: AgedBucket
) -> None:
    """A run that is saved after the first look at the runs is seen at the second."""
    digest = put_old(store, b"wanted again")
    reached, go_on = bucket.stop_at("write _gc")
    go_on.set()  # the first lease only asks for the time
    with ThreadPoolExecutor(1) as pool:
        collection = pool.submit(collect, store, registry)
        assert reached.wait(30)
        reached, go_on = bucket.stop_at("stat _gc")
        assert reached.wait(30)
        registry.save({"run_id": "late", "artifacts": [artifact(digest)]})
        go_on.set()
        collection.result(30)
    assert store.exists(digest)


def test_a_lease_of_a_crashed_collection_is_not_waited_for(
    store: ObjectStore, registry: Registry, bucket: AgedBucket
) -> None:
    """An old lease, by the server's clock, does not hold a put up."""
    bucket.write("_gc/crashed", b"{}")
    bucket.age("_gc/crashed", lease.LEASE.total_seconds() + 1)
    put_old(store, b"wanted again")
    began = time.monotonic()
    store.put_bytes(b"wanted again")
    assert time.monotonic() - began < 5


def test_a_lease_of_a_crashed_collection_is_waited_for_until_it_ends(
    store: ObjectStore,
    registry: Registry,
    bucket: AgedBucket,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A put waits for what is left of a lease, not for a whole one, and says so."""
    bucket.write("_gc/crashed", b"{}")
    bucket.age("_gc/crashed", lease.LEASE.total_seconds() - 3)
    monkeypatch.setattr(lease, "_SILENT_SECONDS", 0.5)
    put_old(store, b"wanted again")
    began = time.monotonic()
    store.put_bytes(b"wanted again")
    assert 1 < time.monotonic() - began < 10
    assert "waiting for a garbage collection" in caplog.text


def put_and_save(store: ObjectStore, registry: Registry) -> None:
    """What a client does: puts an object, and saves a run that refers to it."""
    digest = store.put_bytes(b"wanted again")
    registry.save({"run_id": "again", "artifacts": [artifact(digest)]})


def test_what_was_broken_off(tmp_path: Path) -> None:
    """Temporary files of processes that were killed go when they are older than the grace."""
    with create_store(tmp_path / "store") as store, create_registry(tmp_path / "runs") as registry:
        kept = store.put_bytes(b"x")
        registry.save({"run_id": "r", "ref": kept})
        broken = [tmp_path / "store/sha256/.devqubit-1.tmp", tmp_path / "runs/.devqubit-2.tmp"]
        young = tmp_path / "store/sha256/.devqubit-3.tmp"
        for path in (*broken, young):
            path.write_bytes(b"half")
        for path in broken:
            os.utime(path, (time.time() - 25 * 3600,) * 2)
        assert collect_garbage(store, registry).swept == 0
        assert collect_garbage(store, registry, dry_run=False).swept == 2
        assert [path for path in (*broken, young) if path.exists()] == [young]
        assert store.get_bytes(kept) == b"x"
