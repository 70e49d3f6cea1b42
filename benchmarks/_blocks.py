"""Blocks of small puts and gets, timed in this process or in a rival's Python.

Run as a program, it opens a store with whichever devqubit its Python has and times a
block for each line it reads, which is `put` or `get`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Final

from benchmarks._measure import Usage, timed
from benchmarks._setup import ROOT

__all__ = ["SIZE", "Blocks", "blocks_of", "rival_blocks"]

SIZE: Final = 4096
"""Bytes of an object."""


@dataclass(frozen=True, slots=True)
class Blocks:
    """What one contender does in its turn.

    Attributes:
        put: Stores new bodies.
        get: Reads the same objects each time.
    """

    put: Callable[[], Usage]
    get: Callable[[], Usage]


def blocks_of(put: Callable[[bytes], str], get: Callable[[str], bytes], calls: int) -> Blocks:
    """The blocks of a contender of this process.

    Args:
        put: Stores a body and returns the name to get it by.
        get: Returns the body of a name.
        calls: How many make a block.

    Raises:
        ValueError: What comes back is not what was put.
    """
    bodies = _bodies(calls)
    names = [put(body) for body in bodies]
    if [get(name) for name in names] != bodies:
        raise ValueError("What was read is not what was written: nothing to measure here")
    return Blocks(put=lambda: timed(put, _bodies(calls)), get=lambda: timed(get, names))


@contextmanager
def rival_blocks(python: str, url: str, calls: int) -> Iterator[Blocks]:
    """The blocks of `devqubit.storage.create_store(url)` in another Python.

    Args:
        python: An interpreter with some devqubit.
        url: A URL that it can open.
        calls: How many make a block.
    """
    process = subprocess.Popen(
        [python, "-m", "benchmarks._blocks", url, str(calls)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:  # closes its input when done, at which it ends
        yield Blocks(put=lambda: _ask(process, "put"), get=lambda: _ask(process, "get"))


def _ask(process: subprocess.Popen[str], block: str) -> Usage:
    if process.stdin is None or process.stdout is None:
        raise ValueError("The process has no pipes")
    process.stdin.write(block + "\n")
    process.stdin.flush()
    answer = process.stdout.readline()
    if not answer:
        raise RuntimeError("The rival's process ended: see its message above")
    return Usage(**json.loads(answer))


def _bodies(number: int) -> list[bytes]:
    return [os.urandom(SIZE) for _ in range(number)]


def _serve(url: str, calls: int) -> None:
    from devqubit.storage import create_store

    store = create_store(url)
    blocks = blocks_of(store.put_bytes, store.get_bytes, calls)
    for line in sys.stdin:
        usage = blocks.put() if line.strip() == "put" else blocks.get()
        print(json.dumps(asdict(usage)), flush=True)


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]))
