"""Many small objects at once, on a server nearby and on one far away."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import Final

from benchmarks._clients import Where
from benchmarks._distance import Relay, far_away
from benchmarks._measure import Comparison, Skipped, Usage, interleaved
from benchmarks._servers import s3_place
from benchmarks._setup import OURS, Contender, Setup
from benchmarks._worker import Worker, working

__all__ = ["bulk"]

OBJECTS: Final = 2_000
SIZE: Final = 4096
ROUND_TRIP: Final = 0.02
TARGET: Final = 1 / 0.95
"""Of the time: 0.95 of the throughput."""

_JOB: Final = "bulk"
_ROUNDS: Final = 4
# It does one at a time: all of them would take it a minute each round.
_ENGINE_OBJECTS: Final = 100
# The one with a target, and the practical limit.
_NEAR: Final = ("Boto3", "Obstore")
_COUNTED: Final = 100
_LEAN: Final = Contender("boto3 without CRC32", "LeanBoto3")
_MEASURES: Final[Mapping[str, Callable[[Usage], float]]] = {
    "wall": lambda usage: usage.wall,
    "CPU": lambda usage: usage.cpu,
}


def bulk(setup: Setup) -> list[Comparison | Skipped]:
    """`put_many` and `get_many`, beside a pool of threads of boto3's calls, as many at once.

    Each figure is per object, of those that are put or got at once. From afar, boto3 is
    slower at putting also because it asks for leave to send each body; near, that is free.
    """
    rivals, missing = setup.rivals()
    near = [OURS, *(rival for rival in rivals if rival.client in _NEAR)]
    far = [OURS, *rivals, _LEAN]
    with (
        s3_place(setup.endpoint, setup.folder) as place,
        far_away(place.endpoint, ROUND_TRIP) as relay,
    ):
        objects = f"{SIZE // 1024} KiB on {place.server}"
        with _workers(near, Where(place.endpoint, place.bucket, "near")) as workers:
            found = _compared(objects, workers)
        with _workers(far, Where(relay.endpoint, place.bucket, "far")) as workers:
            found += _compared(f"{objects} at {ROUND_TRIP * 1e3:.0f} ms", workers)
            found += _requests(objects, workers, relay)
    return [*found, *(Skipped(_JOB, reason) for reason in missing)]


@contextmanager
def _workers(contenders: Sequence[Contender], where: Where) -> Iterator[dict[Contender, Worker]]:
    """Workers that each have a prefix of their own."""
    with ExitStack() as opened:
        yield {
            contender: opened.enter_context(
                working(contender, replace(where, prefix=f"{where.prefix}/{contender.client}"))
            )
            for contender in contenders
        }


def _compared(objects: str, workers: Mapping[Contender, Worker]) -> list[Comparison]:
    puts = interleaved({c.name: _put(c, worker) for c, worker in workers.items()}, _ROUNDS)
    gets = interleaved({c.name: _get(worker) for c, worker in workers.items()}, _ROUNDS)
    return [
        Comparison(
            job=_JOB,
            figure=f"{verb} {objects}, {measure}",
            unit="s",
            rival=rival.name,
            ours=tuple(map(seconds, taken[OURS.name])),
            theirs=tuple(map(seconds, taken[rival.name])),
            target=TARGET if (rival.client, measure) == ("Boto3", "wall") else None,
        )
        for measure, seconds in _MEASURES.items()
        for verb, taken in (("put_many", puts), ("get_many", gets))
        for rival in workers
        if rival != OURS
    ]


def _put(contender: Contender, worker: Worker) -> Callable[[], Usage]:
    number = _ENGINE_OBJECTS if contender.client == "Engine" else OBJECTS
    return partial(worker.do, "put_many", number, SIZE)


def _get(worker: Worker) -> Callable[[], Usage]:
    return partial(worker.do, "get_many")


def _requests(objects: str, workers: Mapping[Contender, Worker], relay: Relay) -> list[Comparison]:
    """Requests an object, which no clock blurs, beside boto3's."""
    sent: dict[str, list[float]] = {"put_many": [], "get_many": []}
    ours, boto3 = list(workers)[:2]
    for contender in (ours, boto3):
        relay.traffic()
        workers[contender].do("put_many", _COUNTED, SIZE)
        sent["put_many"].append(relay.traffic().requests / _COUNTED)
        workers[contender].do("get_many")
        sent["get_many"].append(relay.traffic().requests / _COUNTED)
    return [
        Comparison(
            job=_JOB,
            figure=f"{verb} {objects}, requests",
            unit="requests",
            rival=boto3.name,
            ours=(our_number,),
            theirs=(their_number,),
            target=1.0,
        )
        for verb, (our_number, their_number) in sent.items()
    ]
