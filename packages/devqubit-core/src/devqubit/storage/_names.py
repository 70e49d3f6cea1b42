r"""Names that come from people, as one segment of a key, and back.

The encoding is a bijection: `/`, `\`, `%`, control characters and a leading dot are
percent-encoded as UTF-8 bytes, everything else stays. So no name can leave its
folder, no two names meet, and simple names look as they are.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

from devqubit.errors import InvalidNameError

__all__ = [
    "candidate_keys",
    "check_name",
    "encode_name",
    "name_key",
    "names_of_key",
    "rival_keys",
]

MAX_NAME_BYTES: Final = 200
# File systems hold 255 bytes a segment, and a record's ends in ".json".
_MAX_SEGMENT_BYTES: Final = 250
_SUFFIX: Final = ".json"
_ENCODED = re.compile(r"[/\\%\x00-\x1f\x7f-\x9f]|^\.")


def name_key(folder: str, name: str) -> str:
    """The key of a name: `runs/` + the encoded name + `.json`.

    Raises:
        InvalidNameError: The name is no text, empty, too long, or not Unicode.
    """
    return f"{folder}/{encode_name(name)}{_SUFFIX}"


def encode_name(name: str) -> str:
    """The name as one segment of a key.

    Raises:
        InvalidNameError: As `name_key`.
    """
    return _ENCODED.sub(_escape, check_name(name))


def candidate_keys(folder: str, name: str) -> list[str]:
    """Every key that may hold the name: ours, then the raw one of devqubit 0.1.12.

    Raises:
        InvalidNameError: As `name_key`.
    """
    ours = name_key(folder, name)
    raw = f"{folder}/{name}{_SUFFIX}"
    safe = {"", ".", ".."}.isdisjoint(raw.split("/")) and "\0" not in raw
    return [ours, raw] if raw != ours and safe else [ours]


def names_of_key(folder: str, key: str) -> set[str]:
    """The names whose record may lie under a key: none for a foreign file."""
    if not (key.startswith(f"{folder}/") and key.endswith(_SUFFIX)):
        return set()
    raw = key[len(folder) + 1 : -len(_SUFFIX)]
    decoded = unquote(raw, errors="replace")
    return {name for name in (raw, decoded) if name and key in _safe_candidates(folder, name)}


def rival_keys(folder: str, key: str) -> set[str]:
    """The other keys that may hold the document that lies under this one."""
    raw = key[len(folder) + 1 :]
    if not _ENCODED.search(raw):
        return set()  # nearly all: a simple name has one key
    names = names_of_key(folder, key)
    return {other for name in names for other in candidate_keys(folder, name)} - {key}


def check_name(name: object) -> str:
    """The name, if it can be stored; raises `InvalidNameError` if it cannot."""
    if not isinstance(name, str):
        raise InvalidNameError(f"A name must be text, not {type(name).__name__}")
    if not name:
        raise InvalidNameError("A name must not be empty")
    try:
        size = len(name.encode())
    except UnicodeEncodeError as exc:
        raise InvalidNameError(f"The name {name!a} is not valid Unicode") from exc
    if size > MAX_NAME_BYTES or len(_ENCODED.sub(_escape, name).encode()) > _MAX_SEGMENT_BYTES:
        raise InvalidNameError(
            f"The name {name[:20]!r}… has {size} bytes, or too many that must be escaped: at "
            f"most {MAX_NAME_BYTES} can be stored. Shorten it"
        )
    return name


def _safe_candidates(folder: str, name: str) -> list[str]:
    try:
        return candidate_keys(folder, name)
    except InvalidNameError:
        return []


def _escape(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode())
