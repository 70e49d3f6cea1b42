"""The toy backend, spoiled in each way that its author might, and what its users then read.

The messages are those of the wheels when they are run; the page for authors shows them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.packaging._dists import copy_of_toy

__all__ = ["CONFLICT", "DISABLED", "FAILURES", "NOT_INSTALLED", "Failure", "project"]

ERRORS = "devqubit.errors."
WHO = "The backend of memory://, devqubit-memory 1.0.0 (memory = devqubit_memory), is"


@dataclass(frozen=True)
class Failure:
    """A change of the toy backend that breaks it.

    Attributes:
        name: What is wrong, for the test's name.
        old: Text of its files.
        new: What stands there instead.
        message: What opening a `memory://` URL says.
    """

    name: str
    old: str
    new: str
    message: str


FAILURES = (
    Failure(
        name="raises-at-import",
        old="from itertools import count\n",
        new="from itertools import count\nimport memory_sdk\n",
        message=f"{ERRORS}PluginLoadError: {WHO} installed but fails to import: "
        "ModuleNotFoundError: No module named 'memory_sdk'",
    ),
    Failure(
        name="entry-point-nowhere",
        old='memory = "devqubit_memory"',
        new='memory = "devqubit_memories"',
        message=f"{ERRORS}PluginLoadError: {WHO.replace('memory)', 'memories)')} installed but "
        "fails to import: ModuleNotFoundError: No module named 'devqubit_memories'",
    ),
    Failure(
        name="wrong-api-version",
        old="api_version=1",
        new="api_version=2",
        message=f"{ERRORS}PluginVersionError: {WHO[:-3]} speaks version 2 of the plugin "
        "interface, this devqubit-core speaks version 1: pip install --upgrade devqubit-core",
    ),
    Failure(
        name="hook-returns-nonsense",
        old="plugin.StorageBackend(api_version=1, ",
        new="dict(api_version=1, ",
        message=f"{ERRORS}PluginLoadError: {WHO[:-3]} is broken: its hook returned dict, "
        "not a StorageBackend",
    ),
    Failure(
        name="no-hook",
        old="@plugin.hookimpl\n",
        new="",
        message=f"{ERRORS}PluginLoadError: {WHO[:-3]} is broken: TypeError: no function "
        "devqubit_storage_backend marked with @hookimpl returns a record",
    ),
    Failure(
        name="claims-another-scheme",
        old='schemes=("memory",)',
        new='schemes=("ram",)',
        message=f"{ERRORS}PluginLoadError: {WHO[:-3]} is broken: it does not claim 'memory', "
        "only ram",
    ),
    Failure(
        name="fails-to-open",
        old="        self.location, ",
        new='        raise RuntimeError("no room")\n        self.location, ',
        message=f"{ERRORS}PluginLoadError: {WHO} installed but fails to open memory://lab: "
        "RuntimeError: no room",
    ),
)

NOT_INSTALLED = f"{ERRORS}UnknownSchemeError: No backend serves memory://; there are: file"
CONFLICT = (
    f"{ERRORS}SchemeConflictError: memory:// is served by more than one installed distribution: "
    "devqubit-memory 1.0.0 (memory = devqubit_memory); rival-memory 1.0.0 (memory = "
    "rival_memory). Uninstall all but one, or set DEVQUBIT_DISABLED_PLUGINS to those to leave "
    "out, such as rival-memory"
)
DISABLED = (
    f"{ERRORS}UnknownSchemeError: memory:// is served by devqubit-memory 1.0.0 (memory = "
    "devqubit_memory), which the environment variable DEVQUBIT_DISABLED_PLUGINS leaves out"
)


def project(folder: Path, old: str, new: str) -> Path:
    """The toy backend's project with a text of its files replaced."""
    copy = copy_of_toy(folder)
    found = 0
    for path in (copy / "pyproject.toml", copy / "devqubit_memory.py"):
        text = path.read_text(encoding="utf-8")
        found += text.count(old)
        path.write_text(text.replace(old, new), encoding="utf-8")
    assert found == 1, f"{found} times {old!r}"
    return copy
