"""What the errors of Cloud Storage and of its client mean for a store."""

from __future__ import annotations

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
)

__all__ = ["RangeError", "translated"]


class RangeError(BackendError):
    """A range begins at or past the end of the object."""


# https://cloud.google.com/storage/docs/json_api/v1/status-codes
_BY_STATUS: Final[dict[int, type[StorageError]]] = {
    401: CredentialsError,
    403: AccessDeniedError,
    408: UnreachableError,
    409: ThrottledError,  # another request works on the same object
    412: ConflictError,
    416: RangeError,
    429: ThrottledError,
}


@contextmanager
def translated(location: str, key: str = "") -> Iterator[None]:
    """Raises our error for the client's, from it.

    Args:
        location: The bucket's URL, for messages.
        key: What was worked on, for messages.
    """
    try:
        yield
    except api.GoogleAPICallError as exc:
        raise _of_answer(int(exc.code or 0), str(exc), location, key) from exc
    except sdk.InvalidResponse as exc:
        raise _of_answer(int(exc.response.status_code), str(exc), location, key) from exc
    except auth.TransportError as exc:
        raise UnreachableError(f"{location}: no answer about credentials: {exc}") from exc
    except auth.GoogleAuthError as exc:
        raise CredentialsError(
            f"{location}: no usable Google credentials: {exc}. Run 'gcloud auth "
            "application-default login', set GOOGLE_APPLICATION_CREDENTIALS, or add "
            "?anonymous=true for a public bucket"
        ) from exc
    except sdk.DataCorruption as exc:
        raise UnreachableError(f"{location}: {key!r} arrived damaged: {exc}") from exc
    except (RequestException, HTTPError, ConnectionError, TimeoutError) as exc:
        raise UnreachableError(f"{location}: no answer: {exc}") from exc


def _of_answer(status: int, message: str, location: str, key: str) -> StorageError:
    if status == 404:
        if "bucket does not exist" in message:
            return BucketNotFoundError(
                f"The bucket of {location} does not exist: create it, or check the name"
            )
        return BlobNotFoundError(key, location)
    kind = _BY_STATUS.get(status, UnreachableError if status >= 500 else BackendError)
    if status == 403 and "ateLimitExceeded" in message:
        kind = ThrottledError
    return kind(f"{location}: {key!r}: Cloud Storage answered {status}: {message}")
