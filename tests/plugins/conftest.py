"""Installed distributions, and the S3 server with a relay before it, which makes it fail."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from devqubit.plugin import Bucket, open_bucket
from tests.servers.relay import Answer, Relay, Rule


@pytest.fixture
def relay(s3_endpoint: str) -> Iterator[Relay]:
    """A relay before the S3 server, which passes everything on until it is told otherwise."""
    with Relay(s3_endpoint) as relay:
        yield relay


@pytest.fixture
def s3_url(relay: Relay, s3_bucket: str) -> str:
    """A new, empty place on the S3 server, behind the relay."""
    return f"s3://{s3_bucket}/x?endpoint_url={relay.endpoint}&region=us-east-1"


@pytest.fixture
def s3(s3_url: str) -> Iterator[Bucket]:
    """The bucket at that place."""
    bucket = open_bucket(s3_url)
    yield bucket
    bucket.close()


@pytest.fixture
def plain_s3(s3_endpoint: str) -> Any:
    """boto3's own client of the S3 server, past the relay."""
    import boto3

    return boto3.client("s3", endpoint_url=s3_endpoint, region_name="us-east-1")


@pytest.fixture
def refuse(relay: Relay) -> Callable[..., None]:
    """Lets the relay refuse requests in the words of the service.

    Its arguments are a status, a code of the service, and those of a `Rule`.
    """

    def refuse(status: int, code: str, /, **rule: Any) -> None:
        body = f"<Error><Code>{code}</Code><Message>No.</Message></Error>".encode()
        relay.add(Rule(**rule), Answer(status, body))

    return refuse


Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Installs a distribution: its metadata, and its module if it has one."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    modules = set()

    def install(
        name: str, code: str | None, *, scheme: str = "toy", version: str = "1.5", value: str = ""
    ) -> None:
        module = name.replace("-", "_")
        modules.add(module)
        info = site / f"{module}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(
            f"[devqubit.storage_backends]\n{scheme} = {value or module}\n"
        )
        if code is not None:
            (site / f"{module}.py").write_text(code)

    yield install
    for module in modules:
        sys.modules.pop(module, None)
