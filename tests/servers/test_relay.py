"""The relay: each thing that it does to a request, seen by a plain client and a tiny server."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

from tests.servers.plain_http import PlainClient
from tests.servers.relay import (
    Alter,
    Answer,
    CutAnswer,
    Delay,
    FlipBit,
    LoseAnswer,
    Relay,
    Request,
    Reset,
    Rule,
    Silence,
    every,
)

ALWAYS = Rule()


class _Echo(BaseHTTPRequestHandler):
    """Answers with the request itself."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: EchoServer

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append(self.path)
        echo = f"{self.command} {self.path} {self.headers.get('X-Name', '')} ".encode() + body
        self.send_response(204 if self.path == "/nothing" else 200)
        self.send_header("X-Reply", "yes")
        if self.path == "/chunked":
            self.send_header("Transfer-Encoding", "chunked")
            echo = f"{len(echo):x}\r\n".encode() + echo + b"\r\n0\r\n\r\n"
        elif self.path != "/nothing":
            self.send_header("Content-Length", str(len(echo)))
        self.end_headers()
        if self.command != "HEAD" and self.path != "/nothing":
            self.wfile.write(echo)

    do_DELETE = do_HEAD = do_POST = do_PUT = do_GET

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base's name
        """Logs nothing."""


class EchoServer(ThreadingHTTPServer):
    """A server that gives back what it was sent; `seen` are the paths it was asked for."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Echo)
        self.seen: list[str] = []

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@pytest.fixture
def server() -> Iterator[EchoServer]:
    """The server behind the relay."""
    with EchoServer() as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def relay(server: EchoServer) -> Iterator[Relay]:
    """A relay that does nothing yet."""
    with Relay(server.endpoint) as relay:
        yield relay


@pytest.fixture
def ask(relay: Relay) -> Iterator[PlainClient]:
    """A client of the relay, with one connection."""
    client = PlainClient(relay.endpoint)
    yield client
    client.close()


def statuses(ask: PlainClient, times: int) -> list[int]:
    """The statuses of so many equal requests."""
    return [ask("GET", "/a").status for _ in range(times)]


def test_passes_on(ask: PlainClient) -> None:
    """Method, target, headers and body arrive, and status, headers and body come back."""
    answer = ask("PUT", "/a%2Fb//c?d=%20&e", b"body", X_Name="value")
    assert (answer.status, answer.headers["X-Reply"], answer.body) == (
        200,
        "yes",
        b"PUT /a%2Fb//c?d=%20&e value body",
    )


@pytest.mark.parametrize(
    ("method", "path", "status", "length", "body"),
    [
        ("HEAD", "/a", 200, "9", b""),
        ("GET", "/nothing", 204, None, b""),
        ("GET", "/chunked", 200, "14", b"GET /chunked  "),
        ("DELETE", "/a", 200, "11", b"DELETE /a  "),
    ],
)
def test_lengths(
    ask: PlainClient, method: str, path: str, status: int, length: str | None, body: bytes
) -> None:
    """An answer without a body, with the length of one, or in chunks stays what it was."""
    answer = ask(method, path)
    assert (answer.status, answer.headers["Content-Length"], answer.body) == (status, length, body)


def test_request_in_chunks(relay: Relay) -> None:
    """A request whose length is not said beforehand is passed on whole."""
    connection = http.client.HTTPConnection(urlsplit(relay.endpoint).netloc, timeout=10)
    connection.request("POST", "/a", iter([b"one", b"two"]), encode_chunked=True)
    assert connection.getresponse().read() == b"POST /a  onetwo"
    connection.close()


def test_client_that_waits_to_continue(relay: Relay) -> None:
    """A client that waits for leave to send its body gets it."""
    connection = http.client.HTTPConnection(urlsplit(relay.endpoint).netloc, timeout=10)
    connection.putrequest("PUT", "/a")
    connection.putheader("Expect", "100-continue")
    connection.putheader("Content-Length", "4")
    connection.endheaders()
    assert connection.sock.recv(100).startswith(b"HTTP/1.1 100 ")
    connection.send(b"body")
    assert connection.getresponse().read() == b"PUT /a  body"
    connection.close()


def test_connection_is_kept(relay: Relay, ask: PlainClient) -> None:
    """Requests of one connection come from one port, those of another from another."""
    statuses(ask, 3)
    other = PlainClient(relay.endpoint)
    statuses(other, 1)
    other.close()
    ports = [request.client for request in relay.requests]
    assert (len(set(ports[:3])), len(set(ports)), relay.connections) == (1, 2, 2)


def test_records(relay: Relay, ask: PlainClient) -> None:
    """Every request is recorded with its answer's status and size."""
    ask("PUT", "/a/b?c", b"body", X_Name="value")
    ask("HEAD", "/a")
    put, head = relay.requests
    assert (put.method, put.target, put.path) == ("PUT", "/a/b?c", "/a/b")
    assert (put.headers["x-name"], put.body, put.status) == ("value", b"body", 200)
    assert (put.returned, head.method, head.returned) == (len(b"PUT /a/b?c value body"), "HEAD", 0)


