"""The Cloud Storage server of the tests, with Google's client and a plain one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from tests.servers.gcs import GCSServer
from tests.servers.plain_http import PlainClient


@pytest.fixture
def server() -> Iterator[GCSServer]:
    """A server with the empty bucket `bucket`."""
    with GCSServer() as server:
        server.create_bucket("bucket")
        yield server


@pytest.fixture
def client(server: GCSServer) -> Iterator[storage.Client]:
    """Google's client, without credentials."""
    options = {"api_endpoint": server.endpoint}
    client = storage.Client("tests", credentials=AnonymousCredentials(), client_options=options)
    yield client
    client.close()


@pytest.fixture
def bucket(client: storage.Client) -> storage.Bucket:
    """The bucket `bucket`, by Google's client."""
    return client.bucket("bucket")


@pytest.fixture
def ask(server: GCSServer) -> Iterator[PlainClient]:
    """A plain client of the server."""
    client = PlainClient(server.endpoint)
    yield client
    client.close()
