"""Copies between two places: whole, once, in order, and never over what is newer."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from devqubit.errors import AccessDeniedError, InvalidArgumentError, StorageError
from devqubit.maintenance import Place, copy, open_place
from devqubit.storage import create_registry, create_store
from tests.servers.relay import Answer, Relay, Rule

MIB = 1024 * 1024
# Key order, spellings of numbers, and fields that nobody here knows.
RAW = '{"z": 1.50, "run_id": "raw", "project": {"name": "bell"}, "ü": "\\u00fc", "n": 1e3}'.encode()


def url_of(scheme: str, name: str, request: pytest.FixtureRequest) -> str:
    """The URL of an empty place on a backend."""
    if scheme == "file":
        return f"file://{request.getfixturevalue('tmp_path')}/{name}?durability=fast"
    if scheme == "s3":
        bucket, endpoint = (request.getfixturevalue(f) for f in ("s3_bucket", "s3_endpoint"))
        return f"s3://{bucket}/{name}?endpoint_url={endpoint}&region=us-east-1"
    bucket, server = (request.getfixturevalue(f) for f in ("gcs_bucket", "gcs_server"))
    return f"gs://{bucket}/{name}?endpoint_url={server.endpoint}&anonymous=true"


@pytest.fixture(params=["file-file", "file-s3", "s3-gs", "gs-s3", "s3-s3", "gs-file"])
def places(request: pytest.FixtureRequest) -> Iterator[tuple[Place, Place]]:
    """A place with something of each kind, and an empty one, on other backends."""
    source, _, target = request.param.partition("-")
    with (
        open_place(url_of(source, "source", request)) as ours,
        open_place(url_of(target, "target", request)) as theirs,
    ):
        fill(ours)
        yield ours, theirs


@pytest.fixture
def local(tmp_path: Path) -> Iterator[tuple[Place, Place]]:
    """The same in two folders."""
    with (
        open_place(f"file://{tmp_path}/source?durability=fast") as ours,
        open_place(f"file://{tmp_path}/target?durability=fast") as theirs,
    ):
        fill(ours)
        yield ours, theirs


def fill(place: Place) -> None:
    """Two projects, with objects, points and a baseline each, and an object of nobody."""
    for project in ("bell", "ghz/3"):
        small, large = (place.store.put_bytes(project.encode() * n) for n in (1, MIB // 2))
        for number in range(3):
            run = {"run_id": f"{project} {number}", "project": {"name": project}}
            place.registry.save({**run, "refs": [small, {"in": large}]})
        points = [
            {"run_id": f"{project} 0", "key": "loss", "step": n, "timestamp": "t", "value": n / 7}
            for n in range(10)
        ]
        place.registry.save_metric_points(points)
        place.registry.set_baseline(project, f"{project} 0")
    place.store.put_bytes(b"of nobody")
    place.registry.bucket.write("runs/raw.json", RAW)


def contents(place: Place) -> dict[str, bytes]:
    """All blobs of a place, objects too."""
    found = {}
    for prefix in ("runs/", "baselines/", "metrics/"):
        found.update(
            {
                i.key: place.registry.bucket.read(i.key).data
                for i in place.registry.bucket.list(prefix)
            }
        )
    found.update({digest: place.store.get_bytes(digest) for digest in place.store.list_digests()})
    return found


def versions(place: Place) -> list[Any]:
    """What changes when anything is written."""
    return [*place.registry.bucket.list(), *place.store.bucket.list()]


def damage(folder: Path, digest: str) -> None:
    """Flips a bit of a stored object."""
    digits = digest.removeprefix("sha256:")
    path = folder / "objects" / "sha256" / digits[:2] / digits
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def test_everything(places: tuple[Place, Place]) -> None:
    """The target has the same bytes under the same names, and nothing else."""
    source, target = places
    report = copy(source, target)
    assert contents(target) == contents(source)
    assert report.complete
    counts = report.objects, report.points, report.runs, report.baselines
    assert [tally.copied for tally in counts] == [5, 2, 7, 2]
    assert target.registry.load_metric_series("bell 0") == source.registry.load_metric_series(
        "bell 0"
    )


def test_second_time(places: tuple[Place, Place]) -> None:
    """Right after a copy, another one writes nothing."""
    source, target = places
    copy(source, target)
    before = versions(target)
    report = copy(source, target)
    assert versions(target) == before
    assert [t.copied + t.replaced for t in (report.objects, report.points, report.runs)] == [
        0,
        0,
        0,
    ]
    assert (report.objects.present, report.runs.present) == (5, 7)


def test_huge_file_among_segments(local: tuple[Place, Place], tmp_path: Path) -> None:
    """A file that is far too large for a segment is reported, and neither read nor copied."""
    source, target = local
    huge = tmp_path / "source" / "metrics" / "bell 0" / "huge.json"
    huge.touch()
    os.truncate(huge, 1 << 31)
    report = copy(source, target)
    assert (report.points.copied, report.points.failed, report.complete) == (2, 1, False)
    (problem,) = report.problems
    assert problem.key == "metrics/bell 0/huge.json"
    assert "2,147,483,648 bytes" in problem.reason
    assert list((tmp_path / "target").rglob("huge.json")) == []


def test_what_is_left(places: tuple[Place, Place]) -> None:
    """Begun again, it copies what is missing, and nothing else."""
    source, target = places
    copy(source, target)
    digest = next(target.store.list_digests())
    target.store.delete(digest)
    target.registry.bucket.delete("runs/bell 1.json")
    report = copy(source, target)
    assert contents(target) == contents(source)
    assert [t.copied for t in (report.objects, report.points, report.runs)] == [1, 0, 1]


def test_dry_run(places: tuple[Place, Place]) -> None:
    """It says what a copy does, and does nothing."""
    source, target = places
    planned = copy(source, target, dry_run=True)
    assert contents(target) == {}
    done = copy(source, target)
    assert (planned.objects, planned.points) == (done.objects, done.points)
    assert (planned.runs, planned.baselines) == (done.runs, done.baselines)


def test_project(places: tuple[Place, Place]) -> None:
    """A part: the project's runs, what they refer to, their points, its baseline."""
    source, target = places
    copy(source, target, project="bell")
    assert len(list(target.store.list_digests())) == 2
    keys = sorted(i.key for i in target.registry.bucket.list("runs/"))
    assert keys == ["runs/bell 0.json", "runs/bell 1.json", "runs/bell 2.json", "runs/raw.json"]
    assert [b["project"] for b in target.registry.list_baselines()] == ["bell"]
    assert len(list(target.registry.bucket.list("metrics/"))) == 1


