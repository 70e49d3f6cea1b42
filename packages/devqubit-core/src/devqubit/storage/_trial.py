"""Trying whether a server honours the conditions of writes: some pass over them, silently."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TypeVar

from devqubit.errors import ConflictError, StorageError, UnsupportedError
from devqubit.storage._bucket import ABSENT, Bucket

__all__ = ["TRIALS", "Trial", "trial_key", "try_conditions"]

R = TypeVar("R")

TRIALS = "_doctor/"
"""Where trials write; keys that begin with `_` are nobody's."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What a server did with conditions.

    Attributes:
        create: Creating a blob was done, and refused when it was there.
        replace: Replacing was refused for a version that is gone, and done for the present one.
        delete: Deleting likewise.
    """

    create: bool
    replace: bool
    delete: bool


@contextmanager
def trial_key(bucket: Bucket) -> Iterator[str]:
    """A key that nobody else uses, with nothing under it afterwards."""
    key = f"{TRIALS}{secrets.token_hex(8)}"
    try:
        yield key
    finally:
        with suppress(StorageError):  # the first error says more
            bucket.delete(key)


def try_conditions(bucket: Bucket) -> Trial:
    """Writes a blob under conditions that hold, and under such as do not.

    Raises:
        StorageError: It cannot be tried.
    """
    with trial_key(bucket) as key:
        created = _done(lambda: bucket.write(key, b"first", if_version=ABSENT))
        gone = created or bucket.write(key, b"first")
        create = _is_refused(lambda: bucket.write(key, b"again", if_version=ABSENT))
        present = bucket.write(key, b"second")
        replace = _is_refused(lambda: bucket.write(key, b"stale", if_version=gone))
        written = _done(lambda: bucket.write(key, b"third", if_version=present))
        delete = _is_refused(lambda: bucket.delete(key, if_version=gone))
        present = written or bucket.write(key, b"fourth")
        deleted = _done(lambda: bucket.delete(key, if_version=present))
    return Trial(create and bool(created), replace and bool(written), delete and bool(deleted))


def _is_refused(call: Callable[[], object]) -> bool:
    try:
        call()
    except ConflictError:
        return True
    except UnsupportedError:
        pass
    return False


def _done(call: Callable[[], R]) -> R | None:
    try:
        return call()
    except (ConflictError, UnsupportedError):
        return None
