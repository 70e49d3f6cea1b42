"""A Cloud Storage server for the tests: real HTTP on a free port of this machine.

It speaks the JSON API as the service does, preconditions, paging and checksums
included, which no emulator in the package registries does; it asks for credentials if
told to, gives them out like Google does, and fails in the ways that networks fail.
"""

from __future__ import annotations

import contextlib
import re
import socket
import socketserver
import threading
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from tests.servers.gcs_api import StorageApi
from tests.servers.gcs_auth import Authority
from tests.servers.gcs_failures import Failure, Failures, How, refusal
from tests.servers.gcs_objects import Preconditions, StoredObject
from tests.servers.gcs_signed import is_signed, serve_signed
from tests.servers.gcs_storage import Storage
from tests.servers.gcs_wire import Request, Response

__all__ = ["Failure", "GCSServer", "How"]


class GCSServer:
    """A server, empty at first.

    Args:
        require_auth: Whether requests to the storage need a bearer token.
        tokens: Role of each token: `owner` may do everything, `denied` nothing.

    Attributes:
        requests: Verb and target of every request so far, in the order of arrival;
            clear it to count anew.
        authority: Gives out tokens, and knows the keys of service accounts.
        clock: The time by which signed links end, in UTC; another one may take its place.
    """

    def __init__(
        self, *, require_auth: bool = False, tokens: Mapping[str, str] | None = None
    ) -> None:
        self.require_auth = require_auth
        self.requests: list[tuple[str, str]] = []
        self.authority = Authority(tokens or {})
        self.clock = lambda: datetime.now(UTC)
        self._failures = Failures()
        self._stopped = threading.Event()
        self._storage = Storage()
        self._http = _Server(self)
        self._api = StorageApi(self._storage, self.endpoint, self._failures.within_batch)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)

    @property
    def endpoint(self) -> str:
        """Its address, such as `http://127.0.0.1:40123`."""
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    @property
    def connections(self) -> int:
        """How many connections there have been so far."""
        return self._http.accepted

    def start(self) -> GCSServer:
        """Starts serving."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stops serving and closes all connections."""
        self._stopped.set()
        self._http.shutdown()
        self._http.server_close()
        self._http.close_connections()
        self._thread.join()

    def __enter__(self) -> GCSServer:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def create_bucket(self, name: str) -> None:
        """Makes an empty bucket."""
        self._storage.create_bucket(name)

    def objects(self, bucket: str) -> dict[str, StoredObject]:
        """The objects of a bucket themselves: take some away, or change their `data`."""
        return self._storage.objects(bucket)

    def plant(self, bucket: str, name: str, data: bytes, **properties: Any) -> StoredObject:
        """Puts an object there as another client would, by no request."""
        return self._storage.insert(bucket, name, data, properties, Preconditions())

    def fail_next(self, times: int = 1, status: int = 503, **details: Any) -> Failure:
        """Lets the next requests to the storage fail.

        Args:
            times: How many.
            status: The status of a refusal.
            **details: Which of them and how: see `Failure`.

        Returns:
            The failure, whose `times` tells how often it is still to happen.
        """
        failure = Failure(times, status, **details)
        self._failures.plan(failure)
        return failure

    def forgive(self) -> None:
        """Lets nothing fail any more."""
        self._failures.clear()

    def answer(self, request: Request) -> tuple[How | None, Response]:
        """What becomes of a request: how it fails, if it does, and its answer."""
        self.requests.append((request.method, request.target))
        failure = self._failures.take(request)
        if failure is None:
            return None, self._execute(request)
        if failure.how == "refuse":
            return "refuse", refusal(failure, request)
        if failure.how == "hang":
            self._stopped.wait()
        if failure.how in ("close", "hang"):
            return failure.how, Response(503)
        return failure.how, self._execute(_spoilt(request, failure.how))

    def _execute(self, request: Request) -> Response:
        if is_signed(request):
            return serve_signed(request, self._storage, self.authority, self.clock)
        answer = self.authority.handle(request)
        if answer is None and self.require_auth and "upload_id=" not in request.target:
            answer = self.authority.check(request)
        return answer or self._api.handle(request)


def _spoilt(request: Request, how: How) -> Request:
    """A request as it arrives if something happens to it on the way."""
    size = len(request.body)
    if how == "damage":
        return replace(request, body=b"\xff" * size)
    content_range = re.fullmatch(r"bytes (\d+)-\d+/(.*)", request.headers.get("content-range", ""))
    if how != "keep part" or content_range is None:
        return request
    start, kept = int(content_range[1]), size // 2
    headers = {"content-range": f"bytes {start}-{start + kept - 1}/{content_range[2]}"}
    return replace(request, body=request.body[:kept], headers={**request.headers, **headers})


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, owner: GCSServer) -> None:
        self.owner = owner
        self.accepted = 0
        self._connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), _Handler)

    def server_bind(self) -> None:
        # The base class looks its own name up, which takes seconds on some machines.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self.accepted += 1
        self._connections.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def close_connections(self) -> None:
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing of clients that go away."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # An answer goes out in as few packets as it fits in, at once.
    wbufsize = -1
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, self.path, headers, self._body())
        how, response = self.server.owner.answer(request)
        if how in ("close", "forget", "hang"):
            self.close_connection = True
            return
        self._send(response, len(response.body) // 2 if how == "cut" else None)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # the base's names

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        pieces = []
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def _send(self, response: Response, cut: int | None) -> None:
        self.send_response(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        if response.status not in (204, 304):
            self.send_header("Content-Length", str(len(response.body)))
        self.end_headers()
        self.wfile.write(response.body[:cut])
        if cut is not None:
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base's name
        """Logs nothing."""
