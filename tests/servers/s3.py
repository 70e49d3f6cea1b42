"""An S3 server for the tests: moto's, in a process of its own, one write at a time.

moto compares a condition and writes in two steps, between which another thread may write.
The service does it in one; here, a lock around each write does.
"""

from __future__ import annotations

import io
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

__all__ = ["S3Server"]

ROOT = Path(__file__).parents[2]


class S3Server:
    """A server, empty at first, on a free port of this machine."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        self.endpoint = f"http://127.0.0.1:{int(self._process.stdout.readline())}"

    def stop(self) -> None:
        """Ends the process."""
        # It ends by itself, too, when its input is closed: also if this process is killed.
        self._process.communicate()

    def __enter__(self) -> S3Server:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


def main() -> None:
    """Serves until the input ends."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    moto = DomainDispatcherApplication(create_backend_app)
    server = make_server("127.0.0.1", 0, one_write_at_a_time(moto), threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)  # noqa: T201  # that is how it is told
    sys.stdin.read()


def one_write_at_a_time(application: Callable[..., Iterable[bytes]]) -> Callable[..., Any]:
    """A WSGI application whose writes happen one after another."""
    lock = threading.Lock()

    def serialised(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            return application(environ, start_response)
        # Read before the lock is taken: a client may be slow, or never end.
        size = int(environ.get("CONTENT_LENGTH") or 0)
        environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(size))
        with lock:
            return list(application(environ, start_response))

    return serialised


if __name__ == "__main__":
    main()