def test_mirror(places: tuple[Place, Place]) -> None:
    """With `delete`, what only the target has is gone, whatever its kind."""
    source, target = places
    target.store.put_bytes(b"extra")
    target.registry.save({"run_id": "extra", "project": "extra"})
    target.registry.set_baseline("extra", "extra")
    point = {"run_id": "extra", "key": "k", "step": 0, "timestamp": "t", "value": 1.0}
    target.registry.save_metric_points([point])
    report = copy(source, target, delete=True)
    assert contents(target) == contents(source)
    kinds = report.objects, report.points, report.runs, report.baselines
    assert [tally.deleted for tally in kinds] == [1, 1, 1, 1]


def test_mirror_of_a_project(places: tuple[Place, Place]) -> None:
    """With a project too, other projects stay, and so do all objects."""
    source, target = places
    copy(source, target)
    extra = target.store.put_bytes(b"extra")
    for project in ("bell", "other"):
        target.registry.save({"run_id": f"{project} extra", "project": project})
    target.registry.set_baseline("other", "other extra")
    source.registry.clear_baseline("bell")
    report = copy(source, target, delete=True, project="bell")
    assert (report.runs.deleted, report.baselines.deleted, report.objects.deleted) == (1, 1, 0)
    assert target.store.exists(extra)
    assert not target.registry.exists("bell extra")
    assert target.registry.exists("other extra")
    assert [b["project"] for b in target.registry.list_baselines()] == ["ghz/3", "other"]


@pytest.mark.parametrize("project", [None, "unknown"])
def test_mirror_of_nothing(local: tuple[Place, Place], project: str | None) -> None:
    """An empty source, or a project without runs, is refused before anything is deleted."""
    full, empty = local
    source, target = (empty, full) if project is None else (full, empty)
    before = versions(target)
    with pytest.raises(InvalidArgumentError, match="mirror of it would be empty"):
        copy(source, target, delete=True, project=project)
    assert versions(target) == before


def test_newer_at_the_source(places: tuple[Place, Place]) -> None:
    """A run that ended since it was copied replaces the one that was running."""
    source, target = places
    copy(source, target)
    time.sleep(2.1)  # S3 knows whole seconds
    source.registry.update("bell 0", lambda run: {**run, "info": {"status": "FINISHED"}})
    report = copy(source, target)
    assert (report.runs.replaced, report.complete) == (1, True)
    assert target.registry.load("bell 0").status == "FINISHED"


