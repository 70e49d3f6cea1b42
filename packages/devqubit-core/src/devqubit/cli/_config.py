"""`devqubit config`: what is in force, and where it comes from."""

from __future__ import annotations

import os
import platform

import click

from devqubit import __version__
from devqubit.cli._output import json_option, print_json, print_table
from devqubit.storage._config import cache_dir, default_registry_url, default_store_url, home
from devqubit.storage._url import redact

__all__ = ["command"]


@click.command("config")
@json_option
def command(as_json: bool) -> None:
    """Show where things are when nothing is said, and which variable says so.

    Parameters of URLs are left out: they may be secrets.

    \b
    Examples:
    devqubit config
    devqubit config --json
    """
    found = (
        ("DEVQUBIT_HOME", home()),
        ("DEVQUBIT_STORAGE_URL", redact(default_store_url())),
        ("DEVQUBIT_REGISTRY_URL", redact(default_registry_url())),
        ("DEVQUBIT_CACHE_DIR", cache_dir()),
        ("DEVQUBIT_DISABLED_PLUGINS", os.environ.get("DEVQUBIT_DISABLED_PLUGINS", "")),
    )
    rows = [
        (name, value, "environment" if os.environ.get(name) else "default") for name, value in found
    ]
    rows += [("devqubit", __version__, ""), ("python", platform.python_version(), "")]
    if as_json:
        for row in rows:
            print_json(dict(zip(("name", "value", "from"), row, strict=True)))
    else:
        print_table(("name", "value", "from"), rows)
