"""Programs that serve on a free port of this machine until they are not needed any more."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["answers", "free_port", "running", "wait_until_it_listens"]

_START = 120.0
_STOP = 10.0


def free_port() -> int:
    """A port of 127.0.0.1 on which nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


def answers(port: int) -> bool:
    """Whether somebody listens on a port of 127.0.0.1."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@contextmanager
def running(
    *command: str, log: Path, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a program in the background; at the end asks it to stop, and then makes it.

    Args:
        command: The program and its arguments.
        log: The file that gets what it says; the program runs in its folder.
        env: Its environment; None gives it this one.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=log.parent, env=env
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(_STOP)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_until_it_listens(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Waits for a program to serve on a port.

    Raises:
        RuntimeError: It ended, or does not listen after two minutes; with the end of its log.
    """
    deadline = time.monotonic() + _START
    while not answers(port):
        if process.poll() is not None or time.monotonic() > deadline:
            end = log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{process.args!r} does not serve on port {port}:\n{end}")
        time.sleep(0.1)
