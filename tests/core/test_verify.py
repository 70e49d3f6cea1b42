"""Verification: every kind of damage is found, named, and repaired where another store has it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from devqubit.errors import InvalidArgumentError
from devqubit.maintenance import Finding, VerifyReport, verify
from devqubit.storage import ObjectStore, Registry, create_registry, create_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ObjectStore]:
    """A store."""
    with create_store(f"file://{tmp_path}/objects?durability=fast") as store:
        yield store


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    """A registry."""
    with create_registry(f"file://{tmp_path}/runs?durability=fast") as registry:
        yield registry


def save(registry: Registry, run_id: str, *digests: str) -> None:
    """Saves a run with artifacts."""
    rest = {"kind": "k", "media_type": "text/plain", "role": "results"}
    registry.save({"run_id": run_id, "artifacts": [{"digest": d, **rest} for d in digests]})


def key_of(digest: str) -> str:
    """Where an object lies."""
    return f"sha256/{digest[7:9]}/{digest[7:]}"


def check(
    store: ObjectStore, registry: Registry, repair_from: ObjectStore | None = None
) -> tuple[VerifyReport, list[Finding]]:
    """Verifies everything."""
    found: list[Finding] = []
    return verify(store, registry, repair_from=repair_from, found=found.append), found


def test_clean(store: ObjectStore, registry: Registry) -> None:
    """All is counted: objects of every size, orphans, foreign files, runs, baselines."""
    sizes = (0, 10, 4 * 1024 * 1024, 4 * 1024 * 1024 + 1)
    digests = [store.put_bytes(bytes(size)) for size in sizes]
    orphan = store.put_bytes(b"orphan")
    store.bucket.write("sha256/readme", b"foreign")
    save(registry, "r", *digests)
    registry.set_baseline("p", "r")
    report, found = check(store, registry)
    assert found == []
    assert report.is_clean
    assert (report.objects, report.hashed, report.foreign) == (5, 5, 1)
    assert report.object_bytes == report.hashed_bytes == sum(sizes) + 6
    assert (report.orphans, report.orphan_bytes) == (1, 6)
    assert (report.runs, report.references, report.baselines) == (1, 4, 1)
    assert store.exists(orphan)


def test_every_kind_of_problem(store: ObjectStore, registry: Registry) -> None:
    """Damage, absence, unreadable runs and baselines without a run are told apart."""
    flipped = store.put_bytes(b"flipped")
    large = store.put_bytes(bytes(9 * 1024 * 1024))
    gone = store.put_bytes(b"gone")
    save(registry, "r", flipped, large, gone)
    store.bucket.write(key_of(flipped), b"flopped")
    store.bucket.write(key_of(large), bytes(9 * 1024 * 1024 - 1) + b"1")
    store.delete(gone)
    registry.set_baseline("p", "r")
    registry.bucket.write("baselines/x.json", b"{")
    registry.bucket.write("baselines/q.json", b'{"project":"q","run_id":"no","set_at":"then"}')
    registry.bucket.write("runs/torn.json", b"{")
    report, found = check(store, registry)
    assert {(finding.kind, finding.name) for finding in found} == {
        ("damaged object", flipped),
        ("damaged object", large),
        ("missing object", gone),
        ("unreadable run", "runs/torn.json"),
        ("bad baseline", "baselines/x.json"),
        ("bad baseline", "q"),
    }
    assert report.problems["damaged object"] == 2
    assert not report.is_clean


def test_repair(store: ObjectStore, registry: Registry, tmp_path: Path) -> None:
    """What another store has is brought back; what it lacks stays a problem."""
    with create_store(f"file://{tmp_path}/backup") as backup:
        damaged, missing, lost = (store.put_bytes(data) for data in (b"damaged", b"miss", b"lost"))
        for data in (b"damaged", b"miss"):
            backup.put_bytes(data)
        save(registry, "r", damaged, missing, lost)
        store.bucket.write(key_of(damaged), b"-------")
        store.delete(missing)
        store.delete(lost)
        report, found = check(store, registry, backup)
        states = {finding.name: finding.repaired for finding in found}
        assert states == {damaged: True, missing: True, lost: False}
        assert (report.repaired, report.is_clean) == (2, False)
        assert store.get_bytes(damaged) + store.get_bytes(missing) == b"damagedmiss"
        backup.put_bytes(b"lost")
        assert check(store, registry, backup)[0].is_clean
        assert check(store, registry)[1] == []


def test_a_damaged_backup_repairs_nothing(
    store: ObjectStore, registry: Registry, tmp_path: Path
) -> None:
    """Wrong bytes are not brought back."""
    with create_store(f"file://{tmp_path}/backup") as backup:
        digest = store.put_bytes(b"right")
        backup.bucket.write(key_of(digest), b"wrong")
        store.bucket.write(key_of(digest), b"brong")
        assert [finding.repaired for finding in check(store, registry, backup)[1]] == [False]
        assert store.bucket.read(key_of(digest)).data == b"brong"


def test_parts_are_all(store: ObjectStore, registry: Registry) -> None:
    """Four samples of a quarter hash every object once, and each can be repeated."""
    for number in range(100):
        store.put_bytes(b"%d" % number)
    hashed = [verify(store, registry, sample=0.25, part=part).hashed for part in range(4)]
    assert sum(hashed) == 100
    assert min(hashed) > 5
    assert verify(store, registry, sample=0.25, part=1).hashed == hashed[1]


def test_since(store: ObjectStore, registry: Registry, tmp_path: Path) -> None:
    """Only what was written since then is hashed; references are looked up all the same."""
    old = store.put_bytes(b"old")
    os.utime(tmp_path / "objects" / key_of(old), (1, 1))
    store.put_bytes(b"new")
    report = verify(store, registry, since=datetime.now(UTC) - timedelta(hours=1))
    assert (report.objects, report.hashed) == (2, 1)


@pytest.mark.parametrize("sample", [0.0, -1.0, 1.5])
def test_no_share(store: ObjectStore, registry: Registry, sample: float) -> None:
    """What is no share is an error."""
    with pytest.raises(InvalidArgumentError):
        verify(store, registry, sample=sample)
