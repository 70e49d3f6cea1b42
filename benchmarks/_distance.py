"""A server far away: a relay, in a process of its own, that holds each request back."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

__all__ = ["far_away"]


@contextmanager
def far_away(endpoint: str, round_trip: float) -> Iterator[str]:
    """An endpoint that gives every request of another on after a round trip's time.

    Args:
        endpoint: The server, `http://host:port`.
        round_trip: Seconds.
    """
    target = endpoint.removeprefix("http://")
    command = [sys.executable, __file__, target, str(round_trip)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.communicate()  # it ends with its input


def main(target: str, round_trip: float) -> None:
    """Relays connections until the input ends."""
    host, port = target.split(":")
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    print(listener.getsockname()[1], flush=True)

    def serve() -> None:
        while True:
            near, _ = listener.accept()
            far = socket.create_connection((host, int(port)))
            for one, other, wait in ((near, far, round_trip), (far, near, 0.0)):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=_pass_on, args=(one, other, wait), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    sys.stdin.read()


def _pass_on(source: socket.socket, sink: socket.socket, wait: float) -> None:
    # Small requests come in one piece each, so a wait for each piece is one a request.
    with suppress(OSError):
        while data := source.recv(1 << 16):
            if wait:
                time.sleep(wait)
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
