"""Buckets in memory that do right, and say it wrong: errors, logs and what is shown."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from devqubit.errors import BlobNotFoundError
from devqubit.plugin import Absent, OpenRequest, Version
from tests.kit.memory_bucket import MemoryBucket, Stored

__all__ = [
    "ClosesOnce",
    "ErrorWithoutCause",
    "LeaksSdkError",
    "LongKeyCrashes",
    "MissingBucketIsEmpty",
    "TokenInCause",
    "TokenInDescription",
    "TokenInLocation",
    "TokenInLog",
    "TokenInRepr",
]

Condition = Version | Absent | None


class LeaksSdkError(MemoryBucket):
    """Hands the error of what it stands on to its caller."""

    def _stored(self, key: str) -> Stored:
        return self._blobs[self._name(key)]


class ErrorWithoutCause(MemoryBucket):
    """Does not say what an error came from."""

    def _stored(self, key: str) -> Stored:
        try:
            return self._blobs[self._name(key)]
        except KeyError:
            raise BlobNotFoundError(key, self.location) from None


class LongKeyCrashes(MemoryBucket):
    """Knows no keys of more than 1,024 bytes, and does not see them coming."""

    def _name(self, key: str) -> str:
        if len(key.encode()) > 1024:
            raise OverflowError("KeyTooLongError")
        return super()._name(key)


class MissingBucketIsEmpty(MemoryBucket):
    """Cannot write to a bucket that nobody made, but reads it as if it were empty."""

    def write(self, key: str, data: bytes, *, if_version: Condition = None) -> Version:
        from devqubit.errors import BucketNotFoundError

        if "nobody" in self.location:
            raise BucketNotFoundError(self.location)
        return super().write(key, data, if_version=if_version)


class TokenInRepr(MemoryBucket):
    """Shows all that it was opened with."""

    def __init__(self, request: OpenRequest) -> None:
        super().__init__(request)
        self._options = dict(request.options)

    def __repr__(self) -> str:
        return f"<TokenInRepr {self.location} {self._options}>"


class TokenInLog(MemoryBucket):
    """Tells the log what it was opened with."""

    def __init__(self, request: OpenRequest) -> None:
        super().__init__(request)
        logging.getLogger("tests.kit").debug("opened with %s", dict(request.options))


class TokenInCause(MemoryBucket):
    """Has an error whose cause names the request, with all its headers."""

    def __init__(self, request: OpenRequest) -> None:
        super().__init__(request)
        self._token = request.options.get("token")

    def _stored(self, key: str) -> Stored:
        try:
            return super()._stored(key)
        except BlobNotFoundError as exc:
            sdk = LookupError(f"404 for GET {key}, Authorization: Bearer {self._token}")
            raise exc from sdk


class TokenInDescription(MemoryBucket):
    """Tells the doctor what it was opened with."""

    def __init__(self, request: OpenRequest) -> None:
        super().__init__(request)
        self._token = str(request.options.get("token"))

    def describe(self) -> Mapping[str, str]:
        return {"identity": self._token}


class TokenInLocation(MemoryBucket):
    """Takes the URL, as it was given, for its canonical form."""

    def __init__(self, request: OpenRequest) -> None:
        super().__init__(request)
        self.location = f"{request.location}?token={request.options.get('token')}"


class ClosesOnce(MemoryBucket):
    """Cannot be closed again."""

    def close(self) -> None:
        del self._blobs
