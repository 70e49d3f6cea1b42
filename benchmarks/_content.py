"""Large files that take a disk next to nothing to hold, and are no two the same."""

from __future__ import annotations

import hashlib
import os
from typing import Final

__all__ = ["write_content"]

_EVERY: Final = 1024 * 1024
_PIECE: Final = 4096


def write_content(path: str, size: int) -> str:
    """Writes a file of new bytes, with holes between them, and returns its digest."""
    with open(path, "w+b") as file:
        file.truncate(size)
        for start in range(0, size, _EVERY):
            file.seek(start)
            file.write(os.urandom(min(_PIECE, size - start)))
        file.seek(0)
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
