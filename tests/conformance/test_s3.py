"""The conformance suite on S3, spoken by moto's server over HTTP."""

from __future__ import annotations

from collections.abc import Sequence

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


class _S3:
    @pytest.fixture
    def url(self, s3_endpoint: str, s3_bucket: str) -> str:
        return f"s3://{s3_bucket}/a team/x?endpoint_url={s3_endpoint}&region=us-east-1"


class TestBucket(_S3, BucketConformance):
    @pytest.fixture
    def secrets(self, monkeypatch: pytest.MonkeyPatch) -> Sequence[str]:
        secret, token = "secret-key-of-the-lab", "session-token-of-the-lab"
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
        monkeypatch.setenv("AWS_SESSION_TOKEN", token)
        return secret, token


class TestRaces(_S3, RaceConformance):
    pass


class TestObjectStore(_S3, ObjectStoreConformance):
    pass


class TestRegistry(_S3, RegistryConformance):
    pass


class TestSharedRegistry(_S3, SharedRegistryConformance):
    pass


class TestMaintenance(_S3, MaintenanceConformance):
    pass


class TestPlugin(PluginConformance):
    scheme = "s3"
    sdk_modules = ("botocore", "urllib3")
