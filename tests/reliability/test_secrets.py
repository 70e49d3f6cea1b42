"""Secrets as canaries in the environment, in URLs and options, with everything at DEBUG."""

from __future__ import annotations

import json
import logging
import os
import traceback
from pathlib import Path

import pytest

from devqubit.errors import DevQubitError
from devqubit.maintenance import Place, copy, diagnose, open_place, verify
from devqubit.storage import create_registry, create_store
from tests.cli.command import Workspace
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


@pytest.fixture
def url(s3_endpoint: str, s3_bucket: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A place on S3, used with secrets of all kinds."""
    for name, secret in SECRETS.items():
        monkeypatch.setenv(name, secret)
    return f"s3://{s3_bucket}/x?endpoint_url={s3_endpoint}&region=us-east-1"


def use(place: Place, other: Place) -> list[object]:
    """Does a bit of everything; what it gives."""
    digest = place.store.put_bytes(b"x")
    place.registry.save({"run_id": "r", "ref": digest})
    place.registry.update("r", lambda run: run.update(x=1))
    given: list[object] = [place.store, place.registry, place.store.bucket]
    given += [verify(place.store, place.registry), copy(place, other)]
    given += [diagnose(place.store.bucket), place.registry.refresh(), place.registry.load("r")]
    return given


def test_library(
    url: str, s3_endpoint: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """No secret is in a repr, a log line of ours, an error with its causes, or the index."""
    cache = Path(os.environ["DEVQUBIT_CACHE_DIR"])
    with caplog.at_level(logging.DEBUG):
        with open_place(url) as place, open_place(str(tmp_path / "copy")) as other:
            shown = [repr(thing) for thing in use(place, other)]
        with Relay(s3_endpoint) as relay:
            for status in (403, 404, 500):
                relay.clear()
                relay.add(Rule(), Answer(status, b"<Error><Code>AccessDenied</Code></Error>"))
                broken = url.replace(s3_endpoint, relay.endpoint) + "&max_attempts=2"
                shown += failures(broken)
        shown += failures(f"s3://user:{CANARY}@bucket/x")
        shown += failures(f"s3://bucket/x?token={CANARY}")
    ours = [record for record in caplog.records if not record.name.startswith(NOT_OURS)]
    shown += [record.getMessage() for record in ours]
    assert [text for text in shown if CANARY in text] == []
    files = [path for path in [*cache.rglob("*"), *tmp_path.rglob("*")] if path.is_file()]
    assert files != []
    assert [path for path in files if CANARY.encode() in path.read_bytes()] == []


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
    url: str, tmp_path: Path, debug: tuple[str, ...], as_json: tuple[str, ...]
) -> None:
    """No secret is in what a command prints, also with --debug."""
    base, _, query = url.partition("?")
    devqubit = Workspace(
        tmp_path / "home",
        {
            "DEVQUBIT_CACHE_DIR": str(tmp_path / "cache"),
            "DEVQUBIT_REGISTRY_URL": url,
            "DEVQUBIT_STORAGE_URL": f"{base}/objects?{query}",
        },
    )
    with open_place(url) as place:
        place.registry.save({"run_id": "r"})
    for command in COMMANDS:
        given = () if command.startswith("cat") else as_json
        done = devqubit(*debug, *command.split(), *given)
        assert CANARY.encode() not in done.stdout + done.stderr, command
        for line in done.stdout.splitlines() if given else ():
            json.loads(line)
