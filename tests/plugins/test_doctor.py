"""What a doctor finds: on servers that are right, and on such as are not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from devqubit.errors import UnsupportedError
from devqubit.maintenance import Check, collect_garbage, diagnose, open_place
from devqubit.plugin import BlobInfo, Bucket, open_bucket
from devqubit.storage import create_registry
from devqubit.storage._file import FileBucket
from tests.servers.gcs import GCSServer
from tests.servers.relay import Alter, Answer, Relay, Request, Rule, Silence

CONDITIONS = ("if-match", "if-none-match")


def found(bucket: Bucket) -> Mapping[str, Check]:
    """The checks, by name; nothing may be left over."""
    diagnosis = diagnose(bucket)
    bucket.close()
    return {check.name: check for check in diagnosis.checks}


def statuses(checks: Mapping[str, Check]) -> dict[str, str]:
    """The checks that are not simply all right."""
    return {name: check.status for name, check in checks.items() if check.status != "ok"}


def without_conditions(request: Request) -> Request:
    """The request as servers see it that do not know conditions."""
    headers = {name: text for name, text in request.headers.items() if name not in CONDITIONS}
    return replace(request, headers=headers)


@pytest.fixture
def s3_url(relay: Relay, s3_bucket: str) -> str:
    """A place on S3, behind the relay."""
    return f"s3://{s3_bucket}/x?endpoint_url={relay.endpoint}&region=us-east-1&max_attempts=1"


def test_file(tmp_path: Path) -> None:
    """A folder is all right, and empty afterwards."""
    bucket = open_bucket(tmp_path / "place")
    assert diagnose(bucket).healthy
    assert list(bucket.list()) == []


def test_s3(s3_url: str) -> None:
    """S3 is all right; whose key it is and versioning are told, and nothing is left."""
    bucket = open_bucket(s3_url)
    checks = found(bucket)
    assert statuses(checks) == {}
    assert checks["identity"].found == "access key test..., from env"
    assert checks["versioning"].found == "off"
    assert list(bucket.list()) == []


def test_gcs(gcs_server: GCSServer, gcs_bucket: str) -> None:
    """So is Cloud Storage."""
    bucket = open_bucket(f"gs://{gcs_bucket}/x?endpoint_url={gcs_server.endpoint}&anonymous=true")
    checks = found(bucket)
    assert statuses(checks) == {}
    assert checks["identity"].found == "anonymous"
    assert list(bucket.list()) == []


def test_conditions_passed_over(relay: Relay, s3_url: str) -> None:
    """A server that does not know conditions is found out, and is a problem."""
    relay.add(Rule(), Alter(without_conditions))
    conditions = found(open_bucket(s3_url))["conditions"]
    assert conditions.status == "problem"
    assert conditions.found == "not honoured: creating once, replacing a version"
    assert "update" in conditions.advice


@pytest.mark.parametrize("refused", ["if-none-match", "if-match"])
def test_one_condition_passed_over(relay: Relay, s3_url: str, refused: str) -> None:
    """One condition that is not known is enough."""

    def without(request: Request) -> Request:
        kept = {name: text for name, text in request.headers.items() if name != refused}
        return replace(request, headers=kept)

    relay.add(Rule(), Alter(without))
    assert found(open_bucket(s3_url))["conditions"].status == "problem"


@pytest.mark.parametrize(
    "write",
    [
        lambda registry: registry.update("a", lambda run: None),
        lambda registry: registry.save({"run_id": "a"}, if_version=registry.load("a").version),
    ],
    ids=["update", "save"],
)
def test_writers_refuse(relay: Relay, s3_url: str, write: Callable[[object], object]) -> None:
    """What rests on conditions is refused where they are passed over, and says where to look."""
    relay.add(Rule(), Alter(without_conditions))
    with create_registry(s3_url) as registry:
        registry.save({"run_id": "a"})
        with pytest.raises(UnsupportedError, match=r"devqubit doctor 's3://"):
            write(registry)
        assert registry.load("a").record == {"run_id": "a"}
        assert [info.key for info in registry.bucket.list()] == ["runs/a.json"]


def test_collections_refuse(relay: Relay, s3_url: str) -> None:
    """Objects are deleted there only if nobody else writes."""
    relay.add(Rule(), Alter(without_conditions))
    with open_place(s3_url) as place:
        digest = place.store.put_bytes(b"x")
        place.registry.save({"run_id": "a"})
        assert collect_garbage(place.store, place.registry).dry_run
        with pytest.raises(UnsupportedError, match="alone=True"):
            collect_garbage(place.store, place.registry, dry_run=False)
        assert place.store.exists(digest)
        report = collect_garbage(place.store, place.registry, dry_run=False, alone=True)
        assert (report.young, report.deleted) == (1, 0)


def test_tried_once(relay: Relay, s3_url: str) -> None:
    """A server is tried once on a machine, not by each process and not at each write."""
    requests = []
    for _ in range(2):
        with create_registry(s3_url) as registry:
            registry.save({"run_id": "a"})
            for _ in range(2):
                relay.requests.clear()
                registry.update("a", lambda run: run.update(seen=True))
                requests.append(len(relay.requests))
    assert requests[0] > 6
    assert requests[1:] == [2, 2, 2]


def test_trial_that_is_not_allowed(relay: Relay, s3_url: str) -> None:
    """Who may write runs alone still updates them."""
    relay.add(Rule(method="PUT", target="_doctor"), Answer(403, b""))
    with create_registry(s3_url) as registry:
        registry.save({"run_id": "a"})
        assert registry.update("a", lambda run: run.update(x=1)).record == {"run_id": "a", "x": 1}


def test_no_permission_to_list(relay: Relay, s3_url: str) -> None:
    """One permission that lacks is named, and the others are tried."""
    denied = b"<Error><Code>AccessDenied</Code></Error>"
    relay.add(Rule(method="GET", target="list-type"), Answer(403, denied))
    checks = found(open_bucket(s3_url))
    assert statuses(checks) == {"list": "problem", "seen at once": "problem"}
    assert "permission" in checks["list"].advice


def test_no_permission_to_write(relay: Relay, s3_url: str) -> None:
    """Without writing, most cannot be tried, and the rest is told."""
    denied = b"<Error><Code>AccessDenied</Code></Error>"
    relay.add(Rule(method="PUT"), Answer(403, denied))
    checks = found(open_bucket(s3_url))
    assert statuses(checks) == {"write": "problem", "others": "skipped"}


def test_missing_bucket(relay: Relay) -> None:
    """What cannot be reached is told, and nothing more is tried."""
    url = f"s3://no-such-bucket/x?endpoint_url={relay.endpoint}&region=us-east-1"
    checks = found(open_bucket(url))
    not_known = {"versioning": "skipped", "conditional delete": "skipped"}
    assert statuses(checks) == {**not_known, "list": "problem"}
    assert "create it" in checks["list"].advice


def test_silent_server(relay: Relay, s3_url: str) -> None:
    """A server that does not answer is a problem within the deadline."""
    relay.add(Rule(), Silence())
    checks = found(open_bucket(f"{s3_url}&timeout=1"))
    assert checks["list"].status == "problem"
    assert "network" in checks["list"].advice


class OtherClock(FileBucket):
    """Files on a machine with another time."""

    ahead = timedelta()

    def stat(self, key: str) -> BlobInfo:
        info = super().stat(key)
        return replace(info, modified=info.modified + self.ahead)


@pytest.mark.parametrize(
    ("ahead", "status"),
    [
        (0, "ok"),
        (50, "ok"),
        (120, "warning"),
        (-120, "warning"),
        (901, "problem"),
        (-901, "problem"),
    ],
)
def test_clock(tmp_path: Path, ahead: int, status: str) -> None:
    """Clocks that differ by minutes are a warning, by a quarter of an hour a problem."""
    right = open_bucket(tmp_path)
    assert isinstance(right, FileBucket)
    right.__class__ = OtherClock
    assert isinstance(right, OtherClock)
    right.ahead = timedelta(seconds=ahead)
    clock = found(right)["clock"]
    assert clock.status == status
    side = "ahead" if ahead > 0 else "behind"
    assert ahead == 0 or clock.found.endswith(side)
