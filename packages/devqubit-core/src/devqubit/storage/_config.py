"""Where things are when nothing is said: environment variables and their defaults."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["default_registry_url", "default_store_url", "home"]


def home() -> Path:
    """The workspace of this user: `DEVQUBIT_HOME`, else `~/.devqubit`."""
    return Path(os.environ.get("DEVQUBIT_HOME") or "~/.devqubit").expanduser()


def default_store_url() -> str | Path:
    """`DEVQUBIT_STORAGE_URL`, else the folder `objects` of the workspace."""
    return os.environ.get("DEVQUBIT_STORAGE_URL") or home() / "objects"


def default_registry_url() -> str | Path:
    """`DEVQUBIT_REGISTRY_URL`, else the workspace itself."""
    return os.environ.get("DEVQUBIT_REGISTRY_URL") or home()
