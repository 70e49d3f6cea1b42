"""What the errors of Azure and of its SDK mean for a store."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError

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
from devqubit.plugin import RangeError

__all__ = ["translated"]


# https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes
_BY_CODE: Final[dict[str, type[StorageError]]] = {
    "BlobAlreadyExists": ConflictError,
    "ContainerBeingDeleted": BucketNotFoundError,
    "ContainerNotFound": BucketNotFoundError,
    "InvalidBlockList": ConflictError,  # another upload ended, and took the blocks away
    "KeyBasedAuthenticationNotPermitted": CredentialsError,
}
_BY_STATUS: Final[dict[int, type[StorageError]]] = {
    401: CredentialsError,
    403: AccessDeniedError,
    404: BlobNotFoundError,
    408: UnreachableError,
    412: ConflictError,
    416: RangeError,
    429: ThrottledError,
    500: UnreachableError,
    502: UnreachableError,
    503: ThrottledError,
    504: UnreachableError,
}
_SIGNATURE: Final = re.compile(r"\bsig=[^&\s'\")]+")


@contextmanager
def translated(location: str, key: str = "") -> Iterator[None]:
    """Raises our error for the SDK's, from it.

    Args:
        location: The bucket's URL, for messages.
        key: What was worked on, for messages.
    """
    try:
        yield
    except HttpResponseError as exc:
        raise _error(exc, location, key) from exc
    except AzureError as exc:
        # Of a request that failed, it tells the whole address, where a SAS is part of it.
        exc.args = (_SIGNATURE.sub("sig=***", str(exc)),)
        raise UnreachableError(f"{location}: no answer: {exc}") from exc
    except (AttributeError, KeyError, TypeError, ValueError) as exc:
        raise BackendError(
            f"{location}: what answers does not speak Azure's protocol: check endpoint_url ({exc})"
        ) from exc


def _error(exc: HttpResponseError, location: str, key: str) -> StorageError:
    status = exc.status_code or 0
    code = getattr(exc, "error_code", None) or ""
    code = str(getattr(code, "value", code))
    kind = _BY_CODE.get(code) or _BY_STATUS.get(status) or BackendError
    said = str(exc.message).partition("\n")[0]
    if isinstance(exc, ClientAuthenticationError) or "failed to authenticate" in said:
        kind = CredentialsError  # Azurite gives the code of what is not allowed
    elif not status:
        kind = UnreachableError  # the answer broke off
    if kind is BlobNotFoundError:
        return BlobNotFoundError(key, location)
    what = f"{location}: {key!r}" if key else location
    return kind(f"{what}: Azure answered {status} {code}: {said}")
