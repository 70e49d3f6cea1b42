"""A client in a process of its own, told what to do and saying what it took.

Run as a program, it opens a client of `_clients` and does one task for each line it reads.
So each client has its own Python, its own memory and its own CPU time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from benchmarks._clients import CLIENTS, Client, Where
from benchmarks._measure import Usage, peak_memory, usage_of
from benchmarks._setup import ROOT, Contender

__all__ = ["Worker", "working"]


@dataclass(slots=True)
class Worker:
    """A process with a client.

    Attributes:
        name: Whose.
        memory: By how much its most memory grew since it had opened its client, in MB.
    """

    name: str
    _process: subprocess.Popen[str]
    memory: float = 0.0

    def do(self, task: str, *arguments: object) -> Usage:
        """What one of the methods of `_Tasks` took.

        Raises:
            RuntimeError: It failed, and said why.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([task, *arguments]) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._said(task))
        self.memory = answer["memory"]
        return Usage(**answer["usage"])

    def ready(self) -> None:
        """Waits until it has opened its client.

        Raises:
            RuntimeError: It failed, and said why.
        """
        self._said("opening its client")

    def _said(self, task: str) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} failed at {task}: see its message above")
        return line


@contextmanager
def working(contender: Contender, where: Where) -> Iterator[Worker]:
    """A worker that lives as long as this.

    Args:
        contender: Which client, and its Python.
        where: Where its objects are.
    """
    command = [contender.python, "-m", "benchmarks._worker", contender.client]
    process = subprocess.Popen(
        [*command, where.endpoint, where.bucket, where.prefix],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:  # closes its input when done, at which it ends
        worker = Worker(contender.name, process)
        worker.ready()
        yield worker


class _Tasks:
    """What a worker can be told to do; what it reads, it compares, outside of the time."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._bodies: list[bytes] = []
        self._names: list[str] = []

    def put_many(self, number: int, size: int) -> Usage:
        self._bodies = [os.urandom(size) for _ in range(number)]

        def put() -> None:
            self._names = self._client.put_many(self._bodies)

        return usage_of(put, number)

    def get_many(self) -> Usage:
        """Gets what `put_many` put last."""
        found: list[bytes] = []
        usage = usage_of(lambda: found.extend(self._client.get_many(self._names)), len(self._names))
        _require(found == self._bodies)
        return usage

    def list(self, expected: int) -> Usage:
        found: list[str] = []
        usage = usage_of(lambda: found.extend(self._client.names()))
        _require(len(found) == expected)
        return usage

    def exists_many(self, digests: Sequence[str]) -> Usage:
        found: list[bool] = []
        usage = usage_of(lambda: found.extend(self._client.exists_many(digests)))
        _require(found == [True] * len(digests))
        return usage

    def put_file(self, path: str) -> Usage:
        return usage_of(lambda: self._client.put_file(path))

    def get_file(self, digest: str, path: str) -> Usage:
        return usage_of(lambda: self._client.get_file(digest, path))

    def read_part(self, digest: str, start: int, size: int, path: str) -> Usage:
        """Reads a part of an object that was made from a file."""
        found: list[bytes] = []
        usage = usage_of(lambda: found.append(self._client.read_part(digest, start, size)))
        with open(path, "rb") as file:
            file.seek(start)
            _require(found == [file.read(size)])
        return usage


def _require(right: bool) -> None:
    if not right:
        raise ValueError("What was read is not what was written: nothing to measure here")


def _serve(client: str, where: Where) -> None:
    tasks = _Tasks(CLIENTS[client](where))
    before = peak_memory()
    print("ready", flush=True)
    for line in sys.stdin:
        task, *arguments = json.loads(line)
        usage: Usage = getattr(tasks, task)(*arguments)
        print(json.dumps({"usage": asdict(usage), "memory": peak_memory() - before}), flush=True)


if __name__ == "__main__":
    _serve(sys.argv[1], Where(*sys.argv[2:]))
