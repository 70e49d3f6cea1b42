"""What this repository distributes, and what belongs into it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["DISTRIBUTIONS", "ROOT", "TOY", "Distribution", "build", "copy_of_toy", "members"]

ROOT = Path(__file__).parents[2]
TOY = ROOT / "tests" / "toy_backend"


@dataclass(frozen=True)
class Distribution:
    """One of our distributions.

    Attributes:
        name: As on the index.
        folder: Where its `pyproject.toml` is, relative to the root.
        package: The package that it ships; empty for none.
    """

    name: str
    folder: str
    package: str

    @property
    def path(self) -> Path:
        """Its folder."""
        return ROOT / self.folder

    @property
    def project(self) -> dict[str, Any]:
        """The table of that name of its `pyproject.toml`."""
        text = (self.path / "pyproject.toml").read_text(encoding="utf-8")
        project: dict[str, Any] = tomllib.loads(text)["project"]
        return project

    @property
    def version(self) -> str:
        """As written in its sources."""
        if not self.package:
            return str(self.project["version"])
        source = self.path / "src" / self.package / "__init__.py"
        found = re.search(r'^__version__ = "(.+)"$', source.read_text(encoding="utf-8"), re.M)
        assert found
        return found[1]

    @property
    def stem(self) -> str:
        """How the names of its files begin: `devqubit_core-0.2.0`."""
        return f"{self.name.replace('-', '_')}-{self.version}"

    @property
    def code(self) -> set[str]:
        """The files of its package: Python, and the mark that it has types."""
        source = self.path / "src"
        files = source.glob(f"{self.package}/**/*") if self.package else ()
        kept = {file for file in files if file.suffix == ".py" or file.name == "py.typed"}
        return {file.relative_to(source).as_posix() for file in kept}


DISTRIBUTIONS = (
    Distribution("devqubit", ".", ""),
    Distribution("devqubit-core", "packages/devqubit-core", "devqubit"),
    Distribution("devqubit-s3", "packages/devqubit-s3", "devqubit_s3"),
    Distribution("devqubit-gcs", "packages/devqubit-gcs", "devqubit_gcs"),
)


def build(source: Path, target: Path, *kinds: str) -> None:
    """Builds a project, with the build backend of this environment.

    Args:
        source: Its folder.
        target: Where the files go.
        *kinds: `--wheel`, `--sdist`; neither builds the wheel from the sdist.
    """
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(target), *kinds]
    done = subprocess.run([*command, str(source)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def copy_of_toy(target: Path) -> Path:
    """The toy backend as its author has it: without what this repository needs beside it."""
    left_out = shutil.ignore_patterns("conftest.py", "__pycache__")
    return Path(shutil.copytree(TOY, target / "devqubit-memory", ignore=left_out))


def members(archive: Path) -> dict[str, bytes]:
    """The files of a wheel or sdist, by name."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            return {name: wheel.read(name) for name in wheel.namelist()}
    with tarfile.open(archive) as sdist:
        files = {member.name: sdist.extractfile(member) for member in sdist if member.isfile()}
        return {name: file.read() for name, file in files.items() if file}
