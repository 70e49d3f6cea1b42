"""Clean virtual environments, with pip as its users have it configured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

__all__ = ["Environment"]

# Tells what each URL given opens, in one process: a place, or an error as a user sees it.
OPEN = """
import json, sys
from devqubit.storage import create_store

def opened(url):
    try:
        with create_store(url) as store:
            return store.location
    except Exception as exc:
        return f"{type(exc).__module__}.{type(exc).__qualname__}: {exc}"

print(json.dumps([opened(url) for url in sys.argv[1:]]))
"""

# Stores and reads an artifact and a run.
USE = """
import sys
from devqubit.storage import create_registry, create_store

with create_store(sys.argv[1]) as store, create_registry(sys.argv[1]) as registry:
    digest = store.put_bytes(b"counts")
    registry.save({"run_id": "r", "project": {"name": "p"}})
    print(store.get_bytes(digest).decode(), registry.load("r").project, registry.count_runs())
"""


class Environment:
    """A virtual environment.

    Args:
        folder: Where it is made.
        dist: The folder of the wheels to install from, before the index.
        upon: An environment whose packages are seen in this one, as if installed in it.
    """

    def __init__(self, folder: Path, dist: Path, *, upon: Environment | None = None) -> None:
        self._folder, self._dist = folder, dist
        command = [sys.executable, "-m", "virtualenv", "--quiet", "--no-pip", str(folder)]
        subprocess.run(command, check=True)
        self._scripts = folder / ("Scripts" if os.name == "nt" else "bin")
        self.python = str(self._scripts / "python")
        find = "import sysconfig; print(sysconfig.get_path('purelib'))"
        self.site = Path(self.run("-c", find).strip())
        if upon is not None:
            # A .pth file, as an editable install makes one.
            (self.site / "upon.pth").write_text(str(upon.site), encoding="utf-8")

    def run(self, *arguments: str, **variables: str) -> str:
        """What its Python prints."""
        command = [self.python, "-I", *arguments]
        return self._run(command, variables)

    def pip(self, *arguments: str) -> str:
        """What pip prints."""
        return self._run([sys.executable, "-m", "pip", "--python", self.python, *arguments], {})

    def install(self, *requirements: str) -> None:
        """Installs what a user would type, our wheels first."""
        self.pip("install", "--quiet", "--find-links", str(self._dist), *requirements)

    def installed(self) -> dict[str, str]:
        """The versions of the installed distributions, by name."""
        found = json.loads(self.pip("list", "--format", "json"))
        return {entry["name"].lower(): entry["version"] for entry in found}

    def backends(self) -> dict[str, tuple[str, str]]:
        """What the installed command says of each scheme: its distribution and its status."""
        command = [str(self._scripts / "devqubit"), "backends", "--load", "--json"]
        found = map(json.loads, self._run(command, {}).splitlines())
        return {info["scheme"]: (info["distribution"], info["status"]) for info in found}

    def opened(self, *urls: str, **variables: str) -> list[str]:
        """What each URL opens, one after another in one process: a place, or an error."""
        found: list[str] = json.loads(self.run("-c", OPEN, *urls, **variables))
        return found

    def used(self, url: str) -> str:
        """What was stored at a URL and read back: an artifact, a project, a number of runs."""
        return self.run("-c", USE, url).strip()

    def _run(self, command: list[str], variables: dict[str, str]) -> str:
        ours = ("AWS_", "DEVQUBIT_", "GOOGLE_", "PYTHON", "STORAGE_")
        clean = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        env = {**clean, "DEVQUBIT_CACHE_DIR": str(self._folder / "cache"), **variables}
        done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=self._folder)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout
