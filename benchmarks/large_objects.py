"""Large objects, from a file and into one: how long it takes and how much memory."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Final

from benchmarks._clients import Where
from benchmarks._content import write_content
from benchmarks._measure import Comparison, Figure, Skipped, Usage, interleaved
from benchmarks._servers import S3Place, s3_place
from benchmarks._setup import OURS, Contender, Setup
from benchmarks._worker import Worker, working

__all__ = ["large_objects"]

TARGET: Final = 1 / 0.9
"""Of the time: 0.9 of the throughput."""

MEMORY_TARGET: Final = 96.0
"""MB."""

_JOB: Final = "large"
_ROUNDS: Final = 3
_GIB: Final = 1024**3
# The source, the object on the server, what a server keeps of its parts, and the target.
_COPIES: Final = 4


def large_objects(setup: Setup) -> list[Comparison | Figure | Skipped]:
    """`put_file` and `get_file`, beside boto3's own with the pass that hashes the file.

    The memory is by how much the most of a process that does nothing else has grown, in
    all its rounds.
    """
    needed = _COPIES * setup.large
    if shutil.disk_usage(setup.folder).free < needed:
        reason = f"it needs {needed / _GIB:.1f} GiB of disk: set TMPDIR, or give --large-size"
        return [Skipped(_JOB, reason)]
    rivals, missing = setup.rivals()
    contenders = [OURS, *rivals]
    with s3_place(setup.endpoint, setup.folder) as place:
        found = [*_puts(setup, place, contenders), *_gets(setup, place, contenders)]
    return [*found, *(Skipped(_JOB, reason) for reason in missing)]


def _puts(
    setup: Setup, place: S3Place, contenders: Sequence[Contender]
) -> list[Comparison | Figure]:
    path = str(setup.folder / "source")

    def put(worker: Worker) -> Usage:
        write_content(path, setup.large)
        usage = worker.do("put_file", path)
        place.clear("large/")
        return usage

    return _measured(f"put_file {_size(setup, place)}", place, contenders, put)


def _gets(
    setup: Setup, place: S3Place, contenders: Sequence[Contender]
) -> list[Comparison | Figure]:
    source, target = str(setup.folder / "source"), str(setup.folder / "target")
    digest = write_content(source, setup.large)
    with working(OURS, _where(place)) as worker:
        worker.do("put_file", source)

    def get(worker: Worker) -> Usage:
        return worker.do("get_file", digest, target)

    return _measured(f"get_file {_size(setup, place)}", place, contenders, get)


def _measured(
    figure: str, place: S3Place, contenders: Sequence[Contender], work: Callable[[Worker], Usage]
) -> list[Comparison | Figure]:
    with ExitStack() as opened:
        workers = {
            contender.name: opened.enter_context(working(contender, _where(place)))
            for contender in contenders
        }
        taken = interleaved(
            {name: partial(work, worker) for name, worker in workers.items()}, _ROUNDS
        )
    memory = {name: worker.memory for name, worker in workers.items()}
    rivals = contenders[1:]
    return [
        *(_time(figure, taken, rival) for rival in rivals),
        *(_memory(figure, memory, rival) for rival in rivals),
        Figure(_JOB, f"{figure}, memory", "MB", memory[OURS.name], MEMORY_TARGET),
    ]


def _time(figure: str, taken: Mapping[str, Sequence[Usage]], rival: Contender) -> Comparison:
    return Comparison(
        job=_JOB,
        figure=f"{figure}, wall",
        unit="s",
        rival=rival.name,
        ours=tuple(usage.wall for usage in taken[OURS.name]),
        theirs=tuple(usage.wall for usage in taken[rival.name]),
        target=TARGET if rival.client == "Boto3" else None,
    )


def _memory(figure: str, memory: Mapping[str, float], rival: Contender) -> Comparison:
    return Comparison(
        job=_JOB,
        figure=f"{figure}, memory",
        unit="MB",
        rival=rival.name,
        ours=(memory[OURS.name],),
        theirs=(memory[rival.name],),
    )


def _where(place: S3Place) -> Where:
    return Where(place.endpoint, place.bucket, "large")


def _size(setup: Setup, place: S3Place) -> str:
    return f"{setup.large / _GIB:.3g} GiB on {place.server}"
