"""A workspace for the command."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.command import Workspace


@pytest.fixture
def devqubit(tmp_path: Path) -> Workspace:
    """The command, in a workspace where nothing is."""
    return Workspace(tmp_path / "home", {"DEVQUBIT_CACHE_DIR": str(tmp_path / "cache")})
