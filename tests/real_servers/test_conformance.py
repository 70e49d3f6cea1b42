"""The conformance suite on real servers; what differs is in `_deviations.py`."""

from __future__ import annotations

import pytest

from devqubit.testing import (
    BucketConformance,
    MaintenanceConformance,
    ObjectStoreConformance,
    RaceConformance,
    RegistryConformance,
    SharedRegistryConformance,
)


class _Server:
    @pytest.fixture
    def url(self, url: str) -> str:
        return url


class TestBucket(_Server, BucketConformance):
    pass


class TestRaces(_Server, RaceConformance):
    pass


class TestObjectStore(_Server, ObjectStoreConformance):
    pass


class TestRegistry(_Server, RegistryConformance):
    pass


class TestSharedRegistry(_Server, SharedRegistryConformance):
    pass


class TestMaintenance(_Server, MaintenanceConformance):
    pass
