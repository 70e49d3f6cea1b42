"""A write is done, its acknowledgement lost, and built upon by others before it is sent again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from devqubit.errors import ConflictError
from devqubit.plugin import ABSENT, Bucket, open_bucket
from devqubit.storage import create_registry
from tests.servers.gcs import GCSServer
from tests.servers.relay import LoseAnswer, Relay, Reset, Rule


class Place(NamedTuple):
    """An empty place, and the relay before it."""

    relay: Relay
    url: str
    direct_url: str
    write_method: str

    def lose_answer(self, meanwhile: Callable[[], object]) -> None:
        """Loses what the next write is answered; before it comes again, `meanwhile` is called."""

        def then(_: Any) -> bool:
            meanwhile()
            return False

        self.relay.add(Rule(method=self.write_method, turns={1}), LoseAnswer())
        self.relay.add(Rule(method=self.write_method, where=then), Reset())


@pytest.fixture(params=["s3", "gs"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """A place on each backend that is reached through a network."""
    if request.param == "s3":
        endpoint = request.getfixturevalue("s3_endpoint")
        url = f"s3://{request.getfixturevalue('s3_bucket')}/x?region=us-east-1&endpoint_url="
    else:
        server: GCSServer = request.getfixturevalue("gcs_server")
        endpoint = server.endpoint
        url = f"gs://{request.getfixturevalue('gcs_bucket')}/x?anonymous=true&endpoint_url="
    method = "PUT" if request.param == "s3" else "POST"
    with Relay(endpoint) as relay:
        yield Place(relay, url + relay.endpoint, url + endpoint, method)


@pytest.fixture
def mine(place: Place) -> Bucket:
    """The bucket behind the relay."""
    return open_bucket(place.url)


@pytest.fixture
def theirs(place: Place) -> Bucket:
    """The same place for somebody else, past the relay."""
    return open_bucket(place.direct_url)


def build_upon(bucket: Bucket, times: int) -> Callable[[], None]:
    """Reads a blob and writes it with a letter more, so many times, and only the first time."""
    left = [*range(times)]

    def build() -> None:
        while left:
            left.pop()
            blob = bucket.read("k")
            bucket.write("k", blob.data + b"+", if_version=blob.version)

    return build


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("create", [True, False])
def test_is_known_again(
    place: Place, mine: Bucket, theirs: Bucket, create: bool, times: int
) -> None:
    """It was done, so it is no conflict, and what others made of it stays."""
    expected = ABSENT if create else theirs.write("k", b"old", if_version=ABSENT)
    place.lose_answer(build_upon(theirs, times))
    mine.write("k", b"mine", if_version=expected)
    assert theirs.read("k").data == b"mine" + times * b"+"


def test_its_version_is_there_no_more(place: Place, mine: Bucket, theirs: Bucket) -> None:
    """What is written for the version that it returns is refused: others were first."""
    place.lose_answer(build_upon(theirs, 1))
    version = mine.write("k", b"mine", if_version=ABSENT)
    with pytest.raises(ConflictError):
        mine.write("k", b"more", if_version=version)
    assert theirs.read("k").data == b"mine+"


def test_replaced_without_being_read_is_a_conflict(
    place: Place, mine: Bucket, theirs: Bucket
) -> None:
    """What nobody built upon, and somebody replaced, is lost: the writer hears of it."""
    version = theirs.write("k", b"old")
    place.lose_answer(lambda: theirs.write("k", b"theirs"))
    with pytest.raises(ConflictError):
        mine.write("k", b"mine", if_version=version)
    assert theirs.read("k").data == b"theirs"


def test_update_is_applied_once(place: Place) -> None:
    """An update that others have updated since counts once, and the record is read again."""
    with create_registry(place.url) as registry, create_registry(place.direct_url) as other:

        def add(record: Any) -> Any:
            return {**record, "n": record["n"] + 1}

        registry.save({"run_id": "r", "n": 0})
        for each in (registry, other):  # the first update tries what the server can
            each.update("r", lambda run: None)
        added = [lambda: other.update("r", add)]
        place.lose_answer(lambda: added and added.pop()())
        registry.update("r", add)
        assert registry.load("r").record["n"] == 2
        assert registry.refresh().changed == 1
