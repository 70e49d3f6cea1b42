"""Run records: a JSON document that belongs to its user, and typed access to it."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypedDict

from devqubit.errors import (
    CorruptRecordError,
    InvalidArgumentError,
    InvalidNameError,
    InvalidRecordError,
)
from devqubit.storage._bucket import Version
from devqubit.storage._digest import object_key
from devqubit.storage._names import check_name

__all__ = [
    "MAX_RECORD_BYTES",
    "ArtifactRef",
    "BaselineInfo",
    "RunRecord",
    "RunSummary",
    "decode_json",
    "encode_record",
]

MAX_RECORD_BYTES: Final = 16 * 1024 * 1024
"""The largest record that is written or read. Records are a few kB; what is large belongs
into an artifact."""


class RunSummary(TypedDict):
    """A run as lists show it. Times are ISO 8601 text."""

    run_id: str
    run_name: str | None
    project: str
    adapter: str
    status: str
    created_at: str
    ended_at: str | None
    group_id: str | None
    group_name: str | None
    parent_run_id: str | None


class BaselineInfo(TypedDict):
    """The run that a project compares others with, and when it was set (ISO 8601)."""

    project: str
    run_id: str
    set_at: str


@dataclass(frozen=True)
class ArtifactRef:
    """A run's reference to an object in a store.

    Attributes:
        kind: What it is, such as `qiskit.qpy.circuits` or `source.openqasm3`.
        digest: The object's digest.
        media_type: MIME type, such as `application/json`.
        role: What it is to the run: `program`, `results`, `device_snapshot`, `artifact`.
        meta: Anything else.

    Raises:
        InvalidArgumentError: A field is empty, or the digest is not canonical.
    """

    kind: str
    digest: str
    media_type: str
    role: str
    meta: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object_key(self.digest)
        for name in ("kind", "media_type", "role"):
            if not isinstance(getattr(self, name), str) or not getattr(self, name):
                raise InvalidArgumentError(f"An artifact's {name} must be text and not empty")
        if not isinstance(self.meta, dict):
            raise InvalidArgumentError("An artifact's meta must be a dict")

    def to_dict(self) -> dict[str, Any]:
        """As it stands in a record's `artifacts`; `meta` only where there is any."""
        plain: dict[str, Any] = {
            "kind": self.kind,
            "digest": self.digest,
            "media_type": self.media_type,
            "role": self.role,
        }
        return {**plain, "meta": self.meta} if self.meta else plain

    @classmethod
    def from_dict(cls, d: Mapping[str, Any]) -> ArtifactRef:
        """Reads one entry of a record's `artifacts`; raises as the class does."""
        return cls(
            kind=d.get("kind", ""),
            digest=d.get("digest", ""),
            media_type=d.get("media_type", ""),
            role=d.get("role", ""),
            meta=d.get("meta") or {},
        )


