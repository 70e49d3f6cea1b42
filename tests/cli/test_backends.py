"""`devqubit backends`, as a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version


def devqubit(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the command."""
    command = [sys.executable, "-c", "from devqubit.cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_list() -> None:
    """One line for each backend, with tabs where no person reads it."""
    lines = [line.split("\t") for line in devqubit("backends").stdout.splitlines()]
    assert [line[:4] for line in lines] == [
        ["file", "ready", "devqubit-core", version("devqubit-core")],
        ["gs", "not loaded", "devqubit-gcs", version("devqubit-gcs")],
        ["s3", "not loaded", "devqubit-s3", version("devqubit-s3")],
    ]


def test_parameters_of_a_scheme() -> None:
    """A scheme that is asked for is tried, and shows its URL parameters with help."""
    first, *parameters = devqubit("backends", "s3").stdout.splitlines()
    assert first.split("\t")[:2] == ["s3", "ready"]
    assert "region\tstr\tAWS region of the bucket\teu-central-1" in parameters


def test_json() -> None:
    """Each line is an object."""
    found = [
        json.loads(line)
        for line in devqubit("backends", "--load", "--json").stdout.split("\n")
        if line
    ]
    assert [(info["scheme"], info["status"]) for info in found] == [
        ("file", "ready"),
        ("gs", "ready"),
        ("s3", "ready"),
    ]
    assert found[0]["parameters"][0]["choices"] == ["full", "fast"]


def test_unknown_scheme() -> None:
    """An unknown scheme is a mistake in typing: one line, and exit code 2."""
    done = devqubit("backends", "s33")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: No backend serves s33://")
    assert len(done.stderr.splitlines()) == 1


def test_debug() -> None:
    """With --debug the whole traceback is there."""
    done = devqubit("--debug", "backends", "s33")
    assert "Traceback" in done.stderr
    assert "UnknownSchemeError" in done.stderr


def test_help_loads_nothing_heavy() -> None:
    """Help comes without an SDK, without the drawing of tables and without installed packages."""
    program = (
        "import sys\nbefore = set(sys.modules)\n"
        "from devqubit.cli import main\nmain(['--help'], standalone_mode=False)\n"
        "heavy = {'boto3', 'google.cloud', 'rich', 'sqlite3'} & set(sys.modules)\n"
        "print(sorted(heavy - before))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"