def test_newer_at_the_target(places: tuple[Place, Place]) -> None:
    """What a colleague changed at the target is kept and reported, unless told otherwise."""
    source, target = places
    copy(source, target)
    target.registry.update("bell 0", lambda run: {**run, "note": "checked"})
    report = copy(source, target)
    assert [problem.key for problem in report.problems] == ["runs/bell 0.json"]
    assert (report.runs.conflicts, report.complete) == (1, False)
    assert target.registry.load("bell 0").record["note"] == "checked"
    assert copy(source, target, overwrite=True).runs.replaced == 1
    assert contents(target) == contents(source)


def test_damaged_object(local: tuple[Place, Place], tmp_path: Path) -> None:
    """It is reported and never copied; everything else is, the run that refers to it too."""
    source, target = local
    digest, *others = source.store.list_digests()
    damage(tmp_path / "source", digest)
    report = copy(source, target)
    assert [problem.key for problem in report.problems] == [digest]
    assert (report.objects.failed, report.objects.copied) == (1, len(others))
    assert list(target.store.list_digests()) == others
    assert report.runs.copied == 7


def test_truncated_object_at_the_target(local: tuple[Place, Place], tmp_path: Path) -> None:
    """An object of another size at the target is replaced by the whole one."""
    source, target = local
    copy(source, target)
    digest = next(source.store.list_digests())
    digits = digest.removeprefix("sha256:")
    (tmp_path / "target/objects/sha256" / digits[:2] / digits).write_bytes(b"")
    assert copy(source, target).objects.replaced == 1
    assert target.store.get_bytes(digest) == source.store.get_bytes(digest)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"run_id": "other"}', b"\xff" * 10])
def test_unreadable_run(local: tuple[Place, Place], data: bytes) -> None:
    """What is no run is reported and stays away; the others are copied."""
    source, target = local
    source.registry.bucket.write("runs/bad.json", data)
    report = copy(source, target)
    assert [problem.key for problem in report.problems] == ["runs/bad.json"]
    assert (report.runs.failed, report.runs.copied) == (1, 7)
    assert not target.registry.exists("bad")


def test_nothing_is_deleted_after_a_failure(local: tuple[Place, Place]) -> None:
    """A mirror is made only of what could be read."""
    source, target = local
    target.registry.save({"run_id": "extra"})
    source.registry.bucket.write("runs/bad.json", b"{")
    assert copy(source, target, delete=True).runs.deleted == 0
    assert target.registry.exists("extra")


def test_run_that_is_saved_meanwhile(local: tuple[Place, Place]) -> None:
    """Of a run that appears after the objects were copied, the objects come before it."""
    source, target = local
    saved: list[str] = []

    def save_one(done: int, total: int | None) -> None:
        if done == 6 and not saved:  # the five objects are there
            saved.append(source.store.put_bytes(b"late"))
            source.registry.save({"run_id": "late", "project": "bell", "ref": saved[0]})

    copy(source, target, progress=save_one)
    assert target.registry.exists("late")
    assert target.store.get_bytes(saved[0]) == b"late"


@pytest.mark.parametrize("project", [None, "bell"])
def test_object_that_is_collected_meanwhile(
    local: tuple[Place, Place], project: str | None
) -> None:
    """What was at the target, and is deleted before a run there names it, is copied after all."""
    source, target = local
    orphan = target.store.put_bytes(b"bell")  # which runs of the source name

    def collect(done: int, total: int | None) -> None:
        target.store.delete(orphan)

    assert copy(source, target, project=project, progress=collect).complete
    assert target.store.get_bytes(orphan) == b"bell"
    assert list(target.store.bucket.list("_gc/")) == []


def test_collection_that_is_under_way(local: tuple[Place, Place]) -> None:
    """A collection at the target that is about to delete is waited for."""
    source, target = local
    orphan = target.store.put_bytes(b"bell")
    bucket = target.store.bucket
    bucket.write("_gc/of a collection", b"{}")

    def collect() -> None:
        target.store.delete(orphan)
        bucket.delete("_gc/of a collection")

    timer = threading.Timer(1, collect)
    timer.start()
    assert copy(source, target).complete
    timer.join()
    assert target.store.get_bytes(orphan) == b"bell"


def test_baseline_that_is_set_meanwhile(local: tuple[Place, Place]) -> None:
    """One that is set after the runs were listed, perhaps to a later run, is left for next time."""
    source, target = local

    def set_one(done: int, total: int | None) -> None:
        if done == 5 + 2 + 7:  # all but the baselines
            source.registry.save({"run_id": "late"})
            source.registry.set_baseline("bell", "late")

    report = copy(source, target, progress=set_one)
    assert [problem.key for problem in report.problems] == ["baselines/bell.json"]
    assert copy(source, target).complete
    assert contents(target) == contents(source)