def test_clear(relay: Relay, ask: PlainClient) -> None:
    """After `clear` nothing happens any more, and nothing has happened."""
    relay.add(ALWAYS, Answer(503))
    assert statuses(ask, 1) == [503]
    relay.clear()
    assert relay.requests == []
    assert statuses(ask, 1) == [200]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (Rule(turns={2}), [200, 503, 200, 200, 200, 200]),
        (Rule(turns=range(1, 3)), [503, 503, 200, 200, 200, 200]),
        (Rule(turns=every(3)), [200, 200, 503, 200, 200, 503]),
        (Rule(probability=0), [200] * 6),
        (Rule(method="PUT"), [200] * 6),
        (Rule(method="GET", target="^/a$"), [503] * 6),
        (Rule(target="/b"), [200] * 6),
        (Rule(where=lambda request: request.headers["accept-encoding"] == "x"), [200] * 6),
    ],
)
def test_rules(relay: Relay, ask: PlainClient, rule: Rule, expected: list[int]) -> None:
    """A rule chooses by turn, method, target, anything else of the request, and chance."""
    relay.add(rule, Answer(503))
    assert statuses(ask, 6) == expected


def test_only_those_that_match_take_turns(relay: Relay, ask: PlainClient) -> None:
    """The turns of a rule are those of its own requests, not of all."""
    relay.add(Rule(method="PUT", turns={2}), Answer(503))
    methods = ["GET", "PUT", "GET", "PUT", "PUT"]
    assert [ask(method, "/a").status for method in methods] == [200, 200, 200, 503, 200]


def test_first_rule_wins(relay: Relay, ask: PlainClient) -> None:
    """Of the rules that fit a request, the one added first counts, while it has a turn."""
    relay.add(Rule(turns={1}), Answer(500))
    relay.add(ALWAYS, Answer(503))
    assert statuses(ask, 3) == [500, 503, 503]


def test_chance_can_be_repeated(server: EchoServer) -> None:
    """A seed chooses the same requests each time, about as many as it should."""
    outcomes = []
    for _ in range(2):
        with Relay(server.endpoint) as relay:
            relay.add(Rule(probability=0.3, seed=7), Answer(503))
            client = PlainClient(relay.endpoint)
            outcomes.append(statuses(client, 60))
            client.close()
    assert outcomes[0] == outcomes[1]
    assert 8 <= outcomes[0].count(503) <= 28


def test_answer(relay: Relay, ask: PlainClient, server: EchoServer) -> None:
    """An answer in the server's place has its status, body and headers."""
    relay.add(ALWAYS, Answer(429, b"slowly", {"Retry-After": "1"}))
    answer = ask("PUT", "/a", b"body")
    assert (answer.status, answer.body, answer.headers["Retry-After"]) == (429, b"slowly", "1")
    head = ask("HEAD", "/a")
    assert (head.status, head.body, server.seen) == (429, b"", [])


def test_delay(relay: Relay, ask: PlainClient) -> None:
    """A request that is held back is answered later."""
    relay.add(ALWAYS, Delay(0.2))
    began = time.monotonic()
    assert statuses(ask, 1) == [200]
    assert time.monotonic() - began >= 0.2


