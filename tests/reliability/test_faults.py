"""Networks that refuse, reset, cut and spoil, in numbers: `nox -s reliability`.

Each test prints what it counted (`-s` shows it). `FAULTS_SEED` chooses other faults.
"""

from __future__ import annotations

import io
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from devqubit.errors import IntegrityError
from devqubit.storage import ObjectStore, create_store
from tests.servers.gcs import GCSServer
from tests.servers.relay import Answer, CutAnswer, Fault, FlipBit, Relay, Request, Reset, Rule

pytestmark = [pytest.mark.reliability, pytest.mark.timeout(900)]

SEED = int(os.environ.get("FAULTS_SEED", "20261123"))
READS = int(os.environ.get("FAULTS_READS", "5000"))
WRITES = READS * 2 // 5
MOST_REQUESTS = 1.6
MIB = 1024 * 1024
PART = 8 * MIB
LARGE = 64 * MIB
RANDOM_CUTS = 50


@dataclass(frozen=True)
class Place:
    """A store behind a relay."""

    relay: Relay
    store: ObjectStore


@pytest.fixture(params=["s3", "gs"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """An empty store on each backend with a network."""
    if request.param == "s3":
        target = request.getfixturevalue("s3_endpoint")
        url = f"s3://{request.getfixturevalue('s3_bucket')}/x?region=us-east-1"
    else:
        server: GCSServer = request.getfixturevalue("gcs_server")
        target = server.endpoint
        url = f"gs://{request.getfixturevalue('gcs_bucket')}/x?anonymous=true"
    with Relay(target) as relay, create_store(f"{url}&endpoint_url={relay.endpoint}") as store:
        yield Place(relay, store)


def spoil(relay: Relay) -> None:
    """A tenth of all requests each: refused, reset, cut in their answer, a bit of it flipped."""
    faults: tuple[Fault, ...] = (Answer(503), Reset(), CutAnswer(3), FlipBit(5))
    for number, fault in enumerate(faults):
        relay.add(Rule(probability=0.1, seed=SEED + number), fault)


def test_reads_and_writes(place: Place) -> None:
    """2,000 writes and 5,000 reads: all succeed, but for what is flipped again and again."""
    spoil(place.relay)
    data = [b"object %06d of %d" % (number, SEED) for number in range(WRITES)]
    digests = [str(digest) for digest in place.store.put_many(data)]
    writes = len(place.relay.requests)
    chosen = random.Random(SEED).choices(range(WRITES), k=READS)
    found = place.store.get_many(digests[number] for number in chosen)
    flipped = 0
    for number, (_, got) in zip(chosen, found, strict=True):
        if isinstance(got, IntegrityError):
            flipped += 1
        else:
            assert got == data[number]
    requests = len(place.relay.requests)
    print(
        f"seed {SEED}: {writes / WRITES:.2f} requests a write, {(requests - writes) / READS:.2f} a "
        f"read; {flipped} of {READS} reads were flipped each time"
    )
    # Flipped twice is 1 % of what is neither refused, reset nor cut.
    assert flipped <= READS * 0.02
    assert requests <= (READS + WRITES) * MOST_REQUESTS
    place.relay.clear()
    assert [got for _, got in place.store.get_many(digests)] == data
    assert list(place.store.list_digests()) == sorted(digests)


def test_cuts(place: Place) -> None:
    """64 MiB, cut at every boundary of a part and at 50 other bytes: right, for 2 requests each."""
    block = random.Random(SEED).randbytes(MIB)
    data = b"".join(block[n:] + block[:n] for n in range(LARGE // MIB))
    digest = place.store.put_bytes(data)
    numbers = random.Random(SEED)
    cuts = [*range(PART, LARGE, PART), *(numbers.randrange(LARGE) for _ in range(RANDOM_CUTS))]
    place.relay.requests.clear()
    place.store.get_file(digest, io.BytesIO())
    whole = len(place.relay.requests)
    worst = 0
    for cut in cuts:
        place.relay.clear()
        part, within = divmod(cut, PART)
        # At a boundary, the part before ends with its last byte missing.
        part, within = (part, within) if within else (part - 1, PART - 1)
        place.relay.add(Rule(where=starts_at(part * PART), turns={1}), CutAnswer(within))
        target = io.BytesIO()
        place.store.get_file(digest, target)
        assert target.getvalue() == data, cut
        worst = max(worst, len(place.relay.requests) - whole)
    print(f"{len(cuts)} cuts, seed {SEED}: {whole} requests without, at most {worst} more with one")
    assert 1 <= worst <= 2


def test_cuts_of_an_open_file(place: Place) -> None:
    """A file that is read from beginning to end goes on after cuts, too."""
    data = random.Random(SEED).randbytes(LARGE // 16)
    digest = place.store.put_bytes(data)
    for number in range(5):
        place.relay.clear()
        rule = Rule(method="GET", probability=0.2, seed=SEED + number)
        place.relay.add(rule, CutAnswer(random.Random(SEED + number).randrange(100_000)))
        with place.store.open(digest) as file:
            assert file.read() == data


def starts_at(byte: int) -> Callable[[Request], bool]:
    """Whether a request asks for a body from a byte on."""
    start = f"bytes={byte}-"

    def asks(request: Request) -> bool:
        return request.method == "GET" and request.headers.get("range", "").startswith(start)

    return asks
