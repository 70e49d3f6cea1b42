"""Signed links of Cloud Storage: GETs of its XML API whose query says who allowed them.

After https://cloud.google.com/storage/docs/authentication/canonical-requests and
https://cloud.google.com/storage/docs/authentication/signatures.
"""

from __future__ import annotations

import binascii
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, unquote, urlsplit

from tests.servers.gcs_auth import Authority
from tests.servers.gcs_objects import ApiError
from tests.servers.gcs_storage import Storage
from tests.servers.gcs_wire import Request, Response

__all__ = ["is_signed", "serve_signed"]

ALGORITHM = "GOOG4-RSA-SHA256"
LONGEST = 7 * 24 * 3600


class _RefusedError(Exception):
    """Why a link does not work: a status, and a code of the service."""


def is_signed(request: Request) -> bool:
    """Whether a request is that of a signed link."""
    return request.method == "GET" and "X-Goog-Signature" in request.query


def serve_signed(
    request: Request,
    storage: Storage,
    authority: Authority,
    clock: Callable[[], datetime],
) -> Response:
    """The object that a signed link names, or the service's refusal.

    Args:
        request: A request that `is_signed`.
        storage: What is served.
        authority: Knows the keys of the service accounts.
        clock: The time, in UTC.
    """
    try:
        _require_signature(request, authority)
        _require_time(request, clock())
        _, bucket, name = request.path.split("/", 2)
        found = storage.get(unquote(bucket), unquote(name, errors="strict"), {})
    except _RefusedError as exc:
        return _refusal(*exc.args)
    except ApiError as exc:
        return _refusal(exc.status, "NoSuchKey")
    kind = found.properties.get("contentType", "application/octet-stream")
    return Response(200, found.data, {"Content-Type": kind})


def _require_signature(request: Request, authority: Authority) -> None:
    query = request.query
    signature = query.pop("X-Goog-Signature")
    email, _, scope = query.get("X-Goog-Credential", "").partition("/")
    names = query.get("X-Goog-SignedHeaders", "")
    if query.get("X-Goog-Algorithm") != ALGORITHM or "host" not in names.split(";"):
        raise _RefusedError(400, "InvalidArgument")
    pairs = sorted((quote(k, safe="~"), quote(v, safe="~")) for k, v in query.items())
    canonical = [
        request.method,
        urlsplit(request.target).path,
        "&".join(f"{k}={v}" for k, v in pairs),
        *(f"{name}:{request.headers.get(name, '').strip()}" for name in names.split(";")),
        "",
        names,
        "UNSIGNED-PAYLOAD",
    ]
    hashed = hashlib.sha256("\n".join(canonical).encode()).hexdigest()
    text = "\n".join([ALGORITHM, query.get("X-Goog-Date", ""), scope, hashed])
    try:
        authority.verify(email, text.encode(), binascii.unhexlify(signature))
    except ValueError:
        raise _RefusedError(403, "SignatureDoesNotMatch") from None


def _require_time(request: Request, now: datetime) -> None:
    query = request.query
    try:
        begun = datetime.strptime(query["X-Goog-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        seconds = int(query["X-Goog-Expires"])
    except (KeyError, ValueError):
        raise _RefusedError(400, "InvalidArgument") from None
    if not 1 <= seconds <= LONGEST:
        raise _RefusedError(400, "InvalidArgument")
    if not begun - timedelta(minutes=15) <= now < begun + timedelta(seconds=seconds):
        raise _RefusedError(400, "ExpiredToken")


def _refusal(status: int, code: str) -> Response:
    body = f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code></Error>"
    return Response(status, body.encode(), {"Content-Type": "application/xml; charset=UTF-8"})