def test_order(local: tuple[Place, Place], tmp_path: Path) -> None:
    """Whenever it is broken off, what is named is there, and a second copy ends it."""
    source, target = local
    for stop in range(1, 17):
        shutil.rmtree(tmp_path / "target", ignore_errors=True)

        def interrupt(done: int, total: int | None, stop: int = stop) -> None:
            if done == stop:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt) as caught:
            copy(source, target, progress=interrupt)
        assert caught.value.__notes__[0].startswith("Copied in ")
        there = set(target.store.list_digests())
        for info in target.registry.bucket.list("runs/"):
            run = json.loads(target.registry.bucket.read(info.key).data)
            named = {ref["in"] if isinstance(ref, dict) else ref for ref in run.get("refs", [])}
            assert named <= there
            if source.registry.load_metric_series(run["run_id"]):
                assert target.registry.load_metric_series(run["run_id"])
        for baseline in target.registry.list_baselines():
            assert target.registry.exists(baseline["run_id"])
        copy(source, target)
        assert contents(target) == contents(source)


@pytest.mark.parametrize(
    ("source", "target"),
    [("a", "a"), ("a", "a/b"), ("a/b", "a"), ("a", "link"), ("a", "a/objects"), ("a/objects", "a")],
)
def test_onto_itself(tmp_path: Path, source: str, target: str) -> None:
    """One place, or one inside the other, is refused, also by way of a link."""
    (tmp_path / "a").mkdir()
    os.symlink(tmp_path / "a", tmp_path / "link")
    with open_place(f"{tmp_path}/{source}") as ours, open_place(f"{tmp_path}/{target}") as theirs:
        ours.registry.save({"run_id": "r"})
        with pytest.raises(InvalidArgumentError, match="same place"):
            copy(ours, theirs)


def test_shared_store(tmp_path: Path) -> None:
    """Two registries may share a store: then the records alone are copied."""
    with ExitStack() as stack:
        store = stack.enter_context(create_store(tmp_path / "objects"))
        registries = [stack.enter_context(create_registry(tmp_path / name)) for name in "ab"]
        source, target = (Place(store, registry) for registry in registries)
        fill(source)
        report = copy(source, target)
        assert (report.objects.present, report.runs.copied) == (5, 7)
        assert contents(target) == contents(source)


def test_large_objects_in_constant_memory(tmp_path: Path) -> None:
    """Objects of 64 MiB take no more memory than their pieces."""
    with open_place(f"{tmp_path}/a") as source, open_place(f"{tmp_path}/b") as target:
        for number in range(6):
            with (tmp_path / "large").open("wb") as file:
                file.write(bytes([number]) * MIB)
                file.truncate(64 * MIB)
            source.store.put_file(tmp_path / "large")
        tracemalloc.start()
        try:
            report = copy(source, target)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert report.objects.bytes == 6 * 64 * MIB
    assert peak < 32 * MIB


def test_requests_of_a_second_copy(s3_endpoint: str, s3_bucket: str, tmp_path: Path) -> None:
    """It lists, and reads the runs to compare them: no objects, no points, and no write."""
    with Relay(s3_endpoint) as relay, open_place(f"{tmp_path}/source") as source:
        url = f"s3://{s3_bucket}/x?endpoint_url={relay.endpoint}&region=us-east-1"
        with open_place(url) as target:
            fill(source)
            copy(source, target)
            before = len(relay.requests)
            copy(source, target)
            asked = relay.requests[before:]
    reads = [r for r in asked if "list-type" not in r.target]
    assert {r.method for r in asked} == {"GET"}
    assert len(reads) == 7 + 2
    assert len(asked) - len(reads) == 4


def test_target_that_may_not_be_written(
    local: tuple[Place, Place], s3_endpoint: str, s3_bucket: str
) -> None:
    """It ends the copy at once, with one error and what was done, not one error an item."""
    with Relay(s3_endpoint) as relay:
        relay.add(Rule(method="PUT"), Answer(403, b"<Error><Code>AccessDenied</Code></Error>"))
        url = f"s3://{s3_bucket}/x?endpoint_url={relay.endpoint}&region=us-east-1"
        with open_place(url) as target, pytest.raises(AccessDeniedError) as caught:
            copy(local[0], target)
    assert "0 objects" in caught.value.__notes__[0]


def test_source_that_cannot_be_listed(local: tuple[Place, Place], s3_endpoint: str) -> None:
    """A bucket that is not there is an error, not an empty copy."""
    url = f"s3://no-such-bucket/x?endpoint_url={s3_endpoint}&region=us-east-1"
    with create_registry(url) as registry, create_store(url) as store, pytest.raises(StorageError):
        copy(Place(store, registry), local[1])
