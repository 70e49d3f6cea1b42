"""An object of Cloud Storage, the preconditions that requests set for it, and refusals.

Knows nothing of HTTP but its status codes.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import google_crc32c

__all__ = [
    "WRITABLE",
    "ApiError",
    "NotModifiedError",
    "Preconditions",
    "Query",
    "StoredObject",
    "check_checksums",
    "check_name",
    "number",
]

Query = Mapping[str, str]

NAME_LIMIT: Final = 1_024
# What a client may set of an object; everything else is the service's.
WRITABLE: Final = (
    "cacheControl",
    "contentDisposition",
    "contentEncoding",
    "contentLanguage",
    "contentType",
    "customTime",
    "metadata",
    "storageClass",
)


class ApiError(Exception):
    """An answer that is an error, as the service would give it.

    Args:
        status: The HTTP status.
        message: The service's words.
        reason: The service's code.
        location: The header or parameter at fault, if the service names one.
    """

    def __init__(self, status: int, message: str, reason: str, location: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.reason = reason
        self.location = location


class NotModifiedError(Exception):
    """A read that asked for another state than this one; answered without a body."""


@dataclass
class StoredObject:
    """An object. Tests may change `data`: its checksums follow, its generation does not.

    Attributes:
        properties: What the client set, by the names of the JSON API.
        claimed_crc32c: What the service says instead of the true checksum, as if the
            bytes were damaged on the way.
    """

    name: str
    data: bytes
    generation: int
    created: datetime
    updated: datetime
    metageneration: int = 1
    properties: dict[str, Any] = field(default_factory=dict)
    claimed_crc32c: str | None = None
    composite: bool = False
    _sums: tuple[bytes, str, str] | None = field(default=None, repr=False)

    @property
    def crc32c(self) -> str:
        """The checksum, in base64 of its four bytes, big-endian."""
        return self.claimed_crc32c or self._checksums()[0]

    @property
    def md5(self) -> str | None:
        """The MD5 in base64; a composed object has none."""
        return None if self.composite else self._checksums()[1]

    @property
    def etag(self) -> str:
        """Changes with the generation and the metageneration."""
        return base64.b64encode(f"{self.generation}/{self.metageneration}".encode()).decode()

    def _checksums(self) -> tuple[str, str]:
        if self._sums is None or self._sums[0] is not self.data:
            crc = google_crc32c.value(self.data).to_bytes(4, "big")
            md5 = hashlib.md5(self.data, usedforsecurity=False).digest()
            self._sums = (self.data, _base64(crc), _base64(md5))
        return self._sums[1], self._sums[2]


@dataclass(frozen=True)
class Preconditions:
    """What must hold of the object that is there; its absence is generation 0."""

    generation: int | None = None
    not_generation: int | None = None
    metageneration: int | None = None
    not_metageneration: int | None = None

    @classmethod
    def of(cls, query: Query, prefix: str = "if") -> Preconditions:
        """Those of a request; `ifSource` is the prefix of a copy's."""
        names = ("GenerationMatch", "GenerationNotMatch")
        meta = ("MetagenerationMatch", "MetagenerationNotMatch")
        # The SDK writes ifMetaGenerationNotMatch in uploads.
        known = {name.lower(): value for name, value in query.items()}
        return cls(*(number(known, (prefix + name).lower()) for name in (*names, *meta)))

    def check(self, found: StoredObject | None, *, reading: bool = False) -> None:
        """Raises if they do not hold.

        Args:
            found: The object that is there.
            reading: The request changes nothing: a state it does not want is "not modified".
        """
        generation = found.generation if found else 0
        metageneration = found.metageneration if found else 0
        if self.generation not in (None, generation) or (
            self.metageneration not in (None, metageneration)
        ):
            raise ApiError(
                412,
                "At least one of the pre-conditions you specified did not hold.",
                "conditionNotMet",
                "If-Match",
            )
        if self.not_generation == generation or self.not_metageneration == metageneration:
            if reading:
                raise NotModifiedError
            raise ApiError(
                412,
                "At least one of the pre-conditions you specified did not hold.",
                "conditionNotMet",
                "If-None-Match",
            )


def check_name(name: str) -> None:
    """Raises 400 if no object can have that name."""
    if not name:
        raise ApiError(400, "Required", "required", "name")
    if len(name.encode()) > NAME_LIMIT or "\n" in name or "\r" in name:
        raise ApiError(400, f"Invalid object name: {name[:20]!r}", "invalid")


def check_checksums(new: StoredObject, checksums: Mapping[str, str]) -> None:
    """Raises 400 if the bytes are not those that the client has a checksum of."""
    for kind, label, actual in (("crc32c", "CRC32C", new.crc32c), ("md5Hash", "MD5 hash", new.md5)):
        claimed = checksums.get(kind, actual)
        if claimed != actual:
            message = f'Provided {label} "{claimed}" doesn\'t match calculated {label} "{actual}".'
            raise ApiError(400, message, "invalid")


def number(query: Query, name: str) -> int | None:
    """A parameter that is a number, or None where it is not given."""
    if name not in query:
        return None
    try:
        return int(query[name])
    except ValueError:
        message = f"Invalid value for: {query[name]} is not a valid integer"
        raise ApiError(400, message, "invalid", name) from None


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
