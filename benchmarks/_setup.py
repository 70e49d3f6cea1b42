"""What jobs are given: where their rivals are and where they may write."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

__all__ = ["OURS", "ROOT", "Contender", "Rival", "Setup", "clean_environment"]

ROOT: Final = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Rival:
    """A rival in a virtual environment of its own.

    The published devqubit-engine owns the same package name as this project, and s3fs wants
    another botocore, so neither can share one with it.

    Attributes:
        python: The interpreter of that environment.
        distribution: What is compared there.
        version: Of that distribution.
    """

    python: str
    distribution: str
    version: str

    @property
    def name(self) -> str:
        """As it is called in the table."""
        return f"{self.distribution} {self.version}"

    @classmethod
    def at(cls, python: str, distribution: str, install: str) -> Rival:
        """The rival of an interpreter.

        Args:
            python: The interpreter.
            distribution: What it should have.
            install: What to give to pip if it has not.

        Raises:
            ValueError: There is no such interpreter, or it has no such distribution.
        """
        code = "import sys; from importlib.metadata import version; print(version(sys.argv[1]))"
        try:
            found = subprocess.run(
                [python, "-c", code, distribution], check=True, capture_output=True, text=True
            ).stdout
        except (OSError, subprocess.CalledProcessError) as exc:
            raise ValueError(
                f"{python} has no {distribution}: make it with 'python -m venv DIR' and "
                f"'DIR/bin/pip install {install}', and give DIR/bin/python"
            ) from exc
        return cls(python, distribution, found.strip())


@dataclass(frozen=True, slots=True)
class Contender:
    """A client in the environment that has it.

    Attributes:
        name: As it is called in the table.
        client: Its class in `_clients`.
        python: The interpreter to run it in.
    """

    name: str
    client: str
    python: str = sys.executable


OURS: Final = Contender("ours", "Ours")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What a job is given.

    Attributes:
        folder: Its own, empty, deleted afterwards.
        rival: devqubit-engine; None if the user named none.
        s3fs: s3fs; None if the user named none.
        endpoint: An S3 server of the user's; None to start one.
        large: Bytes of a large object.
    """

    folder: Path
    rival: Rival | None
    s3fs: Rival | None
    endpoint: str | None
    large: int

    def rivals(self) -> tuple[list[Contender], list[str]]:
        """The rivals that are there, and of those that are not, what to do about it."""
        found = [Contender("boto3", "Boto3")]
        missing = []
        if find_spec("obstore") is None:
            missing.append("no obstore to compare with: pip install obstore")
        else:
            found.append(Contender("obstore", "Obstore"))
        if self.s3fs is None:
            missing.append("no s3fs to compare with: give --s3fs-python")
        else:
            found.append(Contender(self.s3fs.name, "S3fs", self.s3fs.python))
        if self.rival is None:
            missing.append("no devqubit-engine to compare with: give --rival-python")
        else:
            found.append(Contender(self.rival.name, "Engine", self.rival.python))
        return found, missing


def clean_environment() -> None:
    """Takes the user's devqubit settings and module path away from this process's children.

    The module path could put one devqubit in the place of the other.
    """
    for name in [name for name in os.environ if name.startswith("DEVQUBIT_")]:
        del os.environ[name]
    os.environ.pop("PYTHONPATH", None)