def test_round_trip(server: EchoServer) -> None:
    """A round trip is added to each request, and to the connection."""
    with Relay(server.endpoint, round_trip=0.05) as relay:
        client = PlainClient(relay.endpoint)
        began = time.monotonic()
        statuses(client, 3)
        assert 0.2 <= time.monotonic() - began < 2
        client.close()


def test_round_trip_of_leave_to_continue(server: EchoServer) -> None:
    """A client that asks for leave to send its body waits a round trip longer."""
    with Relay(server.endpoint, round_trip=0.1) as relay:
        connection = http.client.HTTPConnection(urlsplit(relay.endpoint).netloc, timeout=10)
        began = time.monotonic()
        connection.request("PUT", "/a", b"body", {"Expect": "100-continue"})
        assert connection.getresponse().status == 200
        assert time.monotonic() - began >= 0.3
        connection.close()


def test_alter(relay: Relay, ask: PlainClient) -> None:
    """The server gets another request; what came is what is recorded."""

    def shorten(request: Request) -> Request:
        return replace(request, target=request.path, body=request.body[:2])

    relay.add(ALWAYS, Alter(shorten))
    assert ask("PUT", "/a?b", b"body").body == b"PUT /a  bo"
    assert (relay.requests[0].target, relay.requests[0].body) == ("/a?b", b"body")


@pytest.mark.parametrize(("fault", "reached"), [(Reset(), []), (LoseAnswer(), ["/a"])])
def test_reset(
    relay: Relay,
    ask: PlainClient,
    server: EchoServer,
    fault: Reset | LoseAnswer,
    reached: list[str],
) -> None:
    """A connection is reset before the server is asked, or when it has done its work."""
    relay.add(Rule(turns={1}), fault)
    with pytest.raises(ConnectionResetError):
        ask("PUT", "/a", b"body")
    assert (server.seen, relay.requests[0].status) == (reached, 0)
    assert statuses(ask, 1) == [200]


def test_cut(relay: Relay, ask: PlainClient) -> None:
    """A body ends before its length, and the client can tell."""
    relay.add(Rule(turns={1}), CutAnswer(after=4))
    with pytest.raises(http.client.IncompleteRead) as caught:
        ask("GET", "/a")
    assert (caught.value.partial, relay.requests[0].returned) == (b"GET ", 4)


@pytest.mark.parametrize(
    ("at", "expected"), [(0, b"FET /a  "), (4, b"GET .a  "), (99, b"GET /a  ")]
)
def test_flip(relay: Relay, ask: PlainClient, at: int, expected: bytes) -> None:
    """One bit of the body is another; its length is what it was."""
    relay.add(ALWAYS, FlipBit(at))
    assert ask("GET", "/a").body == expected


def test_silence(relay: Relay, server: EchoServer) -> None:
    """A silent server takes the request and says nothing; the relay still stops at once."""
    relay.add(ALWAYS, Silence())
    connection = http.client.HTTPConnection(urlsplit(relay.endpoint).netloc, timeout=0.2)
    connection.request("GET", "/a")
    with pytest.raises(TimeoutError):
        connection.getresponse()
    connection.close()
    assert ([request.path for request in relay.requests], server.seen) == (["/a"], [])


def test_server_that_is_gone() -> None:
    """Where there is no server, the client's connection is closed."""
    with Relay("http://127.0.0.1:9") as relay:
        client = PlainClient(relay.endpoint)
        with pytest.raises(ConnectionError):
            client("GET", "/a")
        client.close()


def test_many_clients(relay: Relay) -> None:
    """Many connections at once get each its own answers."""

    def talk(number: int) -> list[bytes]:
        client = PlainClient(relay.endpoint)
        bodies = [client("GET", f"/{number}/{n}").body for n in range(5)]
        client.close()
        return bodies

    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(talk, range(32)))
    assert answers == [[f"GET /{n}/{m}  ".encode() for m in range(5)] for n in range(32)]
    assert (len(relay.requests), relay.connections) == (160, 32)
