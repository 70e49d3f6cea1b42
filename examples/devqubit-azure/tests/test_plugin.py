"""How devqubit finds the backend."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points

from devqubit_azure import devqubit_storage_backend


def test_scheme_and_entry_point_agree() -> None:
    """Each scheme that is declared is the name of an entry point of the package."""
    schemes = devqubit_storage_backend().schemes
    found = entry_points(group="devqubit.storage_backends", value="devqubit_azure")
    assert sorted(point.name for point in found) == sorted(schemes)


def test_declaration_loads_no_sdk() -> None:
    """Asking what the backend is does not wait for Azure's SDK."""
    program = (
        "import sys, devqubit_azure; devqubit_azure.devqubit_storage_backend(); "
        "print([name for name in sys.modules if name.startswith(('azure', 'requests'))])"
    )
    child = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert child.stdout.strip() == b"[]"
