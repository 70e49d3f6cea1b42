"""What jobs are given: where their rivals are and where they may write."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["ROOT", "Rival", "Setup", "clean_environment"]

ROOT: Final = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Rival:
    """The published devqubit-engine, in a virtual environment of its own.

    It owns the same package name as this project, so the two cannot share one.

    Attributes:
        python: The interpreter of that environment.
        version: Of devqubit-engine there.
    """

    python: str
    version: str

    @property
    def name(self) -> str:
        """As it is called in the table."""
        return f"devqubit-engine {self.version}"

    @classmethod
    def at(cls, python: str) -> Rival:
        """The rival of an interpreter.

        Raises:
            ValueError: There is no such interpreter, or devqubit-engine is not there.
        """
        code = "from importlib.metadata import version; print(version('devqubit-engine'))"
        try:
            found = subprocess.run(
                [python, "-c", code], check=True, capture_output=True, text=True
            ).stdout
        except (OSError, subprocess.CalledProcessError) as exc:
            raise ValueError(
                f"{python} has no devqubit-engine: make it with 'python -m venv DIR' and "
                "'DIR/bin/pip install devqubit==0.1.12', and give DIR/bin/python"
            ) from exc
        return cls(python, found.strip())


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What a job is given.

    Attributes:
        folder: Its own, empty, deleted afterwards.
        rival: None if the user named none.
        endpoint: An S3 server of the user's; None to start one.
    """

    folder: Path
    rival: Rival | None
    endpoint: str | None


def clean_environment() -> None:
    """Takes the user's devqubit settings and module path away from this process's children.

    The module path could put one devqubit in the place of the other.
    """
    for name in [name for name in os.environ if name.startswith("DEVQUBIT_")]:
        del os.environ[name]
    os.environ.pop("PYTHONPATH", None)
