"""Credentials that expire half way, and a server that refuses them from then on.

Each test prints what it counted (`-s` shows it). `CREDENTIALS_OBJECTS` chooses how many objects.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from devqubit.storage import ObjectStore, create_store
from tests.servers.relay import Answer, Relay, Request, Rule

pytestmark = [pytest.mark.reliability, pytest.mark.timeout(300)]

OBJECTS = int(os.environ.get("CREDENTIALS_OBJECTS", "600"))
THREADS = 16
EXPIRED = b"<Error><Code>ExpiredToken</Code><Message>The token has expired.</Message></Error>"

# Says who asks by a number of its own, and counts how often it ran.
PROCESS = """
import json, sys
from pathlib import Path
folder = Path(sys.argv[1])
count = len(list(folder.glob("ran*"))) + 1
(folder / f"ran{count}").touch()
print(json.dumps({
    "Version": 1, "AccessKeyId": f"KEY{count}", "SecretAccessKey": "secret",
    "SessionToken": f"token{count}", "Expiration": (folder / "expires").read_text(),
}))
"""


class Issuer:
    """A `credential_process` of a profile, whose credentials have an expiry of choice."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "issuer.py").write_text(PROCESS)
        command = f"{sys.executable} {folder / 'issuer.py'} {folder}"
        (folder / "config").write_text(f"[profile lab]\ncredential_process = {command}\n")

    def expire_in(self, hours: float) -> None:
        """How long what it gives from now on says to be good for."""
        expires = datetime.now(timezone.utc) + timedelta(hours=hours)
        (self._folder / "expires").write_text(expires.isoformat())

    @property
    def runs(self) -> int:
        """How often it was asked."""
        return len(list(self._folder.glob("ran*")))


class Expiry:
    """Refuses, from the nth request on, every token that was seen before it."""

    def __init__(self, after: int) -> None:
        self.refused = 0
        self._left = after
        self._seen: set[str] = set()
        self._lock = threading.Lock()

    def __call__(self, request: Request) -> bool:
        token = request.headers.get("x-amz-security-token", "")
        with self._lock:
            self._left -= 1
            if self._left > 0:
                self._seen.add(token)
            self.refused += token in self._seen and self._left <= 0
            return token in self._seen and self._left <= 0


@pytest.fixture
def issuer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Issuer:
    """The profile `lab`, which runs a program for its credentials."""
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    return Issuer(tmp_path)


@pytest.fixture
def relay(s3_endpoint: str) -> Iterator[Relay]:
    """A relay before the S3 server."""
    with Relay(s3_endpoint) as relay:
        yield relay


def write_and_read(store: ObjectStore) -> None:
    """Objects of one's own from 16 threads, each read back by all the means there are."""

    def one(number: int) -> None:
        data = b"object %d" % number
        digest = store.put_bytes(data)
        assert store.get_bytes(digest) == data
        assert store.exists(digest)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(one, range(OBJECTS)))


@pytest.mark.parametrize("status", [400, 403])
def test_refused_before_its_time(
    issuer: Issuer, relay: Relay, s3_bucket: str, status: int
) -> None:
    """What the server refuses long before the expiry is asked for anew; no operation fails."""
    issuer.expire_in(12)
    expiry = Expiry(after=OBJECTS * 3 // 2)
    relay.add(Rule(where=expiry), Answer(status, EXPIRED))
    url = f"s3://{s3_bucket}/x?endpoint_url={relay.endpoint}&region=us-east-1&profile=lab"
    with create_store(url) as store:
        write_and_read(store)
        store.put_bytes(bytes(20_000_000))
    print(
        f"{len(relay.requests)} requests, {expiry.refused} of them refused with {status}, "
        f"{issuer.runs} runs of the credential_process"
    )
    assert expiry.refused > 0
    assert issuer.runs == 2