class RunRecord:
    """One run. Its properties are views into `record`, the document as it is stored.

    Args:
        record: The document. Fields that nothing here names are kept as they are.
        version: The state of the stored record that this was read from.

    Attributes:
        record: The document.
        version: See above; None for a record that was not loaded.
    """

    def __init__(self, record: dict[str, Any], version: Version | None = None) -> None:
        self.record = record
        self.version = version

    @property
    def run_id(self) -> str:
        """The run's id."""
        return _text(self.record, "run_id") or ""

    @property
    def project(self) -> str:
        """The project's name, or empty."""
        plain = self.record.get("project")
        return plain if isinstance(plain, str) else _text(self.record, "project", "name") or ""

    @property
    def adapter(self) -> str:
        """The SDK that ran it, such as `qiskit`, or empty."""
        return _text(self.record, "adapter") or ""

    @property
    def status(self) -> str:
        """`RUNNING` (also where none is recorded), `FINISHED`, `FAILED` or `KILLED`."""
        return _text(self.record, "info", "status") or "RUNNING"

    @property
    def created_at(self) -> str:
        """When it was created, ISO 8601, or empty."""
        return _text(self.record, "created_at") or ""

    @property
    def ended_at(self) -> str | None:
        """When it ended, ISO 8601."""
        return _text(self.record, "info", "ended_at")

    @property
    def run_name(self) -> str | None:
        """The name that its user gave it."""
        return _text(self.record, "info", "run_name")

    @property
    def name(self) -> str | None:
        """The same as `run_name`."""
        return self.run_name

    @property
    def params(self) -> dict[str, Any]:
        """Parameters of the experiment."""
        return _mapping(self.record, "data", "params")

    @property
    def metrics(self) -> dict[str, float]:
        """Metrics, by name."""
        return _mapping(self.record, "data", "metrics")

    @property
    def tags(self) -> dict[str, str]:
        """Tags, by name."""
        return _mapping(self.record, "data", "tags")

    @property
    def metric_series(self) -> dict[str, list[dict[str, Any]]]:
        """Metrics over time: by name, points with `value`, `step` and `timestamp`."""
        return _mapping(self.record, "data", "metric_series")

    @property
    def fingerprints(self) -> dict[str, str]:
        """Fingerprints: `run`, `program`, `device`, `intent`."""
        return _mapping(self.record, "fingerprints")

    @property
    def run_fingerprint(self) -> str | None:
        """The fingerprint of program, device and intent together."""
        return _text(self.record, "fingerprints", "run")

    @property
    def program_fingerprint(self) -> str | None:
        """The program's fingerprint."""
        return _text(self.record, "fingerprints", "program")

    @property
    def backend_name(self) -> str | None:
        """The device or simulator, such as `ibm_brisbane`."""
        return _text(self.record, "backend", "name")

    @property
    def git_commit(self) -> str | None:
        """The commit that the run was made at."""
        return _text(self.record, "provenance", "git", "commit")

    @property
    def group_id(self) -> str | None:
        """The group, such as a sweep, that the run belongs to."""
        return _text(self.record, "group_id")

    @property
    def group_name(self) -> str | None:
        """The group's name."""
        return _text(self.record, "group_name")

    @property
    def parent_run_id(self) -> str | None:
        """The run that this one was derived from."""
        return _text(self.record, "parent_run_id")

    @property
    def artifacts(self) -> list[ArtifactRef]:
        """The run's artifacts.

        Raises:
            CorruptRecordError: An entry is not a reference to an artifact.
        """
        entries = self.record.get("artifacts") or []
        if not isinstance(entries, list):
            raise CorruptRecordError(f"Run {self.run_id!r}: 'artifacts' is not a list")
        return [self._artifact(index, entry) for index, entry in enumerate(entries)]

    def to_dict(self) -> dict[str, Any]:
        """A copy of the document, with `artifacts` in any case."""
        return {"artifacts": [], **copy.deepcopy(self.record)}

    def summary(self) -> RunSummary:
        """The run as lists show it."""
        return RunSummary(
            run_id=self.run_id,
            run_name=self.run_name,
            project=self.project,
            adapter=self.adapter,
            status=self.status,
            created_at=self.created_at,
            ended_at=self.ended_at,
            group_id=self.group_id,
            group_name=self.group_name,
            parent_run_id=self.parent_run_id,
        )

    def __repr__(self) -> str:
        return (
            f"RunRecord(run_id={self.run_id!r}, project={self.project!r}, "
            f"adapter={self.adapter!r}, status={self.status!r})"
        )

    def _artifact(self, index: int, entry: object) -> ArtifactRef:
        try:
            if not isinstance(entry, dict):
                raise InvalidArgumentError("it is not an object")
            return ArtifactRef.from_dict(entry)
        except InvalidArgumentError as exc:
            raise CorruptRecordError(f"Run {self.run_id!r}: artifacts[{index}]: {exc}") from exc


