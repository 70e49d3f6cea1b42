"""Digests: the names of objects, and where an object of that name lies."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from devqubit.errors import InvalidDigestError
from devqubit.storage._url import redact

if TYPE_CHECKING:
    from typing import BinaryIO

__all__ = ["digest_of", "digest_of_file", "digest_of_key", "object_key", "object_prefix"]

ALGORITHM: Final = "sha256:"
_PIECE: Final = 1024 * 1024
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_DIGEST_PREFIX = re.compile(r"sha256:[0-9a-f]{0,64}")
_KEY = re.compile(r"sha256/([0-9a-f]{2})/(\1[0-9a-f]{62})")


def digest_of(data: bytes) -> str:
    """The digest of some bytes: `sha256:` and 64 lower-case hexadecimal digits."""
    from hashlib import sha256  # takes milliseconds, and opening a store needs none

    return ALGORITHM + sha256(data).hexdigest()


def digest_of_file(file: BinaryIO) -> str:
    """The digest of what a file holds from where it stands to its end."""
    from hashlib import sha256

    found = sha256()
    while data := file.read(_PIECE):
        found.update(data)
    return ALGORITHM + found.hexdigest()


def object_key(digest: str) -> str:
    """Where the object of a digest lies: `sha256/a1/a1b2c3…`.

    Raises:
        InvalidDigestError: It is not a canonical digest.
    """
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise InvalidDigestError(
            f"{_shown(digest)} is not a digest: write 'sha256:' and 64 lower-case hexadecimal "
            "digits, as put_bytes() returns them"
        )
    digits = digest.removeprefix(ALGORITHM)
    return f"sha256/{digits[:2]}/{digits}"


def object_prefix(prefix: str | None) -> str:
    """The prefix of the keys of all objects whose digests start with `prefix`.

    Raises:
        InvalidDigestError: No digest starts like this.
    """
    if not prefix:
        return "sha256/"
    if not isinstance(prefix, str) or not _DIGEST_PREFIX.fullmatch(prefix):
        raise InvalidDigestError(
            f"No digest starts with {_shown(prefix)}: write 'sha256:' and up to 64 lower-case "
            "hexadecimal digits"
        )
    digits = prefix.removeprefix(ALGORITHM)
    return f"sha256/{digits}" if len(digits) < 2 else f"sha256/{digits[:2]}/{digits}"


def digest_of_key(key: str) -> str | None:
    """The digest whose object lies under a key, or None for anybody else's file."""
    match = _KEY.fullmatch(key)
    return ALGORITHM + match[2] if match else None


def _shown(value: object) -> str:
    # A URL in a digest's place may hold what must not be seen.
    text = repr(redact(value) if isinstance(value, str) and "://" in value else value)
    return text if len(text) <= 100 else text[:97] + "…'"
