"""Baselines: the run that each project compares others with."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence

from devqubit.errors import CorruptRecordError
from devqubit.storage._bucket import Bucket
from devqubit.storage._documents import Document, DocumentFolder, Problem
from devqubit.storage._records import BaselineInfo
from devqubit.storage._rows import now_text

__all__ = ["Baselines"]

logger = logging.getLogger("devqubit.storage")


class Baselines:
    """The files `baselines/<project>.json` of a bucket."""

    def __init__(self, bucket: Bucket) -> None:
        self._location = bucket.location
        self._folder = DocumentFolder(bucket, "baselines", lambda base: base.get("project"))

    def set(self, project: str, run_id: str) -> None:
        """Writes the baseline of a project."""
        baseline = BaselineInfo(project=project, run_id=run_id, set_at=now_text())
        self._folder.write(project, json.dumps(baseline).encode("ascii"))

    def get(self, project: str) -> BaselineInfo | None:
        """Reads the baseline of a project; raises `CorruptRecordError` if it is none."""
        found = self._folder.read(project)
        return None if found is None else _baseline(found)

    def clear(self, project: str) -> bool:
        """Deletes the baseline of a project; False if there was none."""
        return self._folder.delete(project)

    def problems(self) -> Sequence[Problem]:
        """The files that hold no baseline."""
        return _scan(self._folder)[1]

    def list(self) -> Sequence[BaselineInfo]:
        """All that can be read, by project; the others are logged."""
        found, problems = _scan(self._folder)
        for problem in problems:
            logger.warning("%s: %r left out: %s", self._location, problem.key, problem.reason)
        return sorted(found, key=lambda baseline: baseline["project"])


def _scan(folder: DocumentFolder) -> tuple[list[BaselineInfo], list[Problem]]:
    found: list[BaselineInfo] = []
    problems: list[Problem] = []
    for item in folder.scan():
        if isinstance(item, Problem):
            problems.append(item)
            continue
        try:
            found.append(_baseline(item))
        except CorruptRecordError as exc:
            problems.append(Problem(item.key, str(exc)))
    return found, problems


def _baseline(document: Document) -> BaselineInfo:
    run_id, set_at = document.content.get("run_id"), document.content.get("set_at")
    if not isinstance(run_id, str) or not isinstance(set_at, str):
        raise CorruptRecordError(f"{document.key!r} is no baseline: 'run_id' and 'set_at' are text")
    return BaselineInfo(project=document.name, run_id=run_id, set_at=set_at)
