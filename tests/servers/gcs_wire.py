"""Requests and answers of the Cloud Storage JSON API as bytes: bodies, ranges, batches, fields."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.parser import BytesParser
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from tests.servers.gcs_objects import ApiError

__all__ = [
    "Request",
    "Response",
    "batch_body",
    "batch_calls",
    "byte_range",
    "checksums",
    "error_response",
    "json_response",
    "related",
    "selected",
    "upload_range",
]

_BOUNDARY: Final = "batch_answer"


@dataclass(frozen=True)
class Request:
    """A request as it came in.

    Attributes:
        method: The verb.
        target: Path and query, as they were sent.
        headers: By lower-case name.
        body: All of it.
    """

    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def path(self) -> str:
        """The path, its escapes untouched: `%2F` is no separator."""
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        """The parameters."""
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    @property
    def wants_media(self) -> bool:
        """Whether it asks for bytes, so that its errors are plain text."""
        return self.path.startswith("/download/") or self.query.get("alt") == "media"

    def json(self) -> dict[str, Any]:
        """The body as a JSON object."""
        return _json(self.body or b"{}")


@dataclass(frozen=True)
class Response:
    """An answer, still without Content-Length."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def json_response(
    document: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """An answer with a JSON body."""
    kind = {"Content-Type": "application/json; charset=UTF-8"}
    return Response(status, json.dumps(document).encode(), {**kind, **(headers or {})})


def error_response(
    error: ApiError, *, plain: bool = False, headers: Mapping[str, str] | None = None
) -> Response:
    """The answer that an error is: a document, or only its message where media was asked for."""
    if plain:
        kind = {"Content-Type": "text/html; charset=UTF-8"}
        return Response(error.status, error.message.encode(), {**kind, **(headers or {})})
    detail = {"message": error.message, "domain": "global", "reason": error.reason}
    if error.location:
        where = "header" if error.location[0].isupper() else "parameter"
        detail |= {"locationType": where, "location": error.location}
    document = {"code": error.status, "message": error.message, "errors": [detail]}
    return json_response({"error": document}, error.status, headers)


def byte_range(header: str, size: int) -> tuple[int, int] | None:
    """The bytes that a Range header asks for, as start and end of a slice, or 416.

    Returns:
        None if the header asks for nothing that can be understood.
    """
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", header)
    if match is None or match.group() == "bytes=-":
        return None
    first, last = match.groups()
    start = int(first) if first else max(0, size - int(last))
    end = min(int(last) + 1, size) if first and last else size
    if start >= end:
        raise ApiError(416, "Request range not satisfiable", "requestedRangeNotSatisfiable")
    return start, end


def upload_range(header: str | None, length: int) -> tuple[int | None, int | None]:
    """What a Content-Range header says of a piece of an upload.

    Returns:
        Where the piece begins, None if there is none in the request, which only asks
        how far the upload is; and the size of the whole, None if it is not known yet.
    """
    if header is None:
        return 0, length
    match = re.fullmatch(r"bytes (?:\*|(\d+)-(\d+))/(\*|\d+)", header)
    if match is None or (match[1] and int(match[2]) - int(match[1]) + 1 != length):
        raise ApiError(400, "Failed to parse Content-Range header.", "badRequest")
    total = None if match[3] == "*" else int(match[3])
    return (int(match[1]) if match[1] else None), total


def checksums(headers: Mapping[str, str], document: Mapping[str, Any]) -> dict[str, str]:
    """The checksums that a client sent, by their names in an object's description."""
    found = {kind: document[kind] for kind in ("crc32c", "md5Hash") if document.get(kind)}
    for item in headers.get("x-goog-hash", "").split(","):
        name, _, value = item.strip().partition("=")
        if name in ("crc32c", "md5"):
            found["md5Hash" if name == "md5" else name] = value
    if "content-md5" in headers:
        found["md5Hash"] = headers["content-md5"]
    return found


def related(request: Request) -> tuple[dict[str, Any], bytes]:
    """Description and bytes of an upload in two parts (multipart/related)."""
    boundary = re.search(r'boundary="?([^";]+)', request.headers.get("content-type", ""))
    if boundary is None:
        raise ApiError(400, "Missing boundary.", "badContent")
    # The bytes may hold anything, but the boundary: only the outermost ones count.
    line = b"--" + boundary[1].encode()
    first = request.body.find(line + b"\r\n")
    second = request.body.find(b"\r\n" + line + b"\r\n", first)
    last = request.body.rfind(b"\r\n" + line + b"--")
    if min(first, second, last) < 0:
        raise ApiError(400, "Malformed multipart body.", "badContent")
    _, description = _headed(request.body[first + len(line) + 2 : second])
    headers, data = _headed(request.body[second + len(line) + 4 : last])
    document = _json(description)
    document.setdefault("contentType", headers.get("content-type"))
    return document, data


def batch_calls(request: Request) -> list[tuple[str, Request]]:
    """The calls of a batch, each with the identity that its answer must carry."""
    kind = request.headers.get("content-type", "").encode()
    message = BytesParser().parsebytes(b"Content-Type: " + kind + b"\n\n" + request.body)
    calls = []
    for part in message.walk():
        if part.get_content_type() == "application/http":
            payload = part.get_payload(decode=True)
            assert isinstance(payload, bytes)
            calls.append((str(part.get("Content-ID", "")).strip("<>"), _call(payload, request)))
    return calls


def batch_body(answers: list[tuple[str, Response]]) -> Response:
    """The answer to a batch, from those to its calls."""
    lines = []
    for identity, answer in answers:
        head = {**answer.headers, "Content-Length": str(len(answer.body))}
        lines += [
            f"--{_BOUNDARY}",
            "Content-Type: application/http",
            f"Content-ID: <response-{identity}>",
            "",
            f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}",
            *(f"{name}: {value}" for name, value in head.items()),
            "",
            answer.body.decode(),
        ]
    text = "\r\n".join([*lines, f"--{_BOUNDARY}--", ""])
    return Response(200, text.encode(), {"Content-Type": f"multipart/mixed; boundary={_BOUNDARY}"})


def selected(document: Any, fields: str) -> Any:
    """Only those fields of a document: `a,b(c,d),e/f` names them, `*` is all."""
    if isinstance(document, list):
        return [selected(item, fields) for item in document]
    if not isinstance(document, dict) or fields == "*":
        return document
    chosen = {}
    for name, inner in re.findall(r"([^,()/]+)(\([^()]*\)|/[^,]+)?", fields):
        if name in document:
            inside = inner.strip("()/")
            chosen[name] = selected(document[name], inside) if inside else document[name]
    return chosen


def _json(text: bytes) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise ApiError(400, "Parse Error", "parseError")
    return document


def _headed(text: bytes) -> tuple[dict[str, str], bytes]:
    """Header lines and what follows them."""
    match = re.search(rb"(?:^|\r?\n)\r?\n", text)
    if match is None:
        return {}, text
    lines = text[: match.start()].decode().splitlines()
    pairs = (line.partition(":") for line in lines if ":" in line)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}, text[match.end() :]


def _call(payload: bytes, outer: Request) -> Request:
    first, _, rest = payload.partition(b"\n")
    words = first.decode().split()
    if len(words) != 3:
        raise ApiError(400, "Malformed call in a batch.", "badRequest")
    url = urlsplit(words[1])
    target = url.path + (f"?{url.query}" if url.query else "")
    headers, body = _headed(rest)
    # A call without credentials of its own has the batch's.
    if "authorization" in outer.headers:
        headers.setdefault("authorization", outer.headers["authorization"])
    return Request(words[0], target, headers, body)
