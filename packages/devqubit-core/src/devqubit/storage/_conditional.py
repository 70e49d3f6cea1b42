"""Conditional writes and deletes over a network that loses acknowledgements.

A request whose answer is lost is sent again, and then finds its own work in its way, or
what somebody else has built upon it since. So each write has an id, and a blob carries
in its metadata the ids of the last writes that led to it, by which each knows itself again.
"""

from __future__ import annotations

import re
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from devqubit.errors import BlobNotFoundError, ConflictError
from devqubit.storage._bucket import ABSENT, Absent, Version
from devqubit.storage._forks import renewed_after_fork
from devqubit.storage._retry import TRANSIENT, Retry

__all__ = ["WRITE_ID", "ConditionalRequests", "State"]

WRITE_ID: Final = "devqubit-write-id"
"""The name of the metadata entry that holds the ids of the last writes, the newest first."""

State = tuple[Version | Absent, str | None]
"""The version of a blob, and the `WRITE_ID` in its metadata."""

# 200 ids of 8 digits are 1,799 bytes; S3 takes 2 KB of metadata, others more.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html
_KEPT: Final = 200
_IDS: Final = re.compile(r"[0-9a-f]{8}(\.[0-9a-f]{8})*")
_REMEMBERED: Final = 1024


class ConditionalRequests:
    """The conditional requests of one bucket: sent again, they do not conflict with themselves.

    For that, the bucket's `read` must call `seen`. A service whose metadata cannot have the
    name `WRITE_ID` may have another in its place, the same in every version.

    Args:
        retry: How often and how long.
    """

    def __init__(self, retry: Retry) -> None:
        self._retry = retry
        self._seen: OrderedDict[tuple[str, Version], str] = OrderedDict()
        renewed_after_fork(self)

    def _make_locks(self) -> None:
        self._lock = threading.Lock()

    def seen(self, key: str, version: Version, write_ids: str | None) -> None:
        """Takes note of what was read, so that what is built upon it carries its ids on.

        Args:
            key: The blob.
            version: The version that was read.
            write_ids: The `WRITE_ID` in its metadata.
        """
        if write_ids and _IDS.fullmatch(write_ids):
            with self._lock:
                self._seen[key, version] = write_ids
                if len(self._seen) > _REMEMBERED:
                    self._seen.popitem(last=False)

    def write(
        self,
        key: str,
        expected: Version | Absent,
        send: Callable[[str], Version],
        state: Callable[[], State],
    ) -> Version:
        """Writes a blob if it has the expected version; no conflict with its own retries.

        Args:
            key: The blob.
            expected: The version that must be there.
            send: Gets what to store as `WRITE_ID`, sends one request with the condition,
                and raises `ConflictError`, or `BlobNotFoundError`, if it does not hold.
            state: What is there now.

        Returns:
            The version written; the version of nothing if it was replaced since.

        Raises:
            ConflictError: Another version is there, that was not made from this write.
        """
        write_id = secrets.token_hex(4)
        write_ids = self._continued(key, expected, write_id)
        unanswered = False

        def attempt(_: int) -> Version:
            nonlocal unanswered
            try:
                return send(write_ids)
            except TRANSIENT:
                unanswered = True
                raise
            except (BlobNotFoundError, ConflictError) as exc:
                if expected is ABSENT and not unanswered:
                    raise ConflictError(f"{key!r} is there already", expected=ABSENT) from exc
                actual, found = state()
                newest, *older = (found or "").split(".")
                if actual is not ABSENT and newest == write_id:
                    return actual
                if write_id in older:
                    return Version(f"replaced-{write_id}")
                raise _conflict(key, expected, actual) from exc

        version = self._retry.call(attempt)
        self.seen(key, version, write_ids)
        return version

    def delete(
        self,
        key: str,
        expected: Version | None,
        send: Callable[[], None],
        state: Callable[[], State],
    ) -> bool:
        """Deletes a blob, if it has the expected version.

        Args:
            key: The blob.
            expected: The version that must be there; None for any.
            send: Sends one request, and raises `ConflictError`, or `BlobNotFoundError`, if
                it cannot be done.
            state: What is there now.

        Returns:
            False if nothing was there.

        Raises:
            ConflictError: Another version is there.
        """
        unanswered = False

        def attempt(_: int) -> bool:
            nonlocal unanswered
            try:
                send()
            except TRANSIENT:
                unanswered = True
                raise
            except (BlobNotFoundError, ConflictError) as exc:
                actual = ABSENT if isinstance(exc, BlobNotFoundError) else state()[0]
                if actual is ABSENT:
                    return unanswered  # an attempt before this one did it
                raise _conflict(key, expected, actual) from exc
            return True

        return self._retry.call(attempt)

    def _continued(self, key: str, expected: Version | Absent, write_id: str) -> str:
        if expected is ABSENT:
            return write_id
        with self._lock:
            before = self._seen.get((key, expected), "")
        return ".".join([write_id, *before.split(".")[: _KEPT - 1]]).rstrip(".")


def _conflict(key: str, expected: object, actual: object) -> ConflictError:
    return ConflictError(f"{key!r} was changed by somebody else", expected=expected, actual=actual)
