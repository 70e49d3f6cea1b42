"""A client without manners: sends what it is told to, and shows what comes back."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

__all__ = ["Answer", "PlainClient"]


class Answer(NamedTuple):
    """An answer."""

    status: int
    headers: Mapping[str, str | None]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class PlainClient:
    """Keeps one connection to a server.

    Args:
        endpoint: The server's address, such as `http://127.0.0.1:8080`.
    """

    def __init__(self, endpoint: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(endpoint).netloc, timeout=10)

    def __call__(self, method: str, target: str, body: bytes = b"", /, **headers: str) -> Answer:
        """Sends a request; headers are keywords, `Content_Range` for `Content-Range`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._connection.request(method, target, body, named)
        answer = self._connection.getresponse()
        return Answer(answer.status, _Headers(answer.headers.items()), answer.read())

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()


class _Headers(dict[str, str | None]):
    def __missing__(self, name: str) -> None:
        return None
