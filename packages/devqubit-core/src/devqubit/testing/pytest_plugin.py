"""For the tests of a backend: `pytest_plugins = ["devqubit.testing.pytest_plugin"]`.

The conformance classes work without it. It does for the other tests of a suite what those
classes do for themselves: no variable of the developer's own devqubit reaches a test, and
its workspace and cache are new and empty. And it heads the report with the backends that
are installed, so that a report from elsewhere says what was tested.
"""

from __future__ import annotations

import pytest

from devqubit import __version__
from devqubit.storage import available_backends
from devqubit.testing._base import isolate

__all__ = ["devqubit_isolated", "pytest_report_header"]


@pytest.fixture(autouse=True)
def devqubit_isolated(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Takes `DEVQUBIT_*` out of the environment, for a new workspace and a new cache."""
    isolate(monkeypatch, tmp_path_factory)


def pytest_report_header() -> str:
    """Which core is tested against, and which backends are there."""
    found = (
        f"{backend.scheme}:// ({backend.distribution} {backend.version})"
        for backend in available_backends()
        if backend.distribution
    )
    return f"devqubit-core {__version__}: {', '.join(found)}"
