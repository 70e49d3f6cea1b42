"""A relay before an HTTP server, which delays, refuses, loses and spoils what it is told to.

It knows HTTP and nothing of what is said in it, so that it stands before any server.
Every message is taken in whole before it is given on.
"""

from __future__ import annotations

import contextlib
import random
import re
import socket
import socketserver
import struct
import sys
import threading
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field, replace
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

__all__ = [
    "Alter",
    "Answer",
    "CutAnswer",
    "Delay",
    "Fault",
    "FlipBit",
    "LoseAnswer",
    "Relay",
    "Request",
    "Reset",
    "Rule",
    "Silence",
    "every",
]

# These belong to one connection, not to the message.
_OF_THE_CONNECTION = {"connection", "content-length", "expect", "keep-alive", "transfer-encoding"}


@dataclass(slots=True)
class Request:
    """A request as the client sent it, and what became of it.

    Attributes:
        method: Its method.
        target: Path and query, as they were sent.
        headers: By name in lower case.
        body: The body.
        client: Port of the client's end of the connection.
        status: The status that the client was given; 0 for no answer.
        returned: Bytes of the answer's body that the client was given.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""
    client: int = 0
    status: int = 0
    returned: int = 0

    @property
    def path(self) -> str:
        """The target without its query; escapes are as they were sent."""
        return self.target.partition("?")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Which requests something happens to; one that says nothing is all of them.

    Attributes:
        method: Only those of this method.
        target: Only those whose path and query hold this regular expression.
        where: Only those for which it is true.
        turns: Which of those that are left, counted from 1: `{2}`, `range(1, 4)`, `every(3)`.
        probability: Of those, how many, at random.
        seed: Of the chance: the same one chooses the same requests.
    """

    method: str = ""
    target: str = ""
    where: Callable[[Request], bool] = lambda request: True
    turns: Container[int] = range(1, sys.maxsize)
    probability: float = 1.0
    seed: int = 0


def every(nth: int) -> range:
    """The turns of a rule for every nth request."""
    return range(nth, sys.maxsize, nth)


@dataclass(frozen=True, slots=True)
class Answer:
    """Answers in the server's place, which does not see the request.

    Attributes:
        status: The status.
        body: The body; a HEAD gets its size alone.
        headers: Headers, but for those that say how long the body is.
        cut: Close the connection after so many bytes of the body.
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None


@dataclass(frozen=True, slots=True)
class Delay:
    """Holds the request back for so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Alter:
    """Gives another request to the server than the one that came."""

    change: Callable[[Request], Request]


@dataclass(frozen=True, slots=True)
class Reset:
    """Resets the connection; the server does not see the request."""


@dataclass(frozen=True, slots=True)
class LoseAnswer:
    """Lets the server do what was asked, and resets the connection instead of saying so."""


@dataclass(frozen=True, slots=True)
class CutAnswer:
    """Closes the connection after so many bytes of the answer's body."""

    after: int


@dataclass(frozen=True, slots=True)
class FlipBit:
    """Flips the lowest bit of this byte of the answer's body, if it has so many."""

    at: int = 0


@dataclass(frozen=True, slots=True)
class Silence:
    """Takes the request and never answers; the server does not see it."""


Fault = Alter | Answer | CutAnswer | Delay | FlipBit | LoseAnswer | Reset | Silence


@dataclass(slots=True)
class _Planned:
    rule: Rule
    fault: Fault
    chance: random.Random
    seen: int = 0

    def happens_to(self, request: Request) -> bool:
        rule = self.rule
        concerned = rule.method in ("", request.method) and rule.where(request)
        if not concerned or not re.search(rule.target, request.target):
            return False
        self.seen += 1
        return self.seen in rule.turns and self.chance.random() < rule.probability


