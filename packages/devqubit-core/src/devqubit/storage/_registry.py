"""The registry: run records, baselines and metric points as plain files in a bucket.

The files are the truth, in a layout that any client can read and write. Questions about
many runs are answered from a local index that is refreshed from them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from sqlite3 import Connection
from typing import Any, Final

from devqubit.errors import RunNotFoundError
from devqubit.storage import _questions as questions
from devqubit.storage._baselines import Baselines
from devqubit.storage._bucket import Bucket, Version
from devqubit.storage._documents import DocumentFolder, Problem
from devqubit.storage._metrics import MetricPoints
from devqubit.storage._names import check_name
from devqubit.storage._opened import Opened
from devqubit.storage._query import parse
from devqubit.storage._query_sql import search
from devqubit.storage._records import BaselineInfo, RunRecord, RunSummary
from devqubit.storage._refresh import RefreshResult
from devqubit.storage._rows import now_text
from devqubit.storage._run_index import RunIndex
from devqubit.storage._run_writer import Change, RunWriter

__all__ = ["Registry"]

MAX_STALENESS: Final = 10.0
UPDATE_SECONDS: Final = 60.0
_PAGE: Final = 500


class Registry(Opened):
    """Runs, baselines and metric points in a bucket. Safe in threads and after a fork.

    Open one with `devqubit.storage.create_registry`.

    Args:
        bucket: Where the records are. The registry closes it.
        max_staleness: Seconds for which answers of `list_runs`, `search_runs` and the
            like may be behind the bucket; None never looks by itself, only `refresh`
            does, but for an index that was lost. What this client writes is seen at once.
    """

    def __init__(self, bucket: Bucket, *, max_staleness: float | None = MAX_STALENESS) -> None:
        super().__init__(bucket)
        self._runs = DocumentFolder(bucket, "runs", lambda run: run.get("run_id"))
        self._baselines = Baselines(bucket)
        self._points = MetricPoints(bucket)
        self._index = RunIndex(bucket, self._runs, max_staleness)
        self._writer = RunWriter(bucket, self._runs, self._index, self._points)

    def save(self, record: Mapping[str, Any], *, if_version: Version | None = None) -> None:
        """Writes a run record, replacing the one of that id.

        Args:
            record: A JSON document with a `run_id`. Every field is kept.
            if_version: Write only if the stored record still has this version, that of
                `RunRecord.version`.

        Raises:
            InvalidRecordError: It is no JSON document; nothing was written.
            InvalidNameError: Its run id or project cannot be stored.
            ConflictError: `if_version` is not the stored one: somebody else was first.
            StorageError: It could not be written.
        """
        self._writer.save(record, if_version)

    def update(
        self,
        run_id: str,
        change: Change,
        *,
        timeout: float = UPDATE_SECONDS,
    ) -> RunRecord:
        """Reads a run, changes it and writes it back; loses nothing that others write.

        Args:
            run_id: The run.
            change: Gets a copy of the record; changes it, or returns another. It is
                called again, on the newer record, if somebody else was first.
            timeout: Seconds to keep trying.

        Returns:
            The run as written.

        Raises:
            RunNotFoundError: There is no such run.
            ConflictError: Others were first until the time was over.
            UnsupportedError: The backend has no conditional writes.
        """
        return self._writer.update(run_id, change, timeout)

    def load(self, run_id: str) -> RunRecord:
        """Reads a run from the bucket.

        Raises:
            InvalidNameError: No run can have that id.
            RunNotFoundError: There is no such run.
            CorruptRecordError: What is stored under that id is not its record.
        """
        found = self._writer.read(run_id)
        return RunRecord(found.content, found.version)

    def load_or_none(self, run_id: str) -> RunRecord | None:
        """Like `load`, but None if there is no such run."""
        try:
            return self.load(run_id)
        except RunNotFoundError:
            return None

    def exists(self, run_id: str) -> bool:
        """Whether there is a run of that id in the bucket.

        Raises:
            InvalidNameError: No run can have that id.
        """
        return self._runs.exists(run_id)

    def delete(self, run_id: str, *, if_version: Version | None = None) -> bool:
        """Deletes a run and its metric points; False if there was none. Artifacts stay.

        Args:
            run_id: The run.
            if_version: Delete only if the stored record still has this version, that of
                `RunRecord.version`.

        Raises:
            InvalidNameError: No run can have that id.
            ConflictError: `if_version` is not the stored one: somebody else was first.
        """
        return self._writer.delete(run_id, if_version)

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
        """Runs that match every filter given, newest first, those of one moment by descending id.

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
        texts = {
            "project": project,
            "run_name": name,
            "adapter": adapter,
            "status": status,
            "backend_name": backend_name,
            "fingerprint": fingerprint,
            "git_commit": git_commit,
            "group_id": group_id,
        }
        bounds = questions.time_bounds(created_after, created_before)
        part = questions.page(limit, offset)
        return self._index.ask(lambda c: questions.select_runs(c, texts, bounds, *part))

    def search_runs(
        self,
        query: str,
        *,
        limit: int = 100,
        offset: int = 0,
        sort_by: str | None = None,
        descending: bool = True,
    ) -> list[RunRecord]:
        """Runs that match a query, such as `metric.fidelity > 0.95 and params.shots = 4096`.

        A condition is `field operator value`, with the operators `= != > >= < <=`, `~` (holds
        the text, in any case), or `field exists`. `and`, `or`, `not` and parentheses join
        them. Fields are `params.*`, `metric.*`, `tag.*`, `project`, `adapter`, `status`,
        `backend`, `fingerprint`, `created_at`, `ended_at`, `name` and `group` (its id or
        name). A condition on a field that a run does not have is false.

        Args:
            query: The query; empty matches every run.
            limit: How many at most.
            offset: How many to pass over first.
            sort_by: A field; None sorts by creation. Runs without it come last.
            descending: Largest first.

        Raises:
            QueryParseError: Where the query is wrong, and what was expected.
        """
        node = parse(query)
        most, first = questions.page(limit, offset)
        found = self._index.ask(
            lambda c: search(
                c, node, sort_by=sort_by, descending=descending, limit=most, offset=first
            )
        )
        return [RunRecord(json.loads(data), Version(version)) for version, data in found]

    def iter_runs(
        self, *, project: str | None = None, status: str | None = None
    ) -> Iterator[RunRecord]:
        """All runs, of a project and with a status where given, in constant memory.

        Yields:
            The runs as `search_runs` gives them, in the order of their files' names.
        """
        texts = {"project": project, "status": status}
        last = ""
        while found := self._index.ask(partial(_records_after, texts, last)):
            yield from (RunRecord(json.loads(data), Version(v)) for _, v, data in found)
            last = found[-1][0]

    def count_runs(self, *, project: str | None = None, status: str | None = None) -> int:
        """How many runs there are, of a project and with a status where given."""
        texts = {"project": project, "status": status}
        return self._index.ask(lambda c: questions.count_runs(c, texts))

    def list_projects(self) -> list[str]:
        """The projects that have runs, in order."""
        return self._index.ask(questions.list_projects)

    def list_groups(
        self, *, project: str | None = None, limit: int = 100, offset: int = 0
    ) -> list[dict[str, Any]]:
        """Groups of runs, the one with the newest run first.

        Returns:
            Dicts with `group_id`, `group_name`, `project`, `run_count`, and the times
            `first_run` and `last_run`.
        """
        part = questions.page(limit, offset)
        return self._index.ask(lambda c: questions.list_groups(c, project, *part))

    def list_runs_in_group(
        self, group_id: str, *, limit: int = 100, offset: int = 0
    ) -> list[RunSummary]:
        """The runs of a group, newest first."""
        return self.list_runs(group_id=group_id, limit=limit, offset=offset)

    def refresh(self) -> RefreshResult:
        """Brings the index up to the bucket now, whatever its age.

        Raises:
            StorageError: The bucket cannot be read; the index is as it was.
        """
        return self._index.refresh()

    def problems(self) -> list[Problem]:
        """The files under `runs/` that hold no readable run, each with the reason.

        One is read again when it has changed.
        """
        return self._index.ask(questions.list_problems)

    def recover_stale_runs(
        self,
        older_than_hours: float = 6.0,
        *,
        project: str | None = None,
        dry_run: bool = False,
    ) -> list[dict[str, Any]]:
        """Marks runs as KILLED that are RUNNING for too long: their process is gone.

        Args:
            older_than_hours: How long ago they were created, at least.
            project: Only of this project.
            dry_run: Change nothing.

        Returns:
            For each such run a dict with `run_id`, `project`, `created_at` and
            `recovered_at`, the oldest first.
        """
        now = now_text()
        before = (datetime.now(UTC) - timedelta(hours=older_than_hours)).isoformat()
        stale = self.list_runs(
            status="RUNNING", project=project, created_before=before, limit=2**62
        )
        note = f"It was RUNNING for more than {older_than_hours:g} hours"
        recovered = []
        for run in reversed(stale):
            if dry_run or self._writer.kill(run["run_id"], now, note):
                recovered.append(
                    {
                        "run_id": run["run_id"],
                        "project": run["project"],
                        "created_at": run["created_at"],
                        "recovered_at": now,
                    }
                )
        return recovered

    def set_baseline(self, project: str, run_id: str) -> None:
        """Makes a run the one that a project compares others with.

        Raises:
            InvalidNameError: The project or the run id cannot be stored.
            RunNotFoundError: There is no such run.
        """
        check_name(project)
        if not self.exists(run_id):
            raise RunNotFoundError(run_id)
        self._baselines.set(project, run_id)

    def get_baseline(self, project: str) -> BaselineInfo | None:
        """The baseline of a project as it is in the bucket, or None.

        Raises:
            InvalidNameError: No project can have that name.
            CorruptRecordError: What is stored is not a baseline.
        """
        return self._baselines.get(project)

    def clear_baseline(self, project: str) -> bool:
        """Removes the baseline of a project; False if there was none.

        Raises:
            InvalidNameError: No project can have that name.
        """
        return self._baselines.clear(project)

    def list_baselines(self) -> list[BaselineInfo]:
        """The baselines of all projects, by project. Unreadable ones are logged and left out."""
        return list(self._baselines.list())

    def baseline_problems(self) -> list[Problem]:
        """The files under `baselines/` that hold no readable baseline, each with the reason."""
        return list(self._baselines.problems())

    def save_metric_points(self, points: Iterable[Mapping[str, Any]]) -> None:
        """Appends points of metrics over time; of one step, the last one written holds.

        Args:
            points: Dicts with `run_id`, `key`, `step` (a whole number), `timestamp`
                (ISO 8601) and `value` (a number, which may be NaN or infinite).

        Raises:
            InvalidRecordError: A point is something else; nothing was written.
        """
        self._writer.save_points(points)

    def iter_metric_points(
        self,
        run_id: str,
        key: str,
        *,
        start_step: int | None = None,
        end_step: int | None = None,
    ) -> Iterator[dict[str, Any]]:
        """The points of one metric of a run, by step, in constant memory.

        Args:
            run_id: The run.
            key: The metric.
            start_step: First step, inclusive.
            end_step: Last step, inclusive.

        Yields:
            Dicts with `step`, `timestamp` and `value`.
        """
        for _, step, timestamp, value in self._points.iterate(run_id, key, start_step, end_step):
            yield {"step": step, "timestamp": timestamp, "value": value}

    def load_metric_series(self, run_id: str) -> dict[str, list[dict[str, Any]]]:
        """All points of a run: by metric, as `iter_metric_points` gives them."""
        series: dict[str, list[dict[str, Any]]] = {}
        for key, step, timestamp, value in self._points.iterate(run_id, None):
            point = {"value": value, "step": step, "timestamp": timestamp}
            series.setdefault(key, []).append(point)
        return series

    def close(self) -> None:
        """Gives back connections and files. Calling it again is harmless."""
        self._index.close()
        super().close()


def _records_after(
    texts: Mapping[str, str | None], last: str, connection: Connection
) -> list[tuple[str, str, bytes]]:
    return questions.select_records(connection, texts, last, _PAGE)
