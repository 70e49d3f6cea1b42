"""What the errors of Cloud Storage and of its client mean for a store."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from google.api_core import exceptions as api
from google.auth import exceptions as auth
from google.cloud.storage import exceptions as sdk
from requests.exceptions import RequestException
from urllib3.exceptions import HTTPError

from devqubit.errors import (
    AccessDeniedError,
    BackendError,
    BlobNotFoundError,
    BucketNotFoundError,
    ConflictError,
    CredentialsError,
    StorageError,
    ThrottledError,
    UnreachableError,
    UnsupportedError,
)
from devqubit.plugin import RangeError

__all__ = ["translated"]


# https://cloud.google.com/storage/docs/json_api/v1/status-codes
_BY_STATUS: Final[dict[int, type[StorageError]]] = {
    401: CredentialsError,
    403: AccessDeniedError,
    408: UnreachableError,
    409: ThrottledError,  # another request works on the same object
    412: ConflictError,
    416: RangeError,
    429: ThrottledError,
    501: UnsupportedError,
}
# The address of an upload under way lets whoever knows it go on with it.
_SECRET: Final = re.compile(r"(upload_id=)[^&\s'\")]+")
_HINTS: Final = {
    "requester pays": " (add ?user_project= with the project that pays)",
    "Anonymous caller": " (no credentials were sent: add ?anonymous=false to look for some)",
}


@contextmanager
def translated(location: str, key: str | None = None) -> Iterator[None]:
    """Raises our error for the client's, from it.

    Args:
        location: The bucket's URL, for messages.
        key: What was worked on; None for the bucket itself.
    """
    try:
        yield
    except api.GoogleAPICallError as exc:
        raise _of_answer(exc, location, key) from exc
    except auth.GoogleAuthError as exc:
        raise _of_credentials(exc, location) from exc
    except sdk.DataCorruption as exc:
        raise UnreachableError(f"{location}: {key!r} was damaged on the way") from exc
    except (RequestException, HTTPError, ConnectionError, TimeoutError) as exc:
        said = _SECRET.sub(r"\1…", str(exc))
        raise UnreachableError(f"{location}: no answer: {said}") from exc


def _of_answer(exc: api.GoogleAPICallError, location: str, key: str | None) -> StorageError:
    status, (message, reason) = int(exc.code or 0), _said(exc)
    if status == 404 and (key is None or re.search("bucket does not exist", message, re.I)):
        return BucketNotFoundError(
            f"The bucket of {location} does not exist: create it, or check the name"
        )
    if status == 404 and key is not None:
        return BlobNotFoundError(key, location)
    kind = _BY_STATUS.get(status, UnreachableError if status >= 500 else BackendError)
    if status == 403 and reason.endswith("ateLimitExceeded"):
        kind = ThrottledError
    hint = next((text for sign, text in _HINTS.items() if sign in message), "")
    what = location if key is None else f"{location}: {key!r}"
    return kind(f"{what}: Cloud Storage answered {status} {reason}: {message}{hint}")


def _said(exc: api.GoogleAPICallError) -> tuple[str, str]:
    """The service's own words and code; downloads fail in plain text."""
    try:
        error = exc.response.json()["error"]
        return str(error["message"]), str(error["errors"][0]["reason"])
    except (AttributeError, LookupError, TypeError, ValueError):
        text = getattr(exc.response, "text", "") or str(exc.message)
        return _SECRET.sub(r"\1…", text[:500]), ""


def _of_credentials(exc: auth.GoogleAuthError, location: str) -> StorageError:
    # The first argument is the message, further ones are whole answers.
    said = exc.args[0] if exc.args else type(exc).__name__
    if exc.retryable or isinstance(exc, auth.TransportError):
        return UnreachableError(f"{location}: no answer about credentials: {said}")
    return CredentialsError(
        f"{location}: no usable Google credentials: {said}. Run 'gcloud auth "
        "application-default login', set GOOGLE_APPLICATION_CREDENTIALS, or add "
        "?anonymous=true for a public bucket"
    )
