"""The conformance suite of devqubit on Azure Blob Storage, spoken by Azurite over HTTP."""

from __future__ import annotations

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


class _Azure:
    @pytest.fixture
    def url(self, azurite: str, container: str) -> str:
        return f"az://{container}/a team/x?endpoint_url={azurite}"


class TestBucket(_Azure, BucketConformance):
    """Bytes, conditions, ranges and lists."""

    # The SDK sets 8 bytes of memory aside for each that it reads, and never touches them:
    # list() takes the length of a body's generator for a number of items.
    test_download_streams = pytest.mark.xfail(reason="tracemalloc counts what is set aside")(
        BucketConformance.test_download_streams
    )


class TestRaces(_Azure, RaceConformance):
    """Many at once."""


class TestObjectStore(_Azure, ObjectStoreConformance):
    """Artifacts."""


class TestRegistry(_Azure, RegistryConformance):
    """Runs and baselines."""


class TestSharedRegistry(_Azure, SharedRegistryConformance):
    """A registry of several at once."""


class TestMaintenance(_Azure, MaintenanceConformance):
    """Checking, cleaning and copying."""


class TestPlugin(PluginConformance):
    """What is declared, and what the distribution says of itself."""

    scheme = "az"
