"""Ceph: credentials and rights, which it checks as AWS does, and where it is not like AWS."""

from __future__ import annotations

import io
import os
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import pytest

from devqubit.errors import (
    AccessDeniedError,
    ConflictError,
    CredentialsError,
    StorageError,
    StorageFullError,
)
from devqubit.maintenance import diagnose, open_place, verify
from devqubit.plugin import ABSENT, Blob, Bucket, open_bucket
from tests.real_servers.ceph import Ceph

MIB = 1024 * 1024
SECRET = "a-secret-that-nobody-should-see"

CALLS: dict[str, Callable[[Bucket], object]] = {
    "list": lambda bucket: list(bucket.list()),
    "read": lambda bucket: bucket.read("k"),
    "stat": lambda bucket: bucket.stat("k"),
    "write": lambda bucket: bucket.write("k", b"2"),
    "create": lambda bucket: bucket.write("new", b"2", if_version=ABSENT),
    "upload": lambda bucket: bucket.upload("k", io.BytesIO(bytes(9 * MIB)), 9 * MIB),
    "delete": lambda bucket: bucket.delete("k"),
}


@pytest.fixture(scope="session")
def s3_endpoint(ceph_cluster: Ceph) -> str:
    """The address of the gateway."""
    return ceph_cluster.endpoint


@pytest.fixture
def bucket(url: str) -> Iterator[Bucket]:
    """A place of the user `testing`, with the blob `k`."""
    bucket = open_bucket(url)
    bucket.write("k", b"1")
    yield bucket
    bucket.close()


@pytest.fixture
def stranger(ceph_cluster: Ceph) -> str:
    """The access key of a user without rights on other users' buckets, with our secret."""
    name = f"stranger-{uuid.uuid4().hex}"
    ceph_cluster.add_user(name, name, SECRET)
    return name


def refused(
    monkeypatch: pytest.MonkeyPatch, url: str, call: str, access_key: str, secret: str
) -> StorageError:
    """What a call raises with other credentials."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    other = open_bucket(url)
    with pytest.raises(StorageError) as caught:
        CALLS[call](other)
    other.close()
    assert SECRET not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.usefixtures("bucket")
def test_wrong_access_key(monkeypatch: pytest.MonkeyPatch, url: str, call: str) -> None:
    """An access key that nobody has is said to be unknown, by every call."""
    error = refused(monkeypatch, url, call, "nobody", SECRET)
    assert type(error) is CredentialsError
    assert "check the profile or AWS_ACCESS_KEY_ID" in str(error)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.usefixtures("bucket")
def test_wrong_secret(monkeypatch: pytest.MonkeyPatch, url: str, call: str) -> None:
    """A secret that is not that of the access key is said to be it, by every call."""
    error = refused(monkeypatch, url, call, "testing", SECRET)
    assert type(error) is CredentialsError
    assert "check the profile or AWS_SECRET_ACCESS_KEY" in str(error)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.usefixtures("bucket")
def test_no_rights(monkeypatch: pytest.MonkeyPatch, url: str, stranger: str, call: str) -> None:
    """Right credentials without rights are another error, by every call."""
    error = refused(monkeypatch, url, call, stranger, SECRET)
    assert type(error) is AccessDeniedError
    assert "ask the bucket's owner" in str(error)


@pytest.mark.usefixtures("bucket")
def test_doctor_without_rights(monkeypatch: pytest.MonkeyPatch, url: str, stranger: str) -> None:
    """The doctor says what is not allowed, and whose access key it was."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", stranger)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    other = open_bucket(url)
    checks = {check.name: check for check in diagnose(other).checks}
    other.close()
    problems = [name for name, check in checks.items() if check.status == "problem"]
    assert (problems, checks["identity"].found) == (
        ["list", "write"],
        "access key stra..., from env",
    )
    assert "ask for this permission" in checks["write"].advice


def test_quota(ceph_cluster: Ceph, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where a quota is used up, each write says so; nothing is lost, and nothing stays of it."""
    name = f"limited-{uuid.uuid4().hex}"
    ceph_cluster.add_user(name, name, SECRET)
    ceph_cluster.limit(name, 4 * MIB)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", name)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    where = {"endpoint_url": ceph_cluster.endpoint, "region_name": "us-east-1"}
    boto3.Session().client("s3", **where).create_bucket(Bucket=name)
    large = tmp_path / "large"
    large.write_bytes(os.urandom(20 * MIB))
    with open_place(f"s3://{name}/x?endpoint_url={ceph_cluster.endpoint}") as place:
        kept = place.store.put_bytes(b"kept")
        place.registry.save({"run_id": "kept", "ref": kept})
        puts: list[Callable[[], object]] = [
            lambda: place.store.put_bytes(os.urandom(5 * MIB)),
            lambda: place.store.put_file(large),
            lambda: place.registry.save({"run_id": "new", "text": "x" * 5 * MIB}),
            lambda: place.registry.update("kept", lambda run: run.update(text="x" * 5 * MIB)),
        ]
        for put in puts:
            with pytest.raises(StorageFullError, match="QuotaExceeded"):
                put()
        assert verify(place.store, place.registry).is_clean
        assert place.registry.load("kept").record == {"run_id": "kept", "ref": kept}
        assert len(list(place.store.bucket.list())) == 1
        assert place.store.bucket.sweep(datetime.now(UTC) + timedelta(days=1)) == 0


def test_replace(bucket: Bucket) -> None:
    """A version replaces what has it, though ETags are compared without their quotes here."""
    first = bucket.stat("k").version
    second = bucket.write("k", b"2", if_version=first)
    assert bucket.read("k") == Blob(b"2", second)


def test_replace_what_is_missing(bucket: Bucket) -> None:
    """A version of what is gone is a conflict with nothing, though 412 is answered, not 404."""
    version = bucket.stat("k").version
    bucket.delete("k")
    with pytest.raises(ConflictError) as caught:
        bucket.write("k", b"2", if_version=version)
    assert caught.value.actual is ABSENT


def test_large_upload(bucket: Bucket) -> None:
    """A large upload has the version that the object has, though completing it tells none."""
    data = bytes(range(256)) * (9 * MIB // 256)
    version = bucket.upload("large", io.BytesIO(data), len(data))
    assert version == bucket.stat("large").version != ""
    target = io.BytesIO()
    assert (bucket.download("large", target), target.getvalue() == data) == (version, True)
