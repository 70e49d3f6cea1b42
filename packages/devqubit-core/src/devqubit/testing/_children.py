"""Other processes: a function of a module is called in a new interpreter, as spawn would."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence

__all__ = ["finished", "in_processes", "start_child"]


def in_processes(function: Callable[..., str], calls: Sequence[Sequence[str]]) -> list[str]:
    """Calls a function in as many processes at once as there are lists of arguments.

    Args:
        function: One of a module's top level, which takes and returns text.
        calls: The arguments of each.

    Returns:
        What each returned, in the order of `calls`.
    """
    children = [start_child(function, *arguments) for arguments in calls]
    try:
        return [finished(child) for child in children]
    finally:
        for child in children:
            _end(child)


def start_child(function: Callable[..., str], *arguments: str) -> subprocess.Popen[str]:
    """Starts a process that calls a function of a module, which returns text."""
    program = (
        f"import sys; from {function.__module__} import {function.__name__} as main; "
        "print(main(*sys.argv[1:]), end='')"
    )
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603


def finished(child: subprocess.Popen[str], timeout: float = 120) -> str:
    """What the function that a child called returned, if it ends in `timeout` seconds."""
    out, _ = child.communicate(timeout=timeout)
    assert child.returncode == 0
    return out


def _end(child: subprocess.Popen[str]) -> None:
    child.kill()  # does nothing to one that has ended
    child.wait()
    if child.stdout is not None:
        child.stdout.close()
