"""Credentials that expire half way, while 16 threads work: `nox -s reliability`.

Each test prints what it counted (`-s` shows it). `CREDENTIALS_OBJECTS` chooses how many objects.
Nothing is left to chance but the order of the threads.
"""

from __future__ import annotations

import io
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from devqubit.storage import ObjectStore, create_store
from tests.servers.gcs import GCSServer
from tests.servers.gcs_account import write_account
from tests.servers.relay import Answer, Relay, Request, Rule
from tests.servers.s3_issuer import PROFILE, CredentialIssuer

pytestmark = [pytest.mark.reliability, pytest.mark.timeout(300)]

OBJECTS = int(os.environ.get("CREDENTIALS_OBJECTS", "600"))
THREADS = 16
LARGE = bytes(20_000_000)
EXPIRED = b"<Error><Code>ExpiredToken</Code><Message>The token has expired.</Message></Error>"


class Expiry:
    """After so many requests, whatever token was used until then is refused."""

    def __init__(self, after: int) -> None:
        self.refused = 0
        self._left = after
        self._old: set[str] = set()
        self._lock = threading.Lock()

    def __call__(self, request: Request) -> bool:
        token = request.headers.get("x-amz-security-token", "")
        with self._lock:
            self._left -= 1
            if self._left >= 0:
                self._old.add(token)
                return False
            self.refused += token in self._old
            return token in self._old


class Lifetime:
    """Each token is refused so many seconds after it was first seen."""

    def __init__(self, seconds: float) -> None:
        self.refused = 0
        self._seconds = seconds
        self._first: dict[str, float] = {}
        self._lock = threading.Lock()

    def __call__(self, request: Request) -> bool:
        token, now = request.headers.get("x-amz-security-token", ""), time.monotonic()
        with self._lock:
            expired = now - self._first.setdefault(token, now) > self._seconds
            self.refused += expired
            return expired


@pytest.fixture
def issuer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CredentialIssuer:
    """The profile whose credentials come from a program."""
    issuer = CredentialIssuer(tmp_path)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(issuer.config))
    return issuer


@pytest.fixture
def relay(s3_endpoint: str) -> Iterator[Relay]:
    """A relay before the S3 server."""
    with Relay(s3_endpoint) as relay:
        yield relay


@pytest.fixture
def url(relay: Relay, s3_bucket: str) -> str:
    """A place behind it, with that profile."""
    return f"s3://{s3_bucket}/x?endpoint_url={relay.endpoint}&region=us-east-1&profile={PROFILE}"


def write_and_read(store: ObjectStore, objects: int) -> None:
    """Writes objects from 16 threads; each is looked for and read at once."""

    def one(number: int) -> None:
        data = b"object %d" % number
        digest = store.put_bytes(data)
        assert store.exists(digest)
        assert store.get_bytes(digest) == data

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(one, range(objects)))


@pytest.mark.parametrize("status", [400, 403])
def test_s3_refuses_before_the_time(
    issuer: CredentialIssuer, relay: Relay, url: str, status: int
) -> None:
    """Credentials good for 12 hours that are refused half way: renewed once, and nothing fails."""
    expiry = Expiry(after=OBJECTS * 3 // 2)
    relay.add(Rule(where=expiry), Answer(status, EXPIRED))
    with create_store(url) as store:
        write_and_read(store, OBJECTS)
    print(f"{len(relay.requests)} requests, {expiry.refused} refused, {issuer.issued} issued")
    assert expiry.refused > 0
    assert issuer.issued == 2


def test_s3_refuses_in_an_upload(issuer: CredentialIssuer, relay: Relay, url: str) -> None:
    """Refused between the parts of an upload, which goes on with renewed credentials."""
    with create_store(url) as store:
        expiry = Expiry(after=3)
        relay.add(Rule(where=expiry), Answer(403, EXPIRED))
        digest = store.put_file(io.BytesIO(LARGE))
        assert expiry.refused > 0
        assert store.get_bytes(digest) == LARGE
    assert issuer.issued == 2


def test_s3_refuses_by_the_clock(issuer: CredentialIssuer, relay: Relay, url: str) -> None:
    """Credentials that say when they expire are renewed before that, by boto3 itself."""
    issuer.expire_in(timedelta(minutes=2))
    lifetime = Lifetime(2)
    relay.add(Rule(where=lifetime), Answer(403, EXPIRED))
    began = time.monotonic()
    with create_store(url) as store:
        while time.monotonic() < began + 6:
            write_and_read(store, 5)
    print(f"{len(relay.requests)} requests, {lifetime.refused} refused, {issuer.issued} issued")
    assert lifetime.refused == 0
    assert issuer.issued > 3


def test_gs_refuses_half_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens that the service refuses every half second: google-auth's renewal, nothing fails."""
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "account.json"))
    # google-auth looks for restrictions at Google's in the background; not from here.
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    with GCSServer(require_auth=True) as server:
        server.create_bucket("bucket")
        write_account(server, tmp_path / "account.json")
        done = threading.Event()

        def revoke() -> None:
            while not done.wait(0.5):
                server.authority.tokens.clear()

        revoking = threading.Thread(target=revoke)
        revoking.start()
        try:
            with create_store(f"gs://bucket/x?endpoint_url={server.endpoint}") as store:
                write_and_read(store, OBJECTS)
                assert store.get_bytes(store.put_file(io.BytesIO(LARGE))) == LARGE
        finally:
            done.set()
            revoking.join()
        issued = [target for _, target in server.requests].count("/token")
    print(f"{len(server.requests)} requests, {issued} tokens issued")
    assert issued > 1
