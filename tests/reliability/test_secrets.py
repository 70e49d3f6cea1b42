"""Secrets as canaries in the environment, in URLs and options, with everything at DEBUG."""

from __future__ import annotations

import json
import logging
import os
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from devqubit.errors import DevQubitError
from devqubit.maintenance import Place, copy, diagnose, open_place, verify
from devqubit.storage import create_registry, create_store
from tests.cli.command import Workspace
from tests.servers.gcs import GCSServer
from tests.servers.gcs_account import write_account
from tests.servers.relay import Answer, Relay, Rule

pytestmark = pytest.mark.reliability

CANARY = "c4n4ry"
SECRETS = {
    "AWS_SECRET_ACCESS_KEY": f"{CANARY}-secret-access-key",
    "AWS_SESSION_TOKEN": f"{CANARY}-session-token",
    "DEVQUBIT_TEST_UNUSED": f"{CANARY}-unused",
}
# These log requests as they send them: botocore what it signs, with the session's token, and
# urllib3 paths. They are not ours to silence, and DEBUG is not their default.
NOT_OURS = ("botocore", "boto3", "urllib3", "google", "requests", "s3transfer")
COMMANDS = (
    "info",
    "doctor",
    "config",
    "backends s3",
    "runs list",
    "runs show nope",
    "projects",
    "refresh",
    "ls",
    "cat 0000",
    "verify",
    "gc --dry-run",
    "prune --older-than 1d --dry-run",
)


@dataclass(frozen=True)
class Lab:
    """A place that is used with secrets of all kinds.

    Attributes:
        url: Where it is.
        endpoint: The server that it is on.
        known: Gives all that nobody may see.
    """

    url: str
    endpoint: str
    known: Callable[[], list[str]]

    def seen(self, text: str) -> bool:
        """Whether a text shows one of the secrets."""
        return any(secret in text for secret in self.known())


@pytest.fixture(params=["s3", "gs"])
def lab(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Lab]:
    """A place on S3 with keys and a session token, one on Cloud Storage with an account's file."""
    for name, secret in SECRETS.items():
        monkeypatch.setenv(name, secret)
    if request.param == "s3":
        bucket, endpoint = (request.getfixturevalue(f) for f in ("s3_bucket", "s3_endpoint"))
        url = f"s3://{bucket}/x?endpoint_url={endpoint}&region=us-east-1"
        yield Lab(url, endpoint, lambda: [CANARY])
        return
    with GCSServer(require_auth=True) as server:
        server.create_bucket("bucket")
        file = tmp_path_factory.mktemp("account") / "account.json"
        # Any line of the key, but for those that say that it is one.
        key = write_account(server, file).splitlines()[1:-1]
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
        monkeypatch.setenv("NO_GCE_CHECK", "true")
        url = f"gs://bucket/x?endpoint_url={server.endpoint}"
        yield Lab(url, server.endpoint, lambda: [CANARY, *key, *server.authority.tokens])


def use(place: Place, other: Place) -> list[object]:
    """Does a bit of everything; what it gives."""
    digest = place.store.put_bytes(b"x")
    place.registry.save({"run_id": "r", "ref": digest})
    place.registry.update("r", lambda run: run.update(x=1))
    given: list[object] = [place.store, place.registry, place.store.bucket]
    given += [verify(place.store, place.registry), copy(place, other)]
    given += [diagnose(place.store.bucket), place.registry.refresh(), place.registry.load("r")]
    return given


def test_library(lab: Lab, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """No secret is in a repr, a log line of ours, an error with its causes, or the index."""
    cache = Path(os.environ["DEVQUBIT_CACHE_DIR"])
    with caplog.at_level(logging.DEBUG):
        with open_place(lab.url) as place, open_place(str(tmp_path / "copy")) as other:
            shown = [repr(thing) for thing in use(place, other)]
        with Relay(lab.endpoint) as relay:
            for status in (401, 403, 404, 500):
                relay.clear()
                relay.add(Rule(), Answer(status, b"<Error><Code>AccessDenied</Code></Error>"))
                broken = lab.url.replace(lab.endpoint, relay.endpoint) + "&max_attempts=2"
                shown += failures(broken)
        base, _, _ = lab.url.partition("://")
        shown += failures(f"{base}://user:{CANARY}@bucket/x")
        for name in ("token", "max_attempts", "endpoint_url=http://h?sig"):
            shown += failures(f"{base}://bucket/x?{name}={CANARY}")
    ours = [record for record in caplog.records if not record.name.startswith(NOT_OURS)]
    shown += [record.getMessage() for record in ours]
    assert [text for text in shown if lab.seen(text)] == []
    assert_clean(lab, cache, tmp_path)


def assert_clean(lab: Lab, *folders: Path) -> None:
    """No file of some folders has a secret; there are such files."""
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert files != []
    assert [path for path in files if lab.seen(path.read_text(errors="replace"))] == []


def failures(url: str) -> list[str]:
    """What the errors of a URL say, with tracebacks and causes."""
    said = []
    for call in (
        lambda: create_store(url).put_bytes(b"x"),
        lambda: create_store(url).get_bytes("sha256:" + "0" * 64),
        lambda: create_registry(url).list_runs(),
    ):
        try:
            call()
        except DevQubitError as exc:
            # Source lines of this file are shown too, but no values.
            said.append("".join(traceback.format_exception(exc)))
    assert said != []
    return said


@pytest.mark.parametrize("debug", [(), ("--debug",)])
@pytest.mark.parametrize("as_json", [(), ("--json",)])
def test_commands(
    lab: Lab, tmp_path: Path, debug: tuple[str, ...], as_json: tuple[str, ...]
) -> None:
    """No secret is in what a command prints, also with --debug, nor in what it keeps."""
    base, _, query = lab.url.partition("?")
    devqubit = Workspace(
        tmp_path / "home",
        {
            "DEVQUBIT_CACHE_DIR": str(tmp_path / "cache"),
            "DEVQUBIT_REGISTRY_URL": lab.url,
            "DEVQUBIT_STORAGE_URL": f"{base}/objects?{query}",
        },
    )
    with open_place(lab.url) as place:
        place.registry.save({"run_id": "r"})
    for command in COMMANDS:
        given = () if command.startswith("cat") else as_json
        done = devqubit(*debug, *command.split(), *given)
        assert not lab.seen((done.stdout + done.stderr).decode()), command
        for line in done.stdout.splitlines() if given else ():
            json.loads(line)
    assert_clean(lab, tmp_path)
