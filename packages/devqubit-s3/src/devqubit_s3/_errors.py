"""What the errors of S3 and of botocore mean for a store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from botocore import exceptions as boto
from urllib3.exceptions import HTTPError

from devqubit.errors import (
    AccessDeniedError,
    BackendError,
    BlobNotFoundError,
    BucketNotFoundError,
    ConflictError,
    CredentialsError,
    StorageError,
    StorageFullError,
    ThrottledError,
    UnreachableError,
    UnsupportedError,
)
from devqubit.plugin import RangeError

__all__ = ["has_expired", "translated"]


# Codes of https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html; a HEAD has no
# body, so that botocore gives its status as the code.
_BY_CODE: Final[dict[str, type[StorageError]]] = {
    "403": AccessDeniedError,
    "AccessDenied": AccessDeniedError,
    "AccountProblem": AccessDeniedError,
    "AllAccessDisabled": AccessDeniedError,
    "Forbidden": AccessDeniedError,
    "AuthorizationHeaderMalformed": CredentialsError,
    "ExpiredToken": CredentialsError,
    "InvalidAccessKeyId": CredentialsError,
    "InvalidToken": CredentialsError,
    "RequestTimeTooSkewed": CredentialsError,
    "SignatureDoesNotMatch": CredentialsError,
    "TokenRefreshRequired": CredentialsError,
    "ConditionalRequestConflict": ThrottledError,
    "OperationAborted": ThrottledError,
    "RequestLimitExceeded": ThrottledError,
    "SlowDown": ThrottledError,
    "Throttling": ThrottledError,
    "ThrottlingException": ThrottledError,
    "TooManyRequests": ThrottledError,
    "RequestTimeout": UnreachableError,
    "412": ConflictError,
    "PreconditionFailed": ConflictError,
    "416": RangeError,
    "InvalidRange": RangeError,
    "NotImplemented": UnsupportedError,
    "NoSuchBucket": BucketNotFoundError,
    "QuotaExceeded": StorageFullError,
    "XMinioStorageFull": StorageFullError,
}
_BY_STATUS: Final[dict[int, type[StorageError]]] = {
    401: CredentialsError,
    403: AccessDeniedError,
    429: ThrottledError,
    500: UnreachableError,
    501: UnsupportedError,
    502: UnreachableError,
    503: ThrottledError,
    504: UnreachableError,
    507: StorageFullError,
}
_EXPIRED: Final = ("ExpiredToken", "TokenRefreshRequired")
# botocore has no class for it.
_STILL_EXPIRED: Final = "refreshed credentials are still expired"
_NO_CREDENTIALS: Final = (
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.CredentialRetrievalError,
    boto.TokenRetrievalError,
    boto.ProfileNotFound,
    boto.SSOError,
    boto.InvalidConfigError,
    boto.ConfigParseError,
)
_NO_ANSWER: Final = (
    boto.HTTPClientError,
    boto.ConnectionError,
    boto.FlexibleChecksumError,  # damaged on the way: never stored so
    boto.IncompleteReadError,
    HTTPError,
)


@contextmanager
def translated(location: str, key: str = "") -> Iterator[None]:
    """Raises our error for botocore's, from it.

    Args:
        location: The bucket's URL, for messages.
        key: What was worked on, for messages.
    """
    try:
        yield
    except boto.ClientError as exc:
        status = exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0
        raise _error(exc.response.get("Error", {}), status, location, key) from exc
    except _NO_CREDENTIALS as exc:
        raise CredentialsError(
            f"{location}: no usable AWS credentials: {exc}. Run 'aws configure', set "
            "AWS_PROFILE or AWS_ACCESS_KEY_ID, or add ?anonymous=true for a public bucket"
        ) from exc
    except boto.SSLError as exc:
        raise UnreachableError(
            f"{location}: no secure connection: {exc}. For a server with a certificate of its "
            "own, name its file with ?ca_bundle="
        ) from exc
    except _NO_ANSWER as exc:
        raise UnreachableError(f"{location}: no answer: {exc}") from exc
    except RuntimeError as exc:
        if _STILL_EXPIRED not in str(exc):
            raise
        raise CredentialsError(
            f"{location}: {exc} Log in anew, or set this machine's clock"
        ) from exc
    except boto.BotoCoreError as exc:
        reason = " ".join(str(exc).split())
        raise BackendError(f"{_named(location, key)}: {reason}") from exc


def has_expired(error: boto.ClientError) -> bool:
    """Whether the server takes the credentials no more, and may take renewed ones."""
    return error.response.get("Error", {}).get("Code") in _EXPIRED


def _error(error: Mapping[str, str], status: int, location: str, key: str) -> StorageError:
    """Our error for one that S3 describes by its `Code` and `Message`."""
    code = error.get("Code", "")
    if code in ("NoSuchKey", "404"):
        return BlobNotFoundError(key, location)
    kind = _BY_CODE.get(code) or _BY_STATUS.get(status) or BackendError
    if kind is BucketNotFoundError:
        return kind(f"The bucket of {location} does not exist: create it, or check the name")
    answer = f"S3 answered {status} {code}: {error.get('Message', '')}"
    return kind(f"{_named(location, key)}: {answer}{_HINTS.get(code, '')}")


def _named(location: str, key: str) -> str:
    return f"{location}: {key!r}" if key else location


_HINTS: Final = {
    "AccessDenied": " (whoever asks may not do this: ask the bucket's owner)",
    "AuthorizationHeaderMalformed": " (add ?region=)",
    "InvalidAccessKeyId": " (it knows no such access key: check the profile or AWS_ACCESS_KEY_ID)",
    "InvalidObjectState": " (it is archived: restore it first)",
    "PermanentRedirect": " (add ?region= with the bucket's region)",
    "RequestTimeTooSkewed": " (set this machine's clock)",
    "SignatureDoesNotMatch": " (the secret is not that of the access key: check the profile or "
    "AWS_SECRET_ACCESS_KEY)",
}
