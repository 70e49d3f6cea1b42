"""S3: how many requests each call takes, since each is a round trip and is paid for."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from devqubit.errors import BlobNotFoundError
from devqubit.plugin import Bucket
from devqubit.storage import ObjectStore, Registry, create_registry, create_store
from tests.servers.relay import Relay, Reset, Rule

DIGEST = "sha256:" + "0" * 64  # of nothing that is here
SMALL = b"small"
LARGE = bytes(1024 * 1024)
RUN = {"run_id": "r", "project": {"name": "p"}, "created_at": "2026-01-01T00:00:00Z"}


def methods(relay: Relay) -> list[str]:
    """The methods of the requests so far, in their order."""
    return [request.method for request in relay.requests]


@pytest.fixture
def store(relay: Relay, s3_url: str) -> Iterator[ObjectStore]:
    """A store with a small and a large object; nothing is counted yet."""
    with create_store(s3_url) as store:
        store.put_bytes(SMALL)
        store.put_bytes(LARGE)
        store.exists(DIGEST)  # whether the bucket is there is asked with the first that is missing
        relay.requests.clear()
        yield store


@pytest.fixture
def registry(relay: Relay, s3_url: str) -> Iterator[Registry]:
    """A registry with a run; nothing is counted yet."""
    with create_registry(s3_url) as registry:
        registry.save(RUN)
        registry.update("r", lambda run: None)  # the first one tries what the server can
        relay.requests.clear()
        yield registry


def test_opening(relay: Relay, s3_url: str) -> None:
    """Opening and closing asks for nothing, also twice."""
    for _ in range(2):
        store, registry = create_store(s3_url), create_registry(s3_url)
        for opened in (store, registry):
            opened.close()
            opened.close()
    assert (relay.requests, relay.connections) == ([], 0)


STORE_CALLS: dict[str, tuple[Callable[[ObjectStore, str], object], list[str]]] = {
    "get": (lambda store, digest: store.get_bytes(digest), ["GET"]),
    "get a missing one": (lambda store, _: store.get_bytes_or_none(DIGEST), ["GET"]),
    "put a small new one": (lambda store, _: store.put_bytes(b"new"), ["PUT"]),
    "put a small known one": (lambda store, _: store.put_bytes(SMALL), ["PUT", "HEAD"]),
    "put a large new one": (lambda store, _: store.put_bytes(LARGE + b"."), ["HEAD", "PUT"]),
    "put a large known one": (lambda store, _: store.put_bytes(LARGE), ["HEAD"]),
    "exists": (lambda store, digest: store.exists(digest), ["HEAD"]),
    "a missing one exists": (lambda store, _: store.exists(DIGEST), ["HEAD"]),
    "size": (lambda store, digest: store.get_size(digest), ["HEAD"]),
    "list": (lambda store, _: list(store.list_digests()), ["GET"]),
    "delete": (lambda store, digest: store.delete(digest), ["HEAD", "DELETE"]),
    "delete a missing one": (lambda store, _: store.delete(DIGEST), ["HEAD"]),
}


@pytest.mark.parametrize("call", STORE_CALLS)
def test_store(relay: Relay, store: ObjectStore, call: str) -> None:
    """A call of the store is these requests, and no others."""
    act, expected = STORE_CALLS[call]
    digest = store.put_bytes(SMALL)
    relay.requests.clear()
    act(store, digest)
    assert methods(relay) == expected


REGISTRY_CALLS: dict[str, tuple[Callable[[Registry], object], list[str]]] = {
    "load": (lambda registry: registry.load("r"), ["GET"]),
    "load a missing one": (lambda registry: registry.load_or_none("x"), ["GET"]),
    "save": (lambda registry: registry.save({**RUN, "run_id": "new"}), ["PUT"]),
    "save again": (lambda registry: registry.save(RUN), ["PUT"]),
    "update": (lambda registry: registry.update("r", lambda run: run), ["GET", "PUT"]),
    "exists": (lambda registry: registry.exists("r"), ["HEAD"]),
    "set a baseline": (lambda registry: registry.set_baseline("p", "r"), ["HEAD", "PUT"]),
    "get a baseline": (lambda registry: registry.get_baseline("p"), ["GET"]),
}


@pytest.mark.parametrize("call", REGISTRY_CALLS)
def test_registry(relay: Relay, registry: Registry, call: str) -> None:
    """A call of the registry is these requests, and no others."""
    act, expected = REGISTRY_CALLS[call]
    act(registry)
    assert methods(relay) == expected


def test_known_body_is_not_sent(relay: Relay, store: ObjectStore) -> None:
    """A large object that is there already costs no more than asking for it."""
    store.put_bytes(LARGE)
    assert [(r.method, len(r.body)) for r in relay.requests] == [("HEAD", 0)]


def test_bucket_is_looked_for_once(relay: Relay, s3: Bucket) -> None:
    """Whether the blob or the bucket is missing is asked when the first one is, and not again."""
    for expected in (["HEAD", "GET"], ["HEAD"]):
        relay.requests.clear()
        with pytest.raises(BlobNotFoundError):
            s3.stat("missing")
        assert methods(relay) == expected


def test_pages_as_they_are_needed(relay: Relay, s3: Bucket) -> None:
    """A list of 1,000 is one request, of more two, the second one when it is needed."""
    for _ in s3.write_many((f"k/{number:04}", b"") for number in range(1_001)):
        pass
    relay.requests.clear()
    assert len(list(s3.list("k/0"))) == 1_000
    assert len(relay.requests) == 1
    relay.requests.clear()
    keys = s3.list()
    next(keys)
    assert len(relay.requests) == 1
    assert len(list(keys)) == 1_000
    assert len(relay.requests) == 2


def test_used_after_close(s3: Bucket) -> None:
    """A bucket that was closed connects again when it is needed."""
    s3.write("k", b"1")
    s3.close()
    assert s3.read("k").data == b"1"


def test_connection_is_kept(relay: Relay, s3: Bucket) -> None:
    """Calls one after another, failed ones too, use one connection."""
    s3.write("k", b"1")
    for _ in range(3):
        s3.read("k")
        s3.read("k", start=5)
        with pytest.raises(BlobNotFoundError):
            s3.read("missing")
        with pytest.raises(BlobNotFoundError):
            s3.stat("missing")
        list(s3.list())
    assert relay.connections == 1


def test_download(relay: Relay, s3: Bucket) -> None:
    """A small blob is downloaded by one request, as its end shows that it is the end."""
    s3.write("k", b"small")
    relay.requests.clear()
    file = io.BytesIO()
    s3.download("k", file)
    assert (file.getvalue(), methods(relay)) == (b"small", ["GET"])


def test_replaced_by_a_longer_one(relay: Relay, s3: Bucket, plain_s3: Any, s3_bucket: str) -> None:
    """A range behind the end is empty only in the version that has its end before it."""
    s3.write("k", b"abc")

    def meanwhile(_: object) -> bool:
        plain_s3.put_object(Bucket=s3_bucket, Key="x/k", Body=b"0123456789")
        return False

    relay.add(Rule(method="HEAD", where=meanwhile), Reset())
    assert s3.read("k", start=5).data == b"56789"
