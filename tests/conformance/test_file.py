"""The conformance suite on the local file system."""

from __future__ import annotations

from pathlib import Path

import pytest

from devqubit.testing import (
    BucketConformance,
    MaintenanceConformance,
    ObjectStoreConformance,
    PluginConformance,
    RaceConformance,
    RegistryConformance,
    SharedRegistryConformance,
)


class _File:
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        folder = tmp_path / "with space, %25 and é"
        return "file://" + str(folder).replace("%", "%25")


class TestBucket(_File, BucketConformance):
    pass


class TestRaces(_File, RaceConformance):
    pass


class TestObjectStore(_File, ObjectStoreConformance):
    pass


class TestRegistry(_File, RegistryConformance):
    pass


class TestSharedRegistry(_File, SharedRegistryConformance):
    pass


class TestMaintenance(_File, MaintenanceConformance):
    pass


class TestPlugin(PluginConformance):
    scheme = "file"
