"""What one put and one get of a small object cost, beside the same done by hand."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final
from unittest import mock

from benchmarks._blocks import SIZE, Blocks, blocks_of, rival_blocks
from benchmarks._measure import ROUNDS, Comparison, Skipped, Usage, interleaved
from benchmarks._servers import S3Place, s3_place
from benchmarks._setup import Setup
from devqubit.storage import create_store

__all__ = ["file_small", "s3_small"]

TARGET: Final = 1.15
_OBJECTS: Final = f"{SIZE // 1024} KiB"
# Small blocks and many rounds: from run to run, the ratio of a client to itself then strays
# by 0.02 to 0.03; the same calls in 15 rounds gave 0.03 to 0.08.
_S3_CALLS: Final = 10
_S3_ROUNDS: Final = 60
# Files are read in microseconds: a block must be long beside the rival's waking up.
_FILE_CALLS: Final = 40
_OURS: Final = "ours"
_BY_HAND: Final = "boto3 by hand"
_LEAN: Final = "boto3 without CRC32"
_CPU: Final[Mapping[str, Callable[[Usage], float]]] = {"CPU": lambda usage: usage.cpu}
_BOTH: Final[Mapping[str, Callable[[Usage], float]]] = {**_CPU, "wall": lambda usage: usage.wall}


def s3_small(setup: Setup) -> list[Comparison | Skipped]:
    """CPU of this process for `put_bytes` and `get_bytes`, beside boto3's own calls.

    Ours hashes, sends a precondition and verifies. boto3 with its defaults sends a
    CRC32 with each body; beside it stands boto3 told not to, as this project tells it
    on servers that are not AWS.
    """
    with s3_place(setup.endpoint, setup.folder) as place, ExitStack() as opened:
        store = opened.enter_context(
            create_store(f"s3://{place.bucket}/store", endpoint_url=place.endpoint)
        )
        lean = {
            "request_checksum_calculation": "when_required",
            "response_checksum_validation": "when_required",
        }
        contenders = {
            _OURS: blocks_of(store.put_bytes, store.get_bytes, _S3_CALLS),
            _BY_HAND: _boto3(place, "by-hand", place.client()),
            _LEAN: _boto3(place, "lean", place.client(**lean)),
        }
        objects = f"{_OBJECTS} on {place.server}"
        found = _compared("s3-small", objects, contenders, _CPU, {_BY_HAND: TARGET}, _S3_ROUNDS)
        return [*found, *_requests("s3-small", objects, contenders)]


def file_small(setup: Setup) -> list[Comparison | Skipped]:
    """`put_bytes` and `get_bytes` of a local store, beside plain files; informative."""
    job = "file-small"
    missing: list[Comparison | Skipped] = []
    with ExitStack() as opened:
        store = opened.enter_context(create_store(setup.folder / "ours"))
        contenders = {
            _OURS: blocks_of(store.put_bytes, store.get_bytes, _FILE_CALLS),
            "files by hand": _plain_files(setup.folder / "by-hand"),
        }
        if setup.rival is None:
            missing.append(Skipped(job, "no devqubit-engine to compare with: give --rival-python"))
        else:
            url = f"file://{setup.folder / 'theirs'}"
            blocks = opened.enter_context(rival_blocks(setup.rival.python, url, _FILE_CALLS))
            contenders[setup.rival.name] = blocks
        return [*_compared(job, _OBJECTS, contenders, _BOTH, {}, ROUNDS), *missing]


def _compared(
    job: str,
    objects: str,
    contenders: Mapping[str, Blocks],
    figures: Mapping[str, Callable[[Usage], float]],
    targets: Mapping[str, float],
    rounds: int,
) -> list[Comparison | Skipped]:
    puts = interleaved({name: blocks.put for name, blocks in contenders.items()}, rounds)
    gets = interleaved({name: blocks.get for name, blocks in contenders.items()}, rounds)
    return [
        Comparison(
            job=job,
            figure=f"{verb} {objects}, {figure}",
            unit="s",
            rival=rival,
            ours=tuple(map(seconds, taken[_OURS])),
            theirs=tuple(map(seconds, taken[rival])),
            target=targets.get(rival),
        )
        for figure, seconds in figures.items()
        for verb, taken in (("put", puts), ("get", gets))
        for rival in contenders
        if rival != _OURS
    ]


def _requests(job: str, objects: str, contenders: Mapping[str, Blocks]) -> list[Comparison]:
    """HTTP requests an operation, which no clock blurs."""
    return [
        Comparison(
            job=job,
            figure=f"{verb} {objects}, requests",
            unit="requests",
            rival=_BY_HAND,
            ours=(_sent(getattr(contenders[_OURS], verb)),),
            theirs=(_sent(getattr(contenders[_BY_HAND], verb)),),
            target=1.0,
        )
        for verb in ("put", "get")
    ]


def _sent(block: Callable[[], Usage]) -> float:
    from botocore.httpsession import URLLib3Session

    send = URLLib3Session.send
    with mock.patch.object(URLLib3Session, "send", autospec=True, side_effect=send) as counted:
        block()
    return int(counted.call_count) / _S3_CALLS


def _boto3(place: S3Place, prefix: str, client: Any) -> Blocks:
    numbers = itertools.count()

    def put(body: bytes) -> str:
        key = f"{prefix}/{next(numbers)}"
        client.put_object(Bucket=place.bucket, Key=key, Body=body)
        return key

    def get(key: str) -> bytes:
        body: bytes = client.get_object(Bucket=place.bucket, Key=key)["Body"].read()
        return body

    return blocks_of(put, get, _S3_CALLS)


def _plain_files(folder: Path) -> Blocks:
    """Files in 256 folders, as ours are.

    In a single one they would cost half as much again, or not, depending on where the
    file system happened to put it.
    """
    numbers = itertools.count()

    def put(body: bytes) -> str:
        shard = f"{folder}/{body[:1].hex()}"
        os.makedirs(shard, exist_ok=True)
        path = f"{shard}/{next(numbers)}"
        with open(path + ".tmp", "wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        os.replace(path + ".tmp", path)
        return path

    def get(path: str) -> bytes:
        with open(path, "rb") as file:
            return file.read()

    return blocks_of(put, get, _FILE_CALLS)
