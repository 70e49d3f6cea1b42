"""The `devqubit` command as a process of its own, with a workspace of its own."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from devqubit.storage import create_registry, create_store

__all__ = ["INTERRUPTIBLE", "PROGRAM", "Workspace"]

PROGRAM = [sys.executable, "-c", "from devqubit.cli import main; main(prog_name='devqubit')"]

# Shells have jobs ignore Ctrl-C, and children inherit that.
INTERRUPTIBLE = [
    *PROGRAM[:2],
    f"import signal; signal.signal(signal.SIGINT, signal.default_int_handler); {PROGRAM[2]}",
]


class Workspace:
    """A workspace, and the command that works in it.

    Args:
        home: The folder.
        variables: What else is in the command's environment.
    """

    def __init__(self, home: Path, variables: Mapping[str, str] | None = None) -> None:
        self.home = home
        self.environment = {**os.environ, "DEVQUBIT_HOME": str(home), **(variables or {})}

    def __call__(self, *arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Runs the command, as a program would."""
        return subprocess.run(
            [*PROGRAM, *arguments], capture_output=True, input=given, env=self.environment
        )

    def text(self, *arguments: str) -> str:
        """The output of a command that must succeed."""
        done = self(*arguments)
        assert (done.returncode, done.stderr) == (0, b"")
        return done.stdout.decode()

    def rows(self, *arguments: str) -> list[list[str]]:
        """The cells of a table."""
        return [line.split("\t") for line in self.text(*arguments).splitlines()]

    def json(self, *arguments: str) -> list[Any]:
        """The objects that a command prints with `--json`."""
        return [json.loads(line) for line in self.text(*arguments, "--json").splitlines()]

    def refused(self, *arguments: str) -> tuple[int, str]:
        """Exit code and message of a command that fails with one line."""
        done = self(*arguments)
        lines = done.stderr.decode().splitlines()
        assert len(lines) == 1, lines
        return done.returncode, lines[0]

    def on_terminal(self, *arguments: str, typed: bytes = b"") -> tuple[int, str]:
        """Exit code, and all that a person sees who runs the command and types something."""
        person, terminal = pty.openpty()
        environment = {**self.environment, "TERM": "xterm-256color", "COLUMNS": "120"}
        child = subprocess.Popen(
            [*PROGRAM, *arguments],
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            env=environment,
            start_new_session=True,
        )
        os.close(terminal)
        os.write(person, typed)
        seen = b""
        while True:
            try:
                seen += os.read(person, 65536)
            except OSError:  # how Linux says that the other side is closed
                break
        os.close(person)
        return child.wait(60), seen.decode()

    def artifact(self, data: bytes) -> str:
        """Stores an object."""
        with create_store(self.home / "objects") as store:
            return store.put_bytes(data)

    def run(self, run_id: str, *digests: str, **fields: Any) -> None:
        """Saves a run that refers to objects."""
        about = {"kind": "counts", "media_type": "application/json", "role": "results"}
        artifacts = [{**about, "digest": digest} for digest in digests]
        record = {"run_id": run_id, "project": "bell", "created_at": "2026-01-31T12:00:00Z"}
        with create_registry(self.home) as registry:
            info = {"status": "FINISHED"}
            registry.save({**record, "info": info, "artifacts": artifacts, **fields})
