"""Here `devqubit-memory` is not installed: its module is registered in the process.

An author has no such file. `nox -s packaging` runs the same tests on the installed wheel.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from devqubit.plugin import register_plugin, unregister_plugin
from tests.toy_backend import devqubit_memory


@pytest.fixture(autouse=True, scope="module")
def _registered() -> Iterator[None]:
    register_plugin(devqubit_memory)
    yield
    unregister_plugin(devqubit_memory)
