"""Many writers of one record, and a network that loses what they are told: `nox -s reliability`.

What is short of it runs with the other tests; this is the full number, and takes minutes.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from devqubit.storage import Registry, create_registry
from devqubit.testing._races import finished, start_child
from tests.servers.gcs import GCSServer
from tests.servers.relay import LoseAnswer, Relay, Rule

pytestmark = [pytest.mark.reliability, pytest.mark.timeout(900)]

PROCESSES, THREADS, UPDATES = 4, 16, 50
SEED = 20260131


def add(registry: Registry, times: int) -> None:
    """Adds one to the field `n` of run `r`, `times` times."""
    for _ in range(times):
        registry.update("r", lambda record: {**record, "n": record["n"] + 1}, timeout=600)


def add_in_child(url: str) -> str:
    """In a child: 16 threads that add 50 times each."""
    with create_registry(url, max_staleness=None) as registry, ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda _: add(registry, UPDATES), range(THREADS)))
    return ""


@pytest.fixture(params=["file", "s3", "gs"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A registry on each backend."""
    if request.param == "file":
        return f"file://{tmp_path}/registry?durability=fast"
    if request.param == "s3":
        bucket = request.getfixturevalue("s3_bucket")
        endpoint = request.getfixturevalue("s3_endpoint")
        return f"s3://{bucket}/x?endpoint_url={endpoint}&region=us-east-1"
    server: GCSServer = request.getfixturevalue("gcs_server")
    bucket = request.getfixturevalue("gcs_bucket")
    return f"gs://{bucket}/x?endpoint_url={server.endpoint}&anonymous=true"


def test_no_update_is_lost(url: str) -> None:
    """4 processes of 16 threads that each update one record 50 times make 3,200."""
    with create_registry(url) as registry:
        registry.save({"run_id": "r", "n": 0})
        for child in [start_child(add_in_child, url) for _ in range(PROCESSES)]:
            finished(child, timeout=800)
        assert registry.load("r").record["n"] == PROCESSES * THREADS * UPDATES


@pytest.fixture(params=["s3", "gs"])
def lossy_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A registry behind a relay that loses the answer to a tenth of all writes."""
    if request.param == "s3":
        endpoint = request.getfixturevalue("s3_endpoint")
        bucket = request.getfixturevalue("s3_bucket")
        scheme, rest = "s3", "region=us-east-1"
    else:
        server: GCSServer = request.getfixturevalue("gcs_server")
        endpoint, bucket = server.endpoint, request.getfixturevalue("gcs_bucket")
        scheme, rest = "gs", "anonymous=true"
    with Relay(endpoint) as relay:
        relay.add(
            Rule(where=lambda r: r.method in ("PUT", "POST"), probability=0.1, seed=SEED),
            LoseAnswer(),
        )
        yield f"{scheme}://{bucket}/x?endpoint_url={relay.endpoint}&{rest}"


def test_lost_acknowledgements_lose_nothing(lossy_url: str) -> None:
    """With a tenth of the acknowledgements lost, 400 updates of 4 clients count 400.

    One that took its own write for somebody else's would count more, and a lost one less.
    """
    clients = [create_registry(lossy_url) for _ in range(4)]
    clients[0].save({"run_id": "r", "n": 0})
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda client: add(client, 100), clients))
    assert clients[0].load("r").record["n"] == 400
    for client in clients:
        client.close()
