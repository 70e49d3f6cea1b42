"""S3: how many requests bulk calls take."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from devqubit.errors import AccessDeniedError
from devqubit.storage import ObjectStore, create_store
from tests.servers.relay import Answer, Relay, Rule

STORED = 1_200
PAGE = 1_000


def digest_of(number: int) -> str:
    """The digest of one of the objects; those from `STORED` on are not there."""
    return "sha256:" + hashlib.sha256(str(number).encode()).hexdigest()


@pytest.fixture(scope="module")
def full_bucket(s3_endpoint: str) -> str:
    """A bucket with many objects."""
    import boto3

    name = "bulk-requests"
    client = boto3.client("s3", endpoint_url=s3_endpoint, region_name="us-east-1")
    client.create_bucket(Bucket=name)
    with create_store(f"s3://{name}/x?endpoint_url={s3_endpoint}&region=us-east-1") as store:
        for _ in store.put_many(str(number).encode() for number in range(STORED)):
            pass
    return name


@pytest.fixture
def full(relay: Relay, full_bucket: str) -> Iterator[ObjectStore]:
    """The store with many objects; nothing is counted yet."""
    url = f"s3://{full_bucket}/x?endpoint_url={relay.endpoint}&region=us-east-1"
    with create_store(url) as store:
        store.exists(digest_of(STORED))  # whether the bucket is there is asked once
        relay.clear()
        yield store


@pytest.fixture
def store(relay: Relay, s3_url: str) -> Iterator[ObjectStore]:
    """An empty store; nothing is counted yet."""
    with create_store(s3_url) as store:
        store.exists(digest_of(0))
        relay.clear()
        yield store


def methods(relay: Relay) -> Counter[str]:
    """How many requests of each method there were."""
    return Counter(request.method for request in relay.requests)


def pages_of_folders(digests: Sequence[str]) -> int:
    """Pages of a list of each of the 256 folders that have one of the digests."""
    stored = Counter(digest_of(number)[7:9] for number in range(STORED))
    return sum(max(1, math.ceil(stored[f] / PAGE)) for f in {d[7:9] for d in digests})


@pytest.mark.parametrize("call", ["exists_many", "get_sizes"])
@pytest.mark.parametrize("count", [1, 10, 60, 100, 200, 500, STORED, 2 * STORED])
def test_looking_for_many(relay: Relay, full: ObjectStore, call: str, count: int) -> None:
    """Many are looked for in as few requests as asking or listing takes, whichever is less."""
    digests = [digest_of(number) for number in range(0, 2 * STORED, 2 * STORED // count)][:count]
    found = [value for _, value in getattr(full, call)(digests)]
    assert [isinstance(value, int) and value is not False for value in found] == [
        number < STORED for number in range(0, 2 * STORED, 2 * STORED // count)
    ][:count]
    assert len(relay.requests) <= 1.2 * min(count, pages_of_folders(digests))


def test_many_in_one_folder(relay: Relay, full: ObjectStore) -> None:
    """Objects that lie together are one page, however few they are."""
    stored = sorted(digest_of(number) for number in range(STORED))
    assert all(dict(full.exists_many(stored[100:104])).values())
    assert len(relay.requests) <= 1.2 * pages_of_folders(stored[100:104])


def test_looking_in_an_empty_store(relay: Relay, store: ObjectStore) -> None:
    """That nothing is there is one request."""
    digests = [digest_of(number) for number in range(500)]
    assert set(dict(store.exists_many(digests)).values()) == {False}
    assert methods(relay) == {"GET": 1}


def test_looking_without_leave_to_list(relay: Relay, full: ObjectStore, refuse: Any) -> None:
    """Who may read, but not list, is answered by asking for each."""
    refuse(403, "AccessDenied", target="list-type=2")
    digests = [digest_of(number) for number in range(200)]
    assert set(dict(full.exists_many(digests)).values()) == {True}
    assert methods(relay) == {"GET": 1, "HEAD": 200}


def test_putting_many_new_ones(relay: Relay, store: ObjectStore) -> None:
    """New small objects are a request each."""
    assert len(list(store.put_many(b"%d" % number for number in range(50)))) == 50
    assert methods(relay) == {"PUT": 50}


def test_putting_many_known_ones(relay: Relay, full: ObjectStore) -> None:
    """Known small objects are two requests each, and none is stored again."""
    bodies = [str(number).encode() for number in range(50)]
    assert list(full.put_many(bodies)) == [digest_of(number) for number in range(50)]
    assert methods(relay) == {"PUT": 50, "HEAD": 50}
    assert {r.status for r in relay.requests if r.method == "PUT"} == {412}


def test_getting_many(relay: Relay, full: ObjectStore) -> None:
    """Reading is a request each."""
    digests = [digest_of(number) for number in range(50)]
    assert [data for _, data in full.get_many(digests)] == [b"%d" % n for n in range(50)]
    assert methods(relay) == {"GET": 50}


@pytest.mark.parametrize(("count", "requests"), [(1, 1), (1_000, 1), (1_001, 2)])
def test_deleting_many(relay: Relay, store: ObjectStore, count: int, requests: int) -> None:
    """A thousand are deleted with one request."""
    digests = [digest_of(number) for number in range(count)]
    assert [error for _, error in store.delete_many(digests)] == [None] * count
    assert methods(relay) == {"POST": requests}


def test_deleting_many_is_refused(relay: Relay, full: ObjectStore) -> None:
    """An error of one request is that of each of its objects."""
    body = b"<Error><Code>AccessDenied</Code><Message>No.</Message></Error>"
    relay.add(Rule(method="POST", turns={2}), Answer(403, body))
    digests = [digest_of(STORED + number) for number in range(1_500)]
    errors = Counter(type(error) for _, error in full.delete_many(digests))
    assert errors in (
        {type(None): 1_000, AccessDeniedError: 500},
        {type(None): 500, AccessDeniedError: 1_000},
    )


def test_listing_a_prefix(relay: Relay, full: ObjectStore) -> None:
    """Only the digests of the prefix are asked for."""
    prefix = digest_of(0)[:10]
    expected = sorted(d for d in map(digest_of, range(STORED)) if d.startswith(prefix))
    assert list(full.list_digests(prefix)) == expected
    assert [r.target.partition("prefix=")[2].partition("&")[0] for r in relay.requests] == [
        f"x%2Fsha256%2F{prefix[7:9]}%2F{prefix[7:]}"
    ]


def test_listing_as_needed(relay: Relay, full: ObjectStore) -> None:
    """A page is asked for when it is needed, and no more than the pages that there are."""
    listed = full.list_digests()
    assert len(relay.requests) == 0
    next(listed)
    assert len(relay.requests) == 1
    assert len(list(listed)) == STORED - 1
    assert len(relay.requests) == math.ceil(STORED / PAGE)


def test_listing_nothing(relay: Relay, store: ObjectStore) -> None:
    """That nothing is there is one request."""
    assert list(store.list_digests()) == []
    assert len(relay.requests) == 1
