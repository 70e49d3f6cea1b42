"""A server that is gone for 5 seconds in the middle of a copy: `nox -s reliability`."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from devqubit.maintenance import copy, open_place
from devqubit.storage import ObjectStore
from tests.servers.gcs import GCSServer
from tests.servers.relay import Fault, Relay, Request, Reset, Rule, Silence

pytestmark = [pytest.mark.reliability, pytest.mark.timeout(300)]

OBJECTS, RUNS = 600, 300
GONE = 5.0
DEADLINE = 60.0
SEED = 20261123


class Outage:
    """From one request on, and for 5 seconds, whatever is asked gets no answer."""

    def __init__(self, after: int) -> None:
        self.affected = 0
        self._left = after
        self._until = float("inf")

    def __call__(self, request: Request) -> bool:
        self._left -= 1
        if self._left == 0:
            self._until = time.monotonic() + GONE
        gone = self._left <= 0 and time.monotonic() < self._until
        self.affected += gone
        return gone


@pytest.fixture(params=["s3", "gs"])
def server(request: pytest.FixtureRequest) -> tuple[str, str]:
    """The address of a server, and a URL there without the endpoint."""
    if request.param == "s3":
        bucket = request.getfixturevalue("s3_bucket")
        return request.getfixturevalue("s3_endpoint"), f"s3://{bucket}/x?region=us-east-1"
    gcs: GCSServer = request.getfixturevalue("gcs_server")
    return gcs.endpoint, f"gs://{request.getfixturevalue('gcs_bucket')}/x?anonymous=true"


def fill(url: str) -> list[str]:
    """A place with objects, one of them in parts, and runs that refer to them."""
    numbers = random.Random(SEED)
    with open_place(url) as place:
        digests = [place.store.put_bytes(numbers.randbytes(2_000)) for _ in range(OBJECTS)]
        digests.append(place.store.put_bytes(numbers.randbytes(20_000_000)))
        for number in range(RUNS):
            run = {"run_id": f"r{number}", "project": "p", "refs": digests[number : number + 3]}
            place.registry.save(run)
    return sorted(digests)


def read_all(store: ObjectStore, digests: list[str]) -> list[str]:
    """The digests of what can be read, each verified."""
    return [digest for digest, data in store.get_many(digests) if isinstance(data, bytes)]


@pytest.mark.parametrize("fault", [Reset(), Silence()], ids=["reset", "silent"])
@pytest.mark.parametrize("after", [300, 750])
@pytest.mark.parametrize("side", ["target", "source"])
def test_server_gone_for_5_seconds(
    tmp_path: Path, server: tuple[str, str], fault: Fault, after: int, side: str
) -> None:
    """The copy goes on by itself within the deadline of a request, and is whole."""
    endpoint, url = server
    local = f"file://{tmp_path}/local?durability=fast"
    with Relay(endpoint) as relay:
        direct, relayed = f"{url}&endpoint_url={endpoint}", f"{url}&endpoint_url={relay.endpoint}"
        digests = fill(local if side == "target" else direct)
        outage = Outage(after)
        relay.add(Rule(where=outage), fault)
        ends = (local, relayed) if side == "target" else (relayed, local)
        began = time.monotonic()
        with open_place(ends[0]) as source, open_place(ends[1]) as target:
            report = copy(source, target)
        took = time.monotonic() - began
        with open_place(local if side == "source" else direct) as target:
            assert outage.affected > 0
            assert report.problems == ()
            assert read_all(target.store, digests) == digests
            assert target.registry.count_runs() == RUNS
    assert GONE < took < GONE + DEADLINE