def encode_record(record: Mapping[str, Any]) -> bytes:
    """A record as it is stored, after all checks that need no storage.

    Raises:
        InvalidNameError: The run id or project cannot be stored.
        InvalidRecordError: It is no JSON document, or too large.
    """
    if not isinstance(record, Mapping):
        raise InvalidRecordError(f"A run record is a dict, not {type(record).__name__}")
    if record.get("run_id") is None:
        raise InvalidRecordError("A run record needs a 'run_id'")
    plain = dict(record)
    run = RunRecord(plain)
    _check_named("run_id", plain["run_id"])
    project = plain.get("project")
    named = project.get("name") if isinstance(project, dict) else project
    if named is not None:
        _check_named("project", named)
    try:
        run.artifacts  # noqa: B018  # raises for an entry that could not be read back
    except CorruptRecordError as exc:
        raise InvalidRecordError(str(exc)) from exc
    return _encode(plain)


def decode_json(data: bytes, what: str, most: int = MAX_RECORD_BYTES) -> dict[str, Any]:
    """The JSON object in some bytes of anybody's making.

    Args:
        data: The bytes.
        what: What they are, for messages.
        most: How many bytes are accepted.

    Raises:
        CorruptRecordError: It is not a JSON object, or too large.
    """
    if len(data) > most:
        raise CorruptRecordError(f"{what} is larger than {most:,} bytes")
    try:
        document = json.loads(data)
    except RecursionError as exc:
        raise CorruptRecordError(f"{what} is nested too deeply") from exc
    except ValueError as exc:
        raise CorruptRecordError(f"{what} is not JSON: {exc}") from exc
    if not isinstance(document, dict):
        raise CorruptRecordError(f"{what} is a JSON {type(document).__name__}, not an object")
    return document


def _check_named(field_name: str, name: object) -> None:
    try:
        check_name(name)
    except InvalidNameError as exc:
        raise InvalidNameError(f"{field_name}: {exc}") from exc


def _encode(record: dict[str, Any]) -> bytes:
    try:
        # ASCII, since text may hold lone surrogates, which UTF-8 cannot. A metric that
        # diverged is kept as Python writes it, NaN, which JSON itself has no word for:
        # refusing it would lose the run that it is the result of.
        text = json.dumps(record, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as exc:
        raise InvalidRecordError(_why_not_json(record) or f"The record is not JSON: {exc}") from exc
    problem = _why_not_json(record)
    if problem:
        raise InvalidRecordError(problem)
    if len(text) > MAX_RECORD_BYTES:
        raise InvalidRecordError(
            f"The record has {len(text):,} bytes, more than {MAX_RECORD_BYTES:,}: store what "
            "is large with put_bytes() and refer to it in 'artifacts'"
        )
    return text.encode("ascii")


def _why_not_json(record: dict[str, Any]) -> str | None:
    """The first place in a record that JSON cannot hold as it is, or None."""
    seen: set[int] = set()
    places: list[tuple[str, object]] = [("", record)]
    while places:
        path, value = places.pop()
        if isinstance(value, (dict, list, tuple)):
            if id(value) in seen:
                continue  # shared, or circular, which the encoder reports
            seen.add(id(value))
        if isinstance(value, dict):
            for key, item in value.items():
                if not isinstance(key, str):
                    return f"{path or 'The record'} has the key {key!r}: JSON keys are text"
                places.append((f"{path}.{key}" if path else key, item))
        elif isinstance(value, (list, tuple)):
            places.extend((f"{path}[{index}]", item) for index, item in enumerate(value))
        elif value is not None and not isinstance(value, (str, int, float)):
            return f"{path} is a {type(value).__name__}, which JSON cannot hold: convert it first"
    return None


def _get(record: Mapping[str, Any], *path: str) -> object:
    value: object = record
    for name in path:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def _text(record: Mapping[str, Any], *path: str) -> str | None:
    value = _get(record, *path)
    return value if isinstance(value, str) else None


def _mapping(record: Mapping[str, Any], *path: str) -> dict[str, Any]:
    value = _get(record, *path)
    return dict(value) if isinstance(value, dict) else {}
