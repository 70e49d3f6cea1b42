"""Conditional writes and deletes over a network that loses acknowledgements.

A request whose answer is lost is sent again, and then finds its own work in its way.
So each write carries an id in the blob's metadata, by which it knows itself again.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final

from devqubit.errors import BlobNotFoundError, ConflictError
from devqubit.storage._bucket import ABSENT, Absent, Version
from devqubit.storage._retry import Retry

__all__ = ["WRITE_ID", "State", "conditional_delete", "conditional_write"]

WRITE_ID: Final = "devqubit-write-id"
"""The name of the metadata entry that holds the id."""

State = tuple[Version | Absent, str | None]
"""The version of a blob, and the `WRITE_ID` in its metadata."""


def conditional_write(
    retry: Retry,
    key: str,
    expected: Version | Absent,
    send: Callable[[str], Version],
    state: Callable[[], State],
) -> Version:
    """Writes a blob if it has the expected version; no conflict with its own retries.

    Args:
        retry: How often and how long.
        key: For messages.
        expected: The version that must be there.
        send: Gets the id to store as `WRITE_ID`, sends one request with the condition,
            and raises `ConflictError`, or `BlobNotFoundError`, if it does not hold.
        state: What is there now.

    Raises:
        ConflictError: Another version is there, of somebody else's making.
    """
    write_id = secrets.token_hex(8)

    def attempt(number: int) -> Version:
        try:
            return send(write_id)
        except (BlobNotFoundError, ConflictError) as exc:
            if expected is ABSENT and number == 1:
                raise ConflictError(f"{key!r} is there already", expected=ABSENT) from exc
            actual, found_id = state()
            if found_id == write_id and actual is not ABSENT:
                return actual
            raise _conflict(key, expected, actual) from exc

    return retry.call(attempt)


def conditional_delete(
    retry: Retry,
    key: str,
    expected: Version | None,
    send: Callable[[], None],
    state: Callable[[], State],
) -> bool:
    """Deletes a blob, if it has the expected version.

    Args:
        retry: How often and how long.
        key: For messages.
        expected: The version that must be there; None for any.
        send: Sends one request, and raises `ConflictError`, or `BlobNotFoundError`, if
            it cannot be done.
        state: What is there now.

    Returns:
        False if nothing was there.

    Raises:
        ConflictError: Another version is there.
    """

    def attempt(number: int) -> bool:
        try:
            send()
        except (BlobNotFoundError, ConflictError) as exc:
            actual = ABSENT if isinstance(exc, BlobNotFoundError) else state()[0]
            if actual is ABSENT:
                return number > 1  # an attempt before this one did it, unacknowledged
            raise _conflict(key, expected, actual) from exc
        return True

    return retry.call(attempt)


def _conflict(key: str, expected: object, actual: object) -> ConflictError:
    return ConflictError(f"{key!r} was changed by somebody else", expected=expected, actual=actual)
