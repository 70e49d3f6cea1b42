"""Where things are when nothing is said: environment variables and their defaults."""

from __future__ import annotations

import os

__all__ = ["default_registry_url", "default_store_url", "home"]


def home() -> str:
    """The workspace of this user: `DEVQUBIT_HOME`, else `~/.devqubit`."""
    return os.path.abspath(os.path.expanduser(os.environ.get("DEVQUBIT_HOME") or "~/.devqubit"))


def default_store_url() -> str:
    """`DEVQUBIT_STORAGE_URL`, else the folder `objects` of the workspace."""
    return os.environ.get("DEVQUBIT_STORAGE_URL") or os.path.join(home(), "objects")


def default_registry_url() -> str:
    """`DEVQUBIT_REGISTRY_URL`, else the workspace itself."""
    return os.environ.get("DEVQUBIT_REGISTRY_URL") or home()
