"""What a bucket says when it cannot do something, and what it must not say."""

from __future__ import annotations

import io
import logging
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

from devqubit.errors import (
    AccessDeniedError,
    BucketNotFoundError,
    ConflictError,
    DevQubitError,
    StorageError,
)
from devqubit.plugin import Bucket, open_bucket
from devqubit.testing._base import Conformance, require
from devqubit.testing._blobs import CONDITIONAL

__all__ = ["FailureChecks"]

CALLS: dict[str, Callable[[Bucket, str], object]] = {
    "read": lambda bucket, key: bucket.read(key),
    "range": lambda bucket, key: bucket.read(key, start=1, length=1),
    "stat": lambda bucket, key: bucket.stat(key),
    "download": lambda bucket, key: bucket.download(key, io.BytesIO()),
    "list": lambda bucket, key: list(bucket.list(key)),
    "delete": lambda bucket, key: bucket.delete(key),
    "write": lambda bucket, key: bucket.write(key, b"data"),
    "upload": lambda bucket, key: bucket.upload(key, io.BytesIO(b"data"), 4),
}

STRANGE_KEYS = {
    "long": "k" * 2_000,
    "nul": "nul\0",
    "newline": "new\nline",
    "control": "\x1f\x7f",
    "backslash": "back\\slash",
}


class FailureChecks(Conformance):
    """Errors are ours, from their cause; secrets are in none, and in no repr or log."""

    @pytest.fixture
    def secrets(self) -> Sequence[str]:
        """Texts that may show nowhere, such as a key in `url` or in the environment."""
        return ()

    @pytest.mark.parametrize("call", CALLS)
    def test_missing_key_has_its_cause(self, bucket: Bucket, call: str) -> None:
        """An error of a call on what is not there is ours, raised from what it came from."""
        assert _is_ours(error_of(CALLS[call], bucket, "not/there"))

    @pytest.mark.parametrize("capability", CONDITIONAL)
    def test_conflict_has_its_cause(self, bucket: Bucket, capability: str) -> None:
        """A conflict is raised from what it came from."""
        require(bucket, capability)
        stale = bucket.write("a", b"1")
        bucket.write("a", b"22")
        bucket.write("b", b"22")
        with pytest.raises(ConflictError) as caught:
            CONDITIONAL[capability](bucket, stale)
        assert _is_ours(caught.value)

    def test_missing_bucket(self, url: str) -> None:
        """Where buckets are made beforehand, every call says that one is missing, and why.

        It may be said not to be ours to see. Where naming a place makes it, no call does.
        """
        with _elsewhere(url) as elsewhere:
            errors = {name: error_of(call, elsewhere, "a") for name, call in CALLS.items()}
        assert all(_is_ours(error) for error in errors.values())
        refused = (BucketNotFoundError, AccessDeniedError)
        missing = {name for name, error in errors.items() if isinstance(error, refused)}
        assert missing in (set(), set(CALLS))

    @pytest.mark.parametrize("kind", STRANGE_KEYS)
    def test_strange_keys(self, bucket: Bucket, kind: str) -> None:
        """A key that the backend cannot hold is refused with an error of ours, else it is kept."""
        key = STRANGE_KEYS[kind]
        errors = {name: error_of(call, bucket, key) for name, call in CALLS.items()}
        assert all(_is_ours(error) for error in errors.values())
        refused = isinstance(errors["write"], StorageError)
        assert [info.key for info in bucket.list()] == ([] if refused else [key])

    def test_secrets_are_not_shown(
        self, url: str, secrets: Sequence[str], caplog: pytest.LogCaptureFixture
    ) -> None:
        """No secret is in a repr, a location, a log, or an error and its causes."""
        if not secrets:
            pytest.skip("the fixture 'secrets' names none")
        with caplog.at_level(logging.DEBUG):
            bucket = open_bucket(url)
            keys = ("not/there", STRANGE_KEYS["long"])
            errors = [error_of(call, bucket, key) for key in keys for call in CALLS.values()]
            description = bucket.describe()
            bucket.close()
        shown = [repr(bucket), bucket.location, *_logged(caplog.records, bucket)]
        shown += [f"{name} {text}" for name, text in description.items()]
        shown += [f"{error} {error!r}" for first in errors for error in _chain(first)]
        assert [secret for secret in secrets for text in shown if secret in text] == []

    def test_close_twice(self, url: str) -> None:
        """Closing again is harmless."""
        bucket = open_bucket(url)
        bucket.write("a", b"1")
        bucket.close()
        bucket.close()


def error_of(
    call: Callable[[Bucket, str], object], bucket: Bucket, key: str
) -> DevQubitError | None:
    """The error of ours that a call raises, if it does; any other goes on its way."""
    try:
        call(bucket, key)
    except DevQubitError as exc:
        return exc
    return None


def _is_ours(error: DevQubitError | None) -> bool:
    """Whether an error is one that a bucket may raise, with its cause if it had one."""
    if error is None:
        return True
    chained = error.__cause__ is not None or error.__context__ is None
    return isinstance(error, StorageError) and chained


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _logged(records: Sequence[logging.LogRecord], bucket: Bucket) -> list[str]:
    """What was logged, but for what an SDK writes for those who debug it, which is its own."""
    own = {"devqubit", type(bucket).__module__.partition(".")[0]}
    return [
        record.getMessage()
        for record in records
        if record.levelno > logging.DEBUG or record.name.partition(".")[0] in own
    ]


@contextmanager
def _elsewhere(url: str) -> Iterator[Bucket]:
    """The place of the same path in a bucket of a name that nobody has."""
    parts = urlsplit(url)
    if not parts.netloc:
        pytest.skip(f"{parts.scheme}:// names no bucket")
    nobody = f"devqubit-nobody-{uuid.uuid4().hex[:16]}"
    bucket = open_bucket(parts._replace(netloc=nobody).geturl())
    yield bucket
    bucket.close()
