"""Listing objects."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import Final

from benchmarks._clients import Where
from benchmarks._measure import ROUNDS, Comparison, Skipped, interleaved
from benchmarks._servers import S3Place, fill, s3_place
from benchmarks._setup import OURS, Contender, Setup
from benchmarks._worker import working
from devqubit.storage._digest import digest_of, object_key

__all__ = ["fill_objects", "list_objects"]

TARGET: Final = 0.5
"""Of the CPU of boto3's paginator, for one page."""

PAGE: Final = 1_000
MANY: Final = 10_000

_JOB: Final = "list"
_ROUNDS: Final = 5


def list_objects(setup: Setup) -> list[Comparison | Skipped]:
    """The CPU of listing one page of keys, and the time of listing many."""
    rivals, missing = setup.rivals()
    contenders = [OURS, *rivals]
    with s3_place(setup.endpoint, setup.folder) as place:
        found = [
            *_compared(place, PAGE, contenders, ROUNDS),
            *_compared(place, MANY, contenders, _ROUNDS),
        ]
    return [*found, *(Skipped(_JOB, reason) for reason in missing)]


def fill_objects(place: S3Place, prefix: str, number: int) -> list[str]:
    """Makes objects of this project's under a prefix, and returns their digests, in order."""
    bodies = [str(index).encode() for index in range(number)]
    fill(place, prefix, ((object_key(digest_of(body)), body) for body in bodies))
    return sorted(map(digest_of, bodies))


def _compared(
    place: S3Place, number: int, contenders: list[Contender], rounds: int
) -> list[Comparison]:
    where = Where(place.endpoint, place.bucket, f"list{number}")
    fill_objects(place, where.prefix, number)
    with ExitStack() as opened:
        taken = interleaved(
            {
                contender.name: partial(
                    opened.enter_context(working(contender, where)).do, "list", number
                )
                for contender in contenders
            },
            rounds,
        )
    return [
        Comparison(
            job=_JOB,
            figure=f"list {number:,} on {place.server}, {figure}",
            unit="s",
            rival=rival.name,
            ours=tuple(getattr(usage, field) for usage in taken[OURS.name]),
            theirs=tuple(getattr(usage, field) for usage in taken[rival.name]),
            target=TARGET if (rival.client, figure, number) == ("Boto3", "CPU", PAGE) else None,
        )
        for figure, field in (("CPU", "cpu"), ("wall", "wall"))
        for rival in contenders[1:]
    ]
