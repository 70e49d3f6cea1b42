"""What goes over the wire: requests and bytes, which no other work of the machine blurs."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from benchmarks._clients import Where
from benchmarks._content import write_content
from benchmarks._distance import Relay, Traffic, far_away
from benchmarks._measure import Comparison, Figure, Skipped
from benchmarks._servers import EXACT, FAST, S3Place, s3_place
from benchmarks._setup import OURS, Contender, Setup
from benchmarks._worker import Worker, working
from benchmarks.listing import MANY, PAGE, fill_objects

__all__ = ["exists_many", "put_again", "read_part"]

SIZE: Final = 64 * 1024 * 1024
PART: Final = 1024 * 1024
ASKED: Final = (10, 1_000, 10_000)
EXISTS_TARGET: Final = 1.2
"""Times the fewest requests: one a key, or one a page of the list that has any of them."""

# One request a key takes the rival long enough.
_MOST_COMPARED: Final = 1_000
_MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Wire:
    """A place, and the relay through which contenders are let to it."""

    place: S3Place
    relay: Relay

    def seen(self, contender: Contender, prefix: str, work: Callable[[Worker], None]) -> Traffic:
        """What a contender's work sends and receives."""
        where = Where(self.relay.endpoint, self.place.bucket, prefix)
        with working(contender, where) as worker:
            self.relay.traffic()
            work(worker)
            return self.relay.traffic()


def put_again(setup: Setup) -> list[Comparison | Figure | Skipped]:
    """Putting a file whose bytes are there."""
    path = str(setup.folder / "content")
    write_content(path, SIZE)
    rivals, missing = setup.rivals()
    with _wire(setup, EXACT) as wire:
        with working(OURS, Where(wire.place.endpoint, wire.place.bucket, "again")) as worker:
            worker.do("put_file", path)

        def put(worker: Worker) -> None:
            worker.do("put_file", path)

        seen = {c.name: wire.seen(c, "again", put) for c in (OURS, *rivals)}
    figure, ours = f"put {SIZE // _MIB} MiB that is there", seen[OURS.name]
    return [
        *_beside("again", f"{figure}, requests", "requests", _requests(seen)),
        *_beside("again", f"{figure}, sent", "MB", {n: t.sent / _MIB for n, t in seen.items()}),
        Figure("again", f"{figure}, requests", "requests", ours.requests, 1),
        Figure("again", f"{figure}, sent", "bytes", ours.sent, 0),
        *(Skipped("again", reason) for reason in missing),
    ]


def read_part(setup: Setup) -> list[Comparison | Skipped]:
    """Reading a part in the middle of a large object."""
    path = str(setup.folder / "content")
    digest = write_content(path, SIZE)
    rivals, missing = setup.rivals()
    with _wire(setup, EXACT) as wire:
        with working(OURS, Where(wire.place.endpoint, wire.place.bucket, "seek")) as worker:
            worker.do("put_file", path)

        def read(worker: Worker) -> None:
            worker.do("read_part", digest, SIZE // 2, PART, path)

        seen = {c.name: wire.seen(c, "seek", read) for c in (OURS, *rivals)}
    figure = f"read {PART // _MIB} MiB in the middle of {SIZE // _MIB}"
    received = {name: traffic.received / _MIB for name, traffic in seen.items()}
    return [
        *_beside("seek", f"{figure}, requests", "requests", _requests(seen)),
        *_beside("seek", f"{figure}, received", "MB", received),
        *(Skipped("seek", reason) for reason in missing),
    ]


def exists_many(setup: Setup) -> list[Comparison | Figure]:
    """Asking for some of many objects, beside boto3's request for each."""
    found: list[Comparison | Figure] = []
    boto3 = setup.rivals()[0][0]
    with _wire(setup, FAST) as wire:
        there = fill_objects(wire.place, "exists", MANY)
        for number in ASKED:
            asked = random.Random(7).sample(range(MANY), number)

            def ask(worker: Worker, asked: Sequence[int] = asked) -> None:
                worker.do("exists_many", [there[index] for index in asked])

            contenders = [OURS, boto3] if number <= _MOST_COMPARED else [OURS]
            seen = _requests({c.name: wire.seen(c, "exists", ask) for c in contenders})
            fewest = min(number, len({index // PAGE for index in asked}))
            figure = f"exists_many of {number:,} of {MANY:,}, requests"
            found += _beside("exists", figure, "requests", seen)
            target = EXISTS_TARGET * fewest
            found.append(Figure("exists", figure, "requests", seen[OURS.name], target))
    return found


@contextmanager
def _wire(setup: Setup, programs: Sequence[str]) -> Iterator[_Wire]:
    with (
        s3_place(setup.endpoint, setup.folder, programs) as place,
        far_away(place.endpoint, 0.0) as relay,
    ):
        yield _Wire(place, relay)


def _requests(seen: Mapping[str, Traffic]) -> dict[str, float]:
    return {name: traffic.requests for name, traffic in seen.items()}


def _beside(job: str, figure: str, unit: str, values: Mapping[str, float]) -> list[Comparison]:
    return [
        Comparison(
            job=job,
            figure=figure,
            unit=unit,
            rival=rival,
            ours=(values[OURS.name],),
            theirs=(value,),
        )
        for rival, value in values.items()
        if rival != OURS.name
    ]
