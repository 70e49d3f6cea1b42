"""The registry: run records and baselines as plain JSON files in a bucket.

The files are the truth, in a layout that any client can read and write:
`runs/<run id>.json` and `baselines/<project>.json`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from devqubit.errors import CorruptRecordError, RunNotFoundError
from devqubit.storage._bucket import Bucket
from devqubit.storage._documents import Document, DocumentFolder, Problem
from devqubit.storage._filters import RunFilter
from devqubit.storage._names import check_name
from devqubit.storage._opened import Opened
from devqubit.storage._records import BaselineInfo, RunRecord, RunSummary, encode_record

__all__ = ["Problem", "Registry"]

logger = logging.getLogger("devqubit.storage")


class Registry(Opened):
    """Runs and baselines in a bucket. Safe in threads.

    Open one with `devqubit.storage.create_registry`.

    Args:
        bucket: Where the records are. The registry closes it.
    """

    def __init__(self, bucket: Bucket) -> None:
        super().__init__(bucket)
        self._runs = DocumentFolder(bucket, "runs", lambda run: run.get("run_id"))
        self._baselines = DocumentFolder(bucket, "baselines", lambda base: base.get("project"))

    def save(self, record: Mapping[str, Any]) -> None:
        """Writes a run record, replacing the one of that id.

        Args:
            record: A JSON document with a `run_id`. Every field is kept.

        Raises:
            InvalidRecordError: It is no JSON document; nothing was written.
            InvalidNameError: Its run id or project cannot be stored.
            StorageError: It could not be written.
        """
        data = encode_record(record)
        self._runs.write(record["run_id"], data)

    def load(self, run_id: str) -> RunRecord:
        """Reads a run from the bucket.

        Raises:
            InvalidNameError: No run can have that id.
            RunNotFoundError: There is no such run.
            CorruptRecordError: What is stored under that id is not its record.
        """
        found = self._runs.read(run_id)
        if found is None:
            raise RunNotFoundError(run_id)
        return RunRecord(found.content, found.version)

    def load_or_none(self, run_id: str) -> RunRecord | None:
        """Like `load`, but None if there is no such run."""
        try:
            return self.load(run_id)
        except RunNotFoundError:
            return None

    def exists(self, run_id: str) -> bool:
        """Whether there is a run of that id.

        Raises:
            InvalidNameError: No run can have that id.
        """
        return self._runs.exists(run_id)

    def delete(self, run_id: str) -> bool:
        """Deletes a run record; False if there was none. Its artifacts stay.

        Raises:
            InvalidNameError: No run can have that id.
        """
        return self._runs.delete(run_id)

    def list_runs(
        self,
        *,
        limit: int = 100,
        offset: int = 0,
        project: str | None = None,
        name: str | None = None,
        adapter: str | None = None,
        status: str | None = None,
        backend_name: str | None = None,
        fingerprint: str | None = None,
        git_commit: str | None = None,
        group_id: str | None = None,
        created_after: str | None = None,
        created_before: str | None = None,
    ) -> list[RunSummary]:
        """Runs that match every filter given, newest first.

        A record that cannot be read hides no other: it is left out, logged as a
        warning, and listed by `problems`.

        Args:
            limit: How many at most.
            offset: How many to pass over first.
            project: Project.
            name: Run name.
            adapter: SDK, such as `qiskit`.
            status: `RUNNING`, `FINISHED`, `FAILED` or `KILLED`.
            backend_name: Device or simulator.
            fingerprint: Run fingerprint.
            git_commit: Commit that the run was made at.
            group_id: Group.
            created_after: ISO 8601; only later ones.
            created_before: ISO 8601; only earlier ones.

        Raises:
            InvalidArgumentError: A time is not ISO 8601, or a number is negative.
        """
        wanted = RunFilter.of(
            limit=limit,
            offset=offset,
            created_after=created_after,
            created_before=created_before,
            texts={
                "project": project,
                "run_name": name,
                "adapter": adapter,
                "status": status,
                "backend_name": backend_name,
                "run_fingerprint": fingerprint,
                "git_commit": git_commit,
                "group_id": group_id,
            },
        )
        return wanted.select(self._readable_runs())

    def problems(self) -> list[Problem]:
        """The files under `runs/` that hold no readable run, each with the reason."""
        return [found for found in self._runs.scan() if isinstance(found, Problem)]

    def set_baseline(self, project: str, run_id: str) -> None:
        """Makes a run the one that a project compares others with.

        Raises:
            InvalidNameError: The project or the run id cannot be stored.
            RunNotFoundError: There is no such run.
        """
        check_name(project)
        if not self.exists(run_id):
            raise RunNotFoundError(run_id)
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        baseline = BaselineInfo(project=project, run_id=run_id, set_at=now)
        self._baselines.write(project, json.dumps(baseline).encode("ascii"))

    def get_baseline(self, project: str) -> BaselineInfo | None:
        """The baseline of a project as it is in the bucket, or None.

        Raises:
            InvalidNameError: No project can have that name.
            CorruptRecordError: What is stored is not a baseline.
        """
        found = self._baselines.read(project)
        return None if found is None else _baseline(found)

    def clear_baseline(self, project: str) -> bool:
        """Removes the baseline of a project; False if there was none.

        Raises:
            InvalidNameError: No project can have that name.
        """
        return self._baselines.delete(project)

    def list_baselines(self) -> list[BaselineInfo]:
        """The baselines of all projects, by project. Unreadable ones are logged and left out."""
        found: list[BaselineInfo] = []
        for item in self._baselines.scan():
            if isinstance(item, Problem):
                self._report(item)
                continue
            try:
                found.append(_baseline(item))
            except CorruptRecordError as exc:
                self._report(Problem(item.key, str(exc)))
        return sorted(found, key=lambda baseline: baseline["project"])

    def _readable_runs(self) -> Iterator[RunRecord]:
        for item in self._runs.scan():
            if isinstance(item, Problem):
                self._report(item)
            else:
                yield RunRecord(item.content, item.version)

    def _report(self, problem: Problem) -> None:
        logger.warning("%s: %s left out: %s", self.location, problem.key, problem.reason)


def _baseline(document: Document) -> BaselineInfo:
    run_id, set_at = document.content.get("run_id"), document.content.get("set_at")
    if not isinstance(run_id, str) or not isinstance(set_at, str):
        raise CorruptRecordError(f"{document.key!r} is no baseline: 'run_id' and 'set_at' are text")
    return BaselineInfo(project=document.name, run_id=run_id, set_at=set_at)
