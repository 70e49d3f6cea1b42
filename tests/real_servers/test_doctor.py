"""What the doctor finds on real servers, and that writers refuse where it says so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta

import pytest

from devqubit.errors import ConflictError, UnsupportedError
from devqubit.maintenance import Check, diagnose, prune_runs
from devqubit.plugin import Bucket, open_bucket
from devqubit.storage import create_registry

CONDITIONS = {
    "localstack": ("warning", "not honoured: deleting a version"),
    "ceph": ("ok", "creating once, replacing and deleting a version"),
    "rclone": ("problem", "not honoured: creating once, replacing a version"),
}
NOT_RIGHT = {
    "localstack": {"conditional delete", "conditions"},
    "ceph": {"conditional delete"},
    "rclone": {"conditional delete", "conditions"},
}
DELETES = {"localstack": "refused", "ceph": "passed over", "rclone": "passed over"}


@pytest.fixture
def bucket(url: str) -> Iterator[Bucket]:
    """A new, empty place on the server."""
    bucket = open_bucket(url)
    yield bucket
    bucket.close()


def found(bucket: Bucket) -> Mapping[str, Check]:
    """The doctor's checks, by name."""
    return {check.name: check for check in diagnose(bucket).checks}


def test_conditions(server: str, bucket: Bucket) -> None:
    """Conditions that the server passes over or refuses are found out."""
    check = found(bucket)["conditions"]
    assert (check.status, check.found) == CONDITIONS[server]


def test_everything_else(server: str, bucket: Bucket) -> None:
    """All but conditions is right everywhere, and nothing is left behind."""
    checks = found(bucket)
    not_right = {name for name, check in checks.items() if check.status != "ok"}
    assert not_right == NOT_RIGHT[server]
    assert checks["identity"].found == "access key test..., from env"
    assert list(bucket.list()) == []


def test_conditional_delete(server: str, bucket: Bucket) -> None:
    """What the server does with a condition on DELETE is told, also where devqubit compares."""
    assert found(bucket)["conditional delete"].found.startswith(DELETES[server])


def test_update(server: str, url: str) -> None:
    """`update` works where conditions are honoured, and refuses where they are not."""
    with create_registry(url) as registry:
        registry.save({"run_id": "a", "n": 0})
        if server == "rclone":
            with pytest.raises(UnsupportedError, match=r"devqubit doctor 's3://"):
                registry.update("a", lambda run: run.update(n=1))
            assert registry.load("a").record["n"] == 0
        else:
            assert registry.update("a", lambda run: run.update(n=1)).record["n"] == 1


def test_prune(server: str, url: str) -> None:
    """`prune` works where versions can be compared, and refuses, deleting nothing, elsewhere."""
    with create_registry(url) as registry:
        ended = {"info": {"status": "FINISHED"}, "created_at": "2020-01-01T00:00:00Z"}
        registry.save({"run_id": "a", **ended})
        if server == "localstack":
            with pytest.raises(UnsupportedError, match="501"):
                prune_runs(registry, older_than=timedelta(days=1), dry_run=False)
        else:
            report = prune_runs(registry, older_than=timedelta(days=1), dry_run=False)
            assert report.deleted == 1
        assert registry.exists("a") == (server == "localstack")


def test_stale_delete(server: str, bucket: Bucket) -> None:
    """A version that is gone deletes nothing, whatever the server makes of conditions."""
    stale = bucket.write("k", b"1")
    bucket.write("k", b"22")
    with pytest.raises(ConflictError):
        bucket.delete("k", if_version=stale)
    assert bucket.read("k").data == b"22"
