"""Azurite, Microsoft's own emulator of Blob Storage, in a process of its own."""

from __future__ import annotations

import base64
import os
import re
import secrets
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from azure.storage.blob import BlobServiceClient
from devqubit_azure import devqubit_storage_backend

from devqubit.plugin import Bucket, OpenRequest, Option

ACCOUNT = "lab"
KEY = base64.b64encode(secrets.token_bytes(64)).decode()
AZURITE = os.environ.get("AZURITE") or shutil.which("azurite-blob")

# Nothing of the developer's own configuration or credentials reaches a test.
for name in [name for name in os.environ if name.startswith(("AZURE_", "DEVQUBIT_"))]:
    del os.environ[name]
os.environ["DEVQUBIT_CACHE_DIR"] = tempfile.mkdtemp(prefix="devqubit-azure-tests-")
os.environ["AZURE_STORAGE_CONNECTION_STRING"] = f"AccountName={ACCOUNT};AccountKey={KEY}"

pytest.register_assert_rewrite("devqubit.testing")


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an Azurite with nothing in it."""
    if AZURITE is None:
        pytest.skip("no Azurite: npm install azurite, and set AZURITE=…/.bin/azurite-blob")
    folder = tmp_path_factory.mktemp("azurite")
    options = "--blobPort 0 --inMemoryPersistence --skipApiVersionCheck --disableTelemetry --silent"
    log = folder / "log"
    env = {**os.environ, "AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}"}
    with log.open("wb") as output:
        process = subprocess.Popen([AZURITE, *options.split()], cwd=folder, env=env, stdout=output)
    try:
        yield f"http://127.0.0.1:{_port(process, log)}/{ACCOUNT}"
    finally:
        process.terminate()
        process.wait(30)


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        said = re.search(r"listens on http://127\.0\.0\.1:(\d+)", log.read_text())
        if said:
            return int(said[1])
        time.sleep(0.05)
    raise RuntimeError(f"Azurite does not start: {log.read_text()}")


@pytest.fixture
def service(azurite: str) -> Iterator[BlobServiceClient]:
    """The SDK's own client, to prepare with and to look behind."""
    with BlobServiceClient(azurite, {"account_name": ACCOUNT, "account_key": KEY}) as client:
        yield client


@pytest.fixture
def container(service: BlobServiceClient) -> str:
    """The name of a new, empty container."""
    name = f"container-{uuid.uuid4().hex}"
    service.create_container(name)
    return name


@pytest.fixture
def open_bucket(container: str) -> Iterator[Callable[..., Bucket]]:
    """Opens a place in the container, as devqubit does for a URL, with these options."""
    opened: list[Bucket] = []

    def open_with(**options: Option) -> Bucket:
        request = OpenRequest(
            scheme="az",
            bucket=container,
            prefix="a team/x",
            location=f"az://{container}/a%20team/x",
            options=options,
        )
        opened.append(devqubit_storage_backend().open(request))
        return opened[-1]

    yield open_with
    for bucket in opened:
        bucket.close()


@pytest.fixture
def bucket(open_bucket: Callable[..., Bucket], azurite: str) -> Bucket:
    """A new, empty place."""
    return open_bucket(endpoint_url=azurite)
