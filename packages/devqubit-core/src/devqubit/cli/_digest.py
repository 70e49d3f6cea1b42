"""Digests as people type them."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from devqubit.errors import InvalidDigestError, ObjectNotFoundError
from devqubit.storage._digest import ALGORITHM

if TYPE_CHECKING:
    from devqubit.storage import ObjectStore

__all__ = ["full_digest"]

_WHOLE = len(ALGORITHM) + 64
_SHORTEST = len(ALGORITHM) + 4


def full_digest(store: ObjectStore, typed: str) -> str:
    """The digest of which these are the first digits, with or without `sha256:`.

    Raises:
        InvalidDigestError: It is none, or several objects begin so.
        ObjectNotFoundError: No object begins so.
    """
    digits = typed.lower()
    digest = digits if digits.startswith(ALGORITHM) else ALGORITHM + digits
    if len(digest) >= _WHOLE:
        return digest
    if len(digest) < _SHORTEST:
        raise InvalidDigestError(f"{typed!r} is too short: type 4 digits or more")
    found = list(islice(store.list_digests(digest), 2))
    if not found:
        raise ObjectNotFoundError(digest)
    if len(found) > 1:
        raise InvalidDigestError(f"Several objects begin with {digest}: type more digits")
    return found[0]
