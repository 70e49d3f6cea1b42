"""Servers for the tests: real HTTP, on a free port of this machine, one of each a test run."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.servers.gcs import GCSServer
from tests.servers.s3 import S3Server

# These machines may stop for a moment: how long one example takes says nothing.
settings.register_profile("devqubit", deadline=None)
settings.load_profile("devqubit")

pytest.register_assert_rewrite("devqubit.testing")

# Nothing of the developer's own configuration or credentials reaches a test.
for name in [n for n in os.environ if n.startswith(("AWS_", "DEVQUBIT_", "GOOGLE_", "STORAGE_"))]:
    del os.environ[name]
os.environ.update(
    DEVQUBIT_CACHE_DIR=tempfile.mkdtemp(prefix="devqubit-tests-"),
    AWS_ACCESS_KEY_ID="testing",
    AWS_SECRET_ACCESS_KEY="testing",
    AWS_CONFIG_FILE=os.devnull,
    AWS_SHARED_CREDENTIALS_FILE=os.devnull,
    AWS_EC2_METADATA_DISABLED="true",
    NO_GCE_CHECK="true",
)


@pytest.fixture(scope="session", autouse=True)
def _cache() -> Iterator[None]:
    """A cache folder for this run alone, removed at its end."""
    yield
    shutil.rmtree(os.environ["DEVQUBIT_CACHE_DIR"], ignore_errors=True)


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """The address of an S3 server (moto's) with nothing in it."""
    with S3Server() as server:
        yield server.endpoint


@pytest.fixture
def s3_bucket(s3_endpoint: str) -> str:
    """The name of a new, empty bucket on the S3 server."""
    import boto3

    name = f"bucket-{uuid.uuid4().hex}"
    boto3.client("s3", endpoint_url=s3_endpoint, region_name="us-east-1").create_bucket(Bucket=name)
    return name


@pytest.fixture(scope="session")
def gcs_server() -> Iterator[GCSServer]:
    """A Cloud Storage server with nothing in it."""
    with GCSServer() as server:
        yield server


@pytest.fixture
def gcs_bucket(gcs_server: GCSServer) -> str:
    """The name of a new, empty bucket on the Cloud Storage server."""
    name = f"bucket-{uuid.uuid4().hex}"
    gcs_server.create_bucket(name)
    return name
