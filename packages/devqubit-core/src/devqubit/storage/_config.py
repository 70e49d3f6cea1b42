"""Where things are when nothing is said: environment variables and their defaults."""

from __future__ import annotations

import os

__all__ = ["cache_dir", "default_registry_url", "default_store_url", "home"]


def home() -> str:
    """The workspace of this user: `DEVQUBIT_HOME`, else `~/.devqubit`."""
    return os.path.abspath(os.path.expanduser(os.environ.get("DEVQUBIT_HOME") or "~/.devqubit"))


def default_store_url() -> str:
    """`DEVQUBIT_STORAGE_URL`, else the folder `objects` of the workspace."""
    return os.environ.get("DEVQUBIT_STORAGE_URL") or os.path.join(home(), "objects")


def default_registry_url() -> str:
    """`DEVQUBIT_REGISTRY_URL`, else the workspace itself."""
    return os.environ.get("DEVQUBIT_REGISTRY_URL") or home()


def cache_dir() -> str:
    """Where what can be made again is kept: `DEVQUBIT_CACHE_DIR`, else the platform's place."""
    chosen = os.environ.get("DEVQUBIT_CACHE_DIR")
    if chosen:
        return os.path.abspath(os.path.expanduser(chosen))
    from platformdirs import user_cache_dir  # slow to import, and rarely needed

    return user_cache_dir("devqubit", appauthor=False)
