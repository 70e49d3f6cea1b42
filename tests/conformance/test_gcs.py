"""The conformance suite on Cloud Storage, spoken by our own server over HTTP."""

from __future__ import annotations

import pytest

from devqubit.testing import (
    BucketConformance,
    ObjectStoreConformance,
    RaceConformance,
    RegistryConformance,
    SharedRegistryConformance,
)
from tests.servers.gcs import GCSServer


class _GCS:
    @pytest.fixture
    def url(self, gcs_server: GCSServer, gcs_bucket: str) -> str:
        return f"gs://{gcs_bucket}/a team/x?endpoint_url={gcs_server.endpoint}&anonymous=true"


class TestBucket(_GCS, BucketConformance):
    pass


class TestRaces(_GCS, RaceConformance):
    pass


class TestObjectStore(_GCS, ObjectStoreConformance):
    pass


class TestRegistry(_GCS, RegistryConformance):
    pass


class TestSharedRegistry(_GCS, SharedRegistryConformance):
    pass