class Relay:
    """A relay on a free port of this machine. Safe in threads; stops with its `with`.

    Args:
        target: The server, such as `http://127.0.0.1:8080`.
        round_trip: Seconds that each request takes more than it does here; so do a new
            connection, and leave to send a body, which are round trips too.

    Attributes:
        endpoint: The relay's own address.
        requests: Every request so far, in the order of arrival; empty it to count anew.
        connections: How many connections there have been.
    """

    def __init__(self, target: str, *, round_trip: float = 0.0) -> None:
        self.requests: list[Request] = []
        self.connections = 0
        self._target = urlsplit(target).netloc
        self._round_trip = round_trip
        self._planned: list[_Planned] = []
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._server = _Server(self)
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"

    def add(self, rule: Rule, fault: Fault) -> None:
        """Lets something happen to some requests; of several, the first that was added."""
        with self._lock:
            self._planned.append(_Planned(rule, fault, random.Random(rule.seed)))

    def clear(self) -> None:
        """Forgets the requests so far, and lets nothing happen any more."""
        with self._lock:
            self._planned.clear()
            self.requests.clear()

    def __enter__(self) -> Relay:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._server.shutdown()
        self._server.hang_up()
        self._server.server_close()

    def connect(self) -> HTTPConnection:
        """A connection to the server, for one of a client's."""
        with self._lock:
            self.connections += 1
        self.travel()
        return HTTPConnection(self._target, timeout=60)

    def travel(self) -> None:
        """Takes the time of a round trip."""
        self._stopped.wait(self._round_trip)

    def exchange(self, request: Request, server: HTTPConnection) -> Answer | None:
        """What a request is answered; None resets the connection instead."""
        fault = self._record(request)
        self.travel()
        match fault:
            case Reset():
                return None
            case Silence():
                self._stopped.wait()
                return None
            case Answer():
                return fault
            case Delay(seconds):
                self._stopped.wait(seconds)
            case Alter(change):
                return _forward(change(request), server)
        answer = _forward(request, server)
        match fault:
            case LoseAnswer():
                return None
            case CutAnswer(after):
                return replace(answer, cut=after)
            case FlipBit(at):
                flipped = bytes(byte ^ 1 for byte in answer.body[at : at + 1])
                body = answer.body[:at] + flipped + answer.body[at + 1 :]
                return replace(answer, body=body)
        return answer

    def _record(self, request: Request) -> Fault | None:
        with self._lock:
            self.requests.append(request)
            for planned in self._planned:
                if planned.happens_to(request):
                    return planned.fault
        return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def handle(self) -> None:
        self.upstream = self.server.relay.connect()
        # One of the two sides hung up: so does the other.
        with contextlib.closing(self.upstream), contextlib.suppress(OSError, HTTPException):
            super().handle()

    def relay(self) -> None:
        request = self._request()
        answer = self.server.relay.exchange(request, self.upstream)
        if answer is None:
            self.close_connection = True
            # Closing a connection that does not linger resets it.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return
        body = b"" if request.method == "HEAD" else answer.body[: answer.cut]
        if answer.cut is not None:
            self.close_connection = True
        request.status, request.returned = answer.status, len(body)
        self.wfile.write(_head(answer) + body)

    do_DELETE = do_GET = do_HEAD = do_OPTIONS = do_PATCH = do_POST = do_PUT = relay

    def handle_expect_100(self) -> bool:
        self.server.relay.travel()
        return super().handle_expect_100()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base's name
        """Logs nothing."""

    def _request(self) -> Request:
        target = self.requestline.split()[1]
        headers = {name.lower(): value for name, value in self.headers.items()}
        if headers.get("transfer-encoding") == "chunked":
            body = b"".join(iter(self._chunk, b""))
        else:
            body = self.rfile.read(int(headers.get("content-length", 0)))
        return Request(self.command, target, headers, body, self.client_address[1])

    def _chunk(self) -> bytes:
        size = int(self.rfile.readline().partition(b";")[0], 16)
        chunk = self.rfile.read(size)
        while self.rfile.readline().strip():
            pass  # the line's end, or the lines after the last chunk
        return chunk


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # so that closing it waits for them
    request_queue_size = 128

    def __init__(self, relay: Relay) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.relay = relay
        self._open: set[Any] = set()

    def server_bind(self) -> None:
        # The base class looks its own name up, which takes seconds on some machines.
        socketserver.TCPServer.server_bind(self)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        # The base class says goodbye first, which a reset must not.
        self._open.discard(request)
        request.close()

    def hang_up(self) -> None:
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def _forward(request: Request, server: HTTPConnection) -> Answer:
    server.putrequest(request.method, request.target, skip_host=True, skip_accept_encoding=True)
    for name, value in _of_the_message(request.headers).items():
        server.putheader(name, value)
    if request.body or request.method in ("PATCH", "POST", "PUT"):
        server.putheader("Content-Length", str(len(request.body)))
    server.endheaders(request.body or None)
    with server.getresponse() as answer:
        body = answer.read()
        headers = _of_the_message(dict(answer.getheaders()))
        if request.method == "HEAD" and answer.headers["Content-Length"]:
            headers["Content-Length"] = answer.headers["Content-Length"]
        return Answer(answer.status, body, headers)


def _of_the_message(headers: Mapping[str, str]) -> dict[str, str]:
    return {n: value for n, value in headers.items() if n.lower() not in _OF_THE_CONNECTION}


def _head(answer: Answer) -> bytes:
    headers = {"Content-Length": str(len(answer.body)), **answer.headers}
    if answer.status in (204, 304):
        del headers["Content-Length"]
    lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
    return f"HTTP/1.1 {answer.status} \r\n{''.join(lines)}\r\n".encode("latin-1")
