"""A server far away: a relay, in a process of its own, that holds requests back and counts them.

It imports the standard library only, and runs as a program.
"""

from __future__ import annotations

import io
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field

__all__ = ["Relay", "Traffic", "far_away"]

_PIECE = 1 << 16


@dataclass(slots=True)
class Traffic:
    """What went through a relay.

    Attributes:
        methods: How many requests of each HTTP method.
        sent: Bytes of the requests' bodies.
        received: Bytes of the answers, with their heads.
    """

    methods: dict[str, int] = field(default_factory=dict)
    sent: int = 0
    received: int = 0

    @property
    def requests(self) -> int:
        """How many requests."""
        return sum(self.methods.values())


@dataclass(frozen=True, slots=True)
class Relay:
    """A relay that runs.

    Attributes:
        endpoint: Its URL, to be used in place of the server's.
    """

    endpoint: str
    _process: subprocess.Popen[str]

    def traffic(self) -> Traffic:
        """What went through since the last time that this was asked."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return Traffic(**json.loads(self._process.stdout.readline()))


@contextmanager
def far_away(endpoint: str, round_trip: float) -> Iterator[Relay]:
    """A relay that gives every request to a server on after a round trip's time.

    Args:
        endpoint: The server, `http://host:port`.
        round_trip: Seconds; 0 only counts.

    Raises:
        RuntimeError: The server speaks TLS, into which nothing can look.
    """
    if not endpoint.startswith("http://"):
        raise RuntimeError(f"{endpoint} cannot be relayed: give an endpoint of http://")
    target = endpoint.removeprefix("http://").rstrip("/")
    command = [sys.executable, __file__, target, str(round_trip)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield Relay(f"http://127.0.0.1:{int(process.stdout.readline())}", process)
    finally:
        process.communicate()  # it ends with its input


class _Counter:
    """The traffic of all connections."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._traffic = Traffic()

    def request(self, method: str) -> None:
        with self._lock:
            self._traffic.methods[method] = self._traffic.methods.get(method, 0) + 1

    def sent(self, size: int) -> None:
        with self._lock:
            self._traffic.sent += size

    def received(self, size: int) -> None:
        with self._lock:
            self._traffic.received += size

    def take(self) -> Traffic:
        with self._lock:
            taken, self._traffic = self._traffic, Traffic()
            return taken


def main(target: str, round_trip: float) -> None:
    """Relays connections until the input ends, and tells the traffic for each line of it."""
    host, _, port = target.partition(":")
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    print(listener.getsockname()[1], flush=True)
    counter = _Counter()

    def serve() -> None:
        while True:
            near, _ = listener.accept()
            far = socket.create_connection((host, int(port or 80)))
            for one in (near, far):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            there = (near, far, round_trip, counter)
            threading.Thread(target=_requests, args=there, daemon=True).start()
            threading.Thread(target=_answers, args=(far, near, counter), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    for _ in sys.stdin:
        print(json.dumps(asdict(counter.take())), flush=True)


def _requests(near: socket.socket, far: socket.socket, wait: float, counter: _Counter) -> None:
    with suppress(OSError), near.makefile("rb") as source:
        while head := _head(source):
            counter.request(head[0].split(b" ", 1)[0].decode("ascii"))
            time.sleep(wait)
            far.sendall(b"".join(head))
            fields = _fields(head)
            asked = fields.get(b"expect") == b"100-continue"
            for number, piece in enumerate(_body(source, fields)):
                if asked and number == 0:
                    time.sleep(wait)  # leave to send the body came from as far
                counter.sent(len(piece))
                far.sendall(piece)
    with suppress(OSError):
        far.shutdown(socket.SHUT_WR)


def _answers(far: socket.socket, near: socket.socket, counter: _Counter) -> None:
    with suppress(OSError):
        while data := far.recv(_PIECE):
            counter.received(len(data))
            near.sendall(data)
    with suppress(OSError):
        near.shutdown(socket.SHUT_WR)


def _head(source: io.BufferedReader) -> list[bytes]:
    """The lines of a request up to its body; none at the connection's end."""
    lines: list[bytes] = []
    while line := source.readline():
        lines.append(line)
        if line == b"\r\n":
            return lines
    return []


def _fields(head: list[bytes]) -> dict[bytes, bytes]:
    pairs = (line.partition(b":") for line in head[1:-1])
    return {name.lower(): value.strip().lower() for name, _, value in pairs}


def _body(source: io.BufferedReader, fields: dict[bytes, bytes]) -> Iterator[bytes]:
    """The pieces of a request's body, as they are to be given on."""
    if fields.get(b"transfer-encoding") != b"chunked":
        yield from _exactly(source, int(fields.get(b"content-length", b"0")))
        return
    while line := source.readline():
        yield line
        size = int(line.split(b";", 1)[0], 16)
        yield from _exactly(source, size + len(b"\r\n"))
        if size == 0:
            return


def _exactly(source: io.BufferedReader, size: int) -> Iterator[bytes]:
    while size > 0 and (piece := source.read1(min(size, _PIECE))):
        size -= len(piece)
        yield piece


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
