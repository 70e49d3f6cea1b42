"""devqubit's conformance kit on `memory://`."""

from __future__ import annotations

import uuid

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


class _Memory:
    @pytest.fixture
    def url(self) -> str:
        return f"memory://test-{uuid.uuid4().hex}/x"


class TestBucket(_Memory, BucketConformance):
    pass


class TestRaces(_Memory, RaceConformance):
    pass


class TestObjectStore(_Memory, ObjectStoreConformance):
    pass


class TestRegistry(_Memory, RegistryConformance):
    pass


class TestSharedRegistry(_Memory, SharedRegistryConformance):
    pass


class TestMaintenance(_Memory, MaintenanceConformance):
    pass


class TestPlugin(PluginConformance):
    scheme = "memory"
