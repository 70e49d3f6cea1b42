"""The kit on every bucket of `broken_buckets` and every plugin of `broken_plugins`.

Run by `test_broken.py`, which says what must fail; the name of this file hides it from pytest.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path

import pytest

from devqubit import testing
from tests.kit.broken_buckets import SCHEMES, TOKEN
from tests.kit.broken_plugins import PLUGINS
from tests.kit.table import CLASSES


def place(scheme: str) -> type:
    """What an author writes: where the bucket of a scheme has a new place, and its secrets."""

    class Place:
        @pytest.fixture
        def url(self, tmp_path: Path) -> str:
            # The first folder of the path is the name of the bucket.
            return f"{scheme}:/{tmp_path}/{uuid.uuid4().hex}/x?token={TOKEN}"

        @pytest.fixture
        def secrets(self) -> Sequence[str]:
            return (TOKEN,)

    return Place


for scheme, bucket in SCHEMES.items():
    for part in CLASSES:
        base = getattr(testing, f"{part}Conformance")
        name = f"Test{bucket.__name__}{part}"
        globals()[name] = type(name, (place(scheme), base), {})

for name, plugin in PLUGINS.items():
    attributes = {"scheme": plugin.scheme, "sdk_modules": ("colorsys",)}
    globals()[f"Test{name}Plugin"] = type(name, (testing.PluginConformance,), attributes)

del base, bucket  # or pytest would collect the last of them once more
