"""Finding out whether a place can be used, how well, and what to do if it cannot."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from statistics import median
from typing import Final, Literal, TypeVar

from devqubit.errors import (
    AccessDeniedError,
    BlobNotFoundError,
    BucketNotFoundError,
    CredentialsError,
    StorageError,
    ThrottledError,
    UnreachableError,
)
from devqubit.storage._bucket import Bucket
from devqubit.storage._trial import TRIALS, trial_key, try_conditions

__all__ = ["Check", "Diagnosis", "diagnose"]

R = TypeVar("R")
Status = Literal["ok", "warning", "problem", "skipped"]

# S3 refuses requests of clients whose clocks are further off:
# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html (RequestTimeTooSkewed)
_LARGEST_SKEW: Final = timedelta(minutes=15)
_NOTED_SKEW: Final = timedelta(seconds=60)
_READS: Final = 20
_READS_AT_ONCE: Final = 256
_SLOW: Final = 0.5
_DATA: Final = b"devqubit doctor " * 64

_ADVICE: Final[tuple[tuple[type[StorageError], str], ...]] = (
    (BucketNotFoundError, "check the bucket's name and region, or create it"),
    (CredentialsError, "check the credentials where the provider's own tools look for them"),
    (UnreachableError, "check the network, the endpoint and the region"),
    (AccessDeniedError, "ask for this permission on the bucket and prefix"),
    (ThrottledError, "try later, or with a smaller max_concurrency"),
)
_WITHOUT_DELETES: Final = "`prune` and `copy --delete` are less careful here, or refuse"
# After these nothing else can work.
_HOPELESS: Final = (BucketNotFoundError, CredentialsError, UnreachableError)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: What.
        status: `ok`; `warning`: it works, but not well; `problem`: it does not; `skipped`:
            it could not be looked at.
        found: What was found.
        advice: What to do; empty if there is nothing.
    """

    name: str
    status: Status
    found: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is right and wrong with a place.

    Attributes:
        location: The place.
        checks: In the order in which they were made.
    """

    location: str
    checks: tuple[Check, ...]

    @property
    def healthy(self) -> bool:
        """Whether there is no problem; there may be warnings."""
        return all(check.status != "problem" for check in self.checks)


def diagnose(bucket: Bucket) -> Diagnosis:
    """Tries what devqubit does in a bucket: some hundred small requests.

    What it writes is under `_doctor/` and gone at the end.

    Args:
        bucket: Such as `create_registry(url).bucket`.
    """
    return Diagnosis(bucket.location, tuple(_checks(bucket)))


def _checks(bucket: Bucket) -> Iterator[Check]:
    yield from _described(bucket)
    try:
        yield _list(bucket)
    except _HOPELESS as exc:
        yield _failed("list", exc)
        return
    except StorageError as exc:
        yield _failed("list", exc)
    with trial_key(bucket) as key:
        yield (written := _tried("write", lambda: _write(bucket, key)))
        if written.status == "problem":
            yield Check("others", "skipped", "nothing can be tried without writing")
            return
        yield _tried("read", lambda: _read(bucket, key))
        yield _tried("seen at once", lambda: _seen(bucket, key))
        yield _tried("clock", lambda: _clock(bucket, key))
        yield _tried("latency", lambda: _latency(bucket, key))
        yield _tried("rate", lambda: _rate(bucket, key))
        yield _tried("delete", lambda: _delete(bucket, key))
    yield _tried("conditions", lambda: _conditions(bucket))


def _tried(name: str, look: Callable[[], Check]) -> Check:
    try:
        return look()
    except StorageError as exc:
        return _failed(name, exc)


def _failed(name: str, error: StorageError) -> Check:
    advice = next((text for kind, text in _ADVICE if isinstance(error, kind)), "")
    return Check(name, "problem", str(error), advice)


def _described(bucket: Bucket) -> Iterator[Check]:
    try:
        found = bucket.describe()
    except StorageError as exc:
        found = {"identity": f"not known: {exc}"}
    for name, what in found.items():
        yield _told(name, what)


def _told(name: str, what: str) -> Check:
    """What a backend says of itself; how it begins says how bad it is."""
    if name == "versioning" and what == "off":
        advice = "turn it on where old versions should survive mistakes; they cost their bytes"
        return Check(name, "ok", what, advice)
    if what.startswith("not known"):
        return Check(name, "skipped", what)
    if what.startswith(("passed over", "refused")):
        return Check(name, "warning", what, _WITHOUT_DELETES)
    return Check(name, "ok", what)


def _list(bucket: Bucket) -> Check:
    taken, found = _timed(lambda: list(islice(bucket.list(), 1)))
    what = "something is there" if found else "nothing is there yet"
    return Check("list", "ok", f"{what}, after {_ms(taken)}")


def _write(bucket: Bucket, key: str) -> Check:
    taken, _ = _timed(lambda: bucket.write(key, _DATA))
    return Check("write", "ok", _ms(taken))


def _read(bucket: Bucket, key: str) -> Check:
    whole, part = bucket.read(key).data, bucket.read(key, start=3, length=5).data
    if whole != _DATA or part != _DATA[3:8]:
        return Check("read", "problem", "other bytes came back", "do not use this server")
    return Check("read", "ok", "whole and in part")


def _seen(bucket: Bucket, key: str) -> Check:
    if key in [info.key for info in bucket.list(TRIALS)]:
        return Check("seen at once", "ok", "what was written is listed")
    advice = "do not share this place: others would miss what is new"
    return Check("seen at once", "problem", "what was written is not listed", advice)


def _clock(bucket: Bucket, key: str) -> Check:
    before = datetime.now(UTC)
    bucket.write(key, _DATA)
    middle = before + (datetime.now(UTC) - before) / 2
    skew = bucket.stat(key).modified - middle
    side = "ahead" if skew > timedelta() else "behind"
    what = f"the server's is {abs(skew).total_seconds():.0f} s {side}"
    if abs(skew) >= _LARGEST_SKEW:
        return Check("clock", "problem", what, "set this computer's clock: S3 refuses 15 minutes")
    if abs(skew) >= _NOTED_SKEW:
        return Check("clock", "warning", what, "set this computer's clock")
    return Check("clock", "ok", what)


def _latency(bucket: Bucket, key: str) -> Check:
    taken = [_timed(lambda: bucket.read(key))[0] for _ in range(_READS)]
    middle = median(taken)
    what = f"{_ms(middle)} a small read ({_ms(min(taken))} to {_ms(max(taken))})"
    if middle > _SLOW:
        return Check("latency", "warning", what, "use a bucket nearer to you, or a cache (cache=)")
    return Check("latency", "ok", what)


def _rate(bucket: Bucket, key: str) -> Check:
    taken, outcomes = _timed(lambda: list(bucket.read_many([key] * _READS_AT_ONCE)))
    for _, outcome in outcomes:
        if isinstance(outcome, StorageError):
            raise outcome
    width = bucket.max_concurrency
    what = f"{_READS_AT_ONCE / taken:,.0f} small reads a second, {width} at a time"
    return Check("rate", "ok", what)


def _delete(bucket: Bucket, key: str) -> Check:
    bucket.delete(key)
    try:
        bucket.read(key)
    except BlobNotFoundError:
        return Check("delete", "ok", "what was deleted is gone")
    return Check("delete", "problem", "what was deleted is still read", "do not use this server")


def _conditions(bucket: Bucket) -> Check:
    trial = try_conditions(bucket)
    lost = [
        what
        for honoured, what in (
            (trial.create, "creating once"),
            (trial.replace, "replacing a version"),
            (trial.delete, "deleting a version"),
        )
        if not honoured
    ]
    if not lost:
        return Check("conditions", "ok", "creating once, replacing and deleting a version")
    what = f"not honoured: {', '.join(lost)}"
    if trial.create and trial.replace:
        return Check("conditions", "warning", what, _WITHOUT_DELETES)
    advice = "write from one place only: `update`, `save(if_version=)` and `gc` refuse here"
    return Check("conditions", "problem", what, advice)


def _timed(call: Callable[[], R]) -> tuple[float, R]:
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.1f} ms"
