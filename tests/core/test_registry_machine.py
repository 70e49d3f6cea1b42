"""Any history of a shared registry: after a refresh, the index says what the files say."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from devqubit.errors import CorruptRecordError, RunNotFoundError
from devqubit.storage import Registry, create_registry
from devqubit.storage._index import index_path

Record = dict[str, Any]

# Where each run's file is; a name with a slash also has a place in the layout of 0.1.12.
FILES = {"r1": "r1.json", "r2": "r2.json", "é 3": "é 3.json", "a/b": "a%2Fb.json"}
OLD_FILES = {"a/b": "a/b.json"}
PATHS = [*FILES.values(), *OLD_FILES.values()]


# The oracle: the questions of a registry, answered from plain files.


@dataclass(frozen=True)
class Condition:
    """`field operator literal`; without a literal, `field exists`."""

    field: str
    operator: str
    literal: str | None = None


@dataclass(frozen=True)
class Join:
    """`not` of one query, or `and` or `or` of some."""

    word: str
    parts: tuple[Query, ...]


Query = Condition | Join


def written(query: Query) -> str:
    """The query as a user writes it."""
    if isinstance(query, Condition):
        if query.literal is None:
            return f"{query.field} exists"
        escaped = query.literal.replace("\\", "\\\\").replace('"', '\\"')
        plain = re.fullmatch(r"[\w.:+-]+", query.literal)
        return f"{query.field} {query.operator} " + (query.literal if plain else f'"{escaped}"')
    parts = [f"({written(part)})" for part in query.parts]
    return f"not {parts[0]}" if query.word == "not" else f" {query.word} ".join(parts)


def holds(query: Query, run: Record) -> bool:
    """Whether a run matches."""
    if isinstance(query, Join):
        found = [holds(part, run) for part in query.parts]
        return {"not": not found[0], "and": all(found), "or": any(found)}[query.word]
    values = field_values(run, query.field)
    if query.literal is None:
        return bool(values)
    if query.operator == "!=":
        return bool(values) and not any(_is(query, "=", value) for value in values)
    return any(_is(query, query.operator, value) for value in values)


def _is(query: Condition, operator: str, value: object) -> bool:
    literal = query.literal or ""
    if operator == "~":
        text = as_text(value)
        shown = str(as_number(value)) if text is None and value is not None else text
        return shown is not None and literal.casefold() in shown.casefold()
    left: Any
    right: Any
    if query.field.endswith("_at"):
        left, right = moment(str(value)), moment(literal)
    elif "." in query.field and as_number(literal) is not None:
        left, right = as_number(value), as_number(literal)
    else:
        left, right = as_text(value), literal
    if left is None:
        return False
    compared: dict[str, Callable[[], bool]] = {
        "=": lambda: left == right,
        ">": lambda: left > right,
        ">=": lambda: left >= right,
        "<": lambda: left < right,
        "<=": lambda: left <= right,
    }
    return compared[operator]()


def field_values(run: Record, field: str) -> list[object]:
    """The values of a field: none where the run does not have it, two for a group."""
    group, _, name = field.partition(".")
    if name:
        value: Any = run.get("data", {}).get({"metric": "metrics", "tag": "tags"}.get(group, group))
        for part in name.split("."):
            if not isinstance(value, dict) or part not in value:
                return []
            value = value[part]
        return [] if isinstance(value, dict) else [value]
    texts = (
        [run.get("group_id"), run.get("group_name")] if field == "group" else [plain(run, field)]
    )
    return [text for text in texts if text]


def plain(run: Record, field: str) -> Any:
    """A field that every run may have; None where it does not."""
    info = run.get("info", {})
    return {
        "adapter": run.get("adapter"),
        "backend": run.get("backend", {}).get("name"),
        "created_at": run.get("created_at"),
        "ended_at": info.get("ended_at"),
        "fingerprint": run.get("fingerprints", {}).get("run"),
        "git_commit": run.get("provenance", {}).get("git", {}).get("commit"),
        "group": run.get("group_id"),
        "name": info.get("run_name"),
        "project": run.get("project", {}).get("name"),
        "status": info.get("status", "RUNNING"),
    }[field]


def as_text(value: object) -> str | None:
    """A value as text, where it is no number."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return json.dumps(value)
    return value if isinstance(value, str) else None


def as_number(value: object) -> float | None:
    """A value as a number, also where it is the text of one."""
    if isinstance(value, str):
        digits = re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", value, re.IGNORECASE)
        return float(value) if digits else None
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def moment(text: str | None) -> datetime | None:
    """A time, UTC where it has no zone."""
    try:
        parsed = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def newest(runs: Iterable[Record]) -> list[Record]:
    """Newest first, those of one moment by descending id, those without a time last."""
    by_id = sorted(runs, key=lambda run: str(run["run_id"]), reverse=True)
    return sorted(by_id, key=_seconds, reverse=True)


def _seconds(run: Record) -> float:
    created = moment(run.get("created_at"))
    return created.timestamp() if created else -math.inf


def in_order(runs: Iterable[Record], sort_by: str | None, *, descending: bool) -> list[Record]:
    """Numbers, then texts, then runs without the field; ties newest first."""
    field = sort_by or "created_at"
    numbers: list[tuple[float, Record]] = []
    texts: list[tuple[str, Record]] = []
    without: list[Record] = []
    for run in newest(runs):
        value = (field_values(run, field) or [None])[0]
        time_ = moment(str(value)) if field.endswith("_at") else None
        number = as_number(value) if "." in field else time_.timestamp() if time_ else None
        text = None if field.endswith("_at") else as_text(value)
        if number is not None:
            numbers.append((number, run))
        elif text is not None:
            texts.append((text, run))
        else:
            without.append(run)
    numbers.sort(key=lambda pair: pair[0], reverse=descending)
    texts.sort(key=lambda pair: pair[0], reverse=descending)
    return [*(run for _, run in numbers), *(run for _, run in texts), *without]


def summary(run: Record) -> dict[str, object]:
    """A run as lists show it."""
    return {
        "run_id": run["run_id"],
        "run_name": plain(run, "name"),
        "project": plain(run, "project") or "",
        "adapter": plain(run, "adapter") or "",
        "status": plain(run, "status"),
        "created_at": plain(run, "created_at") or "",
        "ended_at": plain(run, "ended_at"),
        "group_id": run.get("group_id"),
        "group_name": run.get("group_name"),
        "parent_run_id": run.get("parent_run_id"),
    }


def groups(runs: list[Record], project: str | None) -> list[dict[str, object]]:
    """Groups of runs, the one with the newest run first."""
    members: dict[tuple[str, str], list[Record]] = {}
    for run in newest(runs):
        if run.get("group_id") and project in (None, plain(run, "project") or ""):
            members.setdefault((run["group_id"], plain(run, "project") or ""), []).append(run)
    found = []
    for (group_id, of_project), inside in sorted(members.items()):
        texts = [run["created_at"] for run in inside if moment(run.get("created_at"))]
        times = sorted(texts, key=lambda text: (_seconds({"created_at": text}), text))
        group = {
            "group_id": group_id,
            "group_name": max(run["group_name"] for run in inside),
            "project": of_project,
            "run_count": len(inside),
            "first_run": times[0] if times else "",
            "last_run": times[-1] if times else "",
        }
        found.append((_seconds(inside[0]), group))
    return [group for _, group in sorted(found, key=lambda pair: pair[0], reverse=True)]


def read_files(folder: Path) -> tuple[list[Record], list[str]]:
    """The runs in the files of a registry, and the files that hold none."""
    runs, problems = [], []
    for path in sorted(folder.rglob("*.json")):
        name = path.relative_to(folder).as_posix()
        try:
            run = json.loads(path.read_bytes())
            run_id = run["run_id"]
        except (ValueError, TypeError, KeyError):
            run_id = None
        old = OLD_FILES.get(run_id) == name and not (folder / FILES[run_id]).exists()
        if FILES.get(run_id) == name or old:
            runs.append(run)
        else:
            problems.append(f"runs/{name}")
    return runs, sorted(problems)


# What histories are made of.

TIMES = [
    "2026-01-31T12:00:00Z",
    "2026-01-31T12:00:00.000001Z",
    "2026-01-31T14:00:00+03:00",
    "2026-01-31",
    "2026-01-31T11:30:00",
    "not a time",
]
TEXTS = ["5", "5.0", "10", "-1e3", "abc", "ABC d", "É", "é", "true", "", 'a"b\\', "100%", "[1, 2]"]
VALUES = [*TEXTS, 5, 10, 0.5, -1000, True, False, None, [1, 2], {}, {"b": 5}, {"b": "É"}, 2**70]
PLAIN = ["adapter", "backend", "fingerprint", "group", "name", "project", "status"]
FIELDS = ["params.x", "params.x.b", "params.y", "metric.f", "tag.t", "metrics.f", "tags.t"]


def _some(name: str, values: Iterable[object]) -> st.SearchStrategy[Record]:
    return st.sampled_from([{}, *({name: value} for value in values)])


def _merged(parts: tuple[Record, ...]) -> Record:
    return {name: value for part in parts for name, value in part.items()}


_info = st.tuples(
    _some("status", ["RUNNING", "FINISHED"]),
    _some("ended_at", TIMES),
    _some("run_name", ["n", "Né", "5"]),
).map(_merged)
_data = st.tuples(
    st.dictionaries(st.sampled_from("xy"), st.sampled_from(VALUES)).map(lambda d: {"params": d}),
    st.dictionaries(st.just("f"), st.sampled_from([0.5, 5, 10, -1.5, math.inf])).map(
        lambda d: {"metrics": d}
    ),
    st.dictionaries(st.just("t"), st.sampled_from(TEXTS)).map(lambda d: {"tags": d}),
).map(_merged)
_group = st.sampled_from(
    [{}, {"group_id": "g", "group_name": "Sweep"}, {"group_id": "h", "group_name": "n"}]
)
contents = st.tuples(
    _some("project", [{"name": "p"}, {"name": "Q"}]),
    _some("adapter", ["qiskit", "É"]),
    _some("created_at", TIMES),
    _some("backend", [{"name": "aer"}, {}]),
    _some("fingerprints", [{"run": "f1"}]),
    _some("provenance", [{"git": {"commit": "c1"}}, {}]),
    _some("parent_run_id", ["r1"]),
    _group,
    st.fixed_dictionaries({"info": _info, "data": _data}),
).map(_merged)

_operators = st.sampled_from(["=", "!=", ">", ">=", "<", "<=", "~"])
conditions = (
    st.builds(Condition, st.sampled_from([*FIELDS, *PLAIN]), _operators, st.sampled_from(TEXTS))
    | st.builds(Condition, st.sampled_from(PLAIN), _operators, st.sampled_from(["p", "g", "n"]))
    | st.builds(
        Condition,
        st.sampled_from(["created_at", "ended_at"]),
        st.sampled_from(["=", "!=", ">", ">=", "<", "<="]),
        st.sampled_from([time_ for time_ in TIMES if moment(time_)]),
    )
    | st.builds(
        Condition, st.sampled_from([*FIELDS, *PLAIN, "created_at", "ended_at"]), st.just("")
    )
)


def _joins(inner: st.SearchStrategy[Query]) -> st.SearchStrategy[Query]:
    some = st.lists(inner, min_size=2, max_size=3).map(tuple)
    one = st.tuples(inner)
    return st.builds(Join, st.just("not"), one) | st.builds(
        Join, st.sampled_from(["and", "or"]), some
    )


queries: st.SearchStrategy[Query] = st.recursive(conditions, _joins, max_leaves=4)
pages = st.sampled_from([{}, {"limit": 1}, {"limit": 2, "offset": 1}, {"offset": 2}, {"limit": 0}])
sorts = st.none() | st.sampled_from([*FIELDS, *PLAIN, "created_at", "ended_at"])
filters = st.fixed_dictionaries(
    {},
    optional={
        "project": st.sampled_from(["p", "Q", "none"]),
        "name": st.sampled_from(["n", "Né"]),
        "adapter": st.sampled_from(["qiskit", "É"]),
        "status": st.sampled_from(["RUNNING", "FINISHED"]),
        "backend_name": st.just("aer"),
        "fingerprint": st.just("f1"),
        "git_commit": st.just("c1"),
        "group_id": st.sampled_from(["g", "h"]),
        "created_after": st.sampled_from(TIMES[:-1]),
        "created_before": st.sampled_from(TIMES[:-1]),
    },
)
bad_files = st.sampled_from([b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"run_id": "other"}', b"{}"])
run_ids = st.sampled_from(list(FILES))


def paged(found: list[Any], page: dict[str, int]) -> list[Any]:
    """One page of an answer."""
    first = page.get("offset", 0)
    return found[first : first + page.get("limit", 100)]


class Histories(RuleBasedStateMachine):
    """Three clients of one registry, two of them with one index file, and hands at its files."""

    @initialize()
    def begin(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="devqubit-machine-"))
        self.folder = self.root / "registry" / "runs"
        self.caches = [self.root / "cache0", self.root / "cache1", self.root / "cache0"]
        self.clients = [self.opened(self.root / "registry", cache) for cache in self.caches]

    def teardown(self) -> None:
        try:
            for client in self.clients:
                self.check(client)
        finally:
            for client in self.clients:
                client.close()
            shutil.rmtree(self.root)

    def opened(self, root: Path, cache: Path) -> Registry:
        with patch.dict(os.environ, DEVQUBIT_CACHE_DIR=str(cache)):
            return create_registry(root, durability="fast", max_staleness=None)

    def check(self, client: Registry) -> tuple[list[Record], list[str]]:
        """Refreshes, and asks what needs no arguments."""
        client.refresh()
        runs, problems = read_files(self.folder)
        assert [run.record for run in client.search_runs("")] == newest(runs)
        assert [problem.key for problem in client.problems()] == problems
        assert client.count_runs() == len(runs)
        return runs, problems

    def put_file(self, name: str, data: bytes) -> None:
        """Writes a file by hand, with a time of its own, as a clock that does not stop gives."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        written_ = path.with_name(".devqubit-by-hand")
        written_.write_bytes(data)
        now = time.time_ns()
        os.utime(written_, ns=(now, now))
        written_.replace(path)

    @rule(number=st.integers(0, 2), run_id=run_ids, content=contents)
    def save(self, number: int, run_id: str, content: Record) -> None:
        record = {"run_id": run_id, **content}
        self.clients[number].save(record)
        assert record in [run.record for run in self.clients[number].search_runs("")]

    @rule(number=st.integers(0, 2), run_id=run_ids, content=contents)
    def update(self, number: int, run_id: str, content: Record) -> None:
        client = self.clients[number]
        try:
            client.update(run_id, lambda record: {**record, **content})
        except (RunNotFoundError, CorruptRecordError):
            return
        seen = {run.run_id: run.record for run in client.search_runs("")}
        assert seen[run_id] == client.load(run_id).record

    @rule(number=st.integers(0, 2), run_id=run_ids)
    def delete(self, number: int, run_id: str) -> None:
        self.clients[number].delete(run_id)
        assert run_id not in [run["run_id"] for run in self.clients[number].list_runs()]

    @rule(run_id=run_ids, content=contents)
    def foreign_write(self, run_id: str, content: Record) -> None:
        self.put_file(FILES[run_id], json.dumps({"run_id": run_id, **content}).encode())

    @rule(content=contents)
    def foreign_write_of_0_1_12(self, content: Record) -> None:
        for run_id, name in OLD_FILES.items():
            self.put_file(name, json.dumps({"run_id": run_id, **content}, indent=2).encode())

    @rule(name=st.sampled_from(PATHS))
    def foreign_delete(self, name: str) -> None:
        (self.folder / name).unlink(missing_ok=True)

    @rule(name=st.sampled_from([*PATHS, "unheard of.json", "notes.txt"]), data=bad_files)
    def corrupt(self, name: str, data: bytes) -> None:
        self.put_file(name, data)

    @rule(name=st.sampled_from(PATHS), part=st.floats(0, 0.99))
    def truncate(self, name: str, part: float) -> None:
        if (self.folder / name).exists():
            data = (self.folder / name).read_bytes()
            self.put_file(name, data[: int(len(data) * part)])

    @rule(number=st.integers(0, 1))
    def lose_cache(self, number: int) -> None:
        """The cache folder is removed, whether or not its index is in use."""
        shutil.rmtree(self.caches[number], ignore_errors=True)

    @rule(
        number=st.integers(0, 1),
        kind=st.sampled_from(["deleted", "truncated", "garbage", "other"]),
        part=st.floats(0, 0.99),
    )
    def damage_index(self, number: int, kind: str, part: float) -> None:
        """The index file is damaged while nobody has it open."""
        for client, cache in zip(self.clients, self.caches, strict=True):
            if cache == self.caches[number]:
                client.close()
        with patch.dict(os.environ, DEVQUBIT_CACHE_DIR=str(self.caches[number])):
            path = Path(index_path(self.clients[number].location))
        path.parent.mkdir(parents=True, exist_ok=True)
        data = path.read_bytes() if path.exists() else b""
        if kind == "deleted":
            path.unlink(missing_ok=True)
        elif kind == "truncated":
            path.write_bytes(data[: int(len(data) * part)])
        elif kind == "garbage":
            path.write_bytes(b"\xa5" * len(data))
        else:
            path.write_bytes(self.other_index())

    def other_index(self) -> bytes:
        """The index of another registry, with a run that ours does not have."""
        cache = self.root / "other cache"
        with self.opened(self.root / "other", cache) as other:
            other.save({"run_id": "stranger"})
            location = other.location
        with patch.dict(os.environ, DEVQUBIT_CACHE_DIR=str(cache)):
            return Path(index_path(location)).read_bytes()

    @rule(number=st.integers(0, 2))
    def reopen(self, number: int) -> None:
        self.clients[number].close()
        self.clients[number] = self.opened(self.root / "registry", self.caches[number])

    @rule(number=st.integers(0, 2))
    def refresh(self, number: int) -> None:
        self.check(self.clients[number])

    @rule(
        number=st.integers(0, 2),
        query=queries,
        sort_by=sorts,
        descending=st.booleans(),
        page=pages,
    )
    def search(
        self,
        number: int,
        query: Query,
        sort_by: str | None,
        descending: bool,
        page: dict[str, int],
    ) -> None:
        client = self.clients[number]
        runs, _ = self.check(client)
        found = client.search_runs(written(query), sort_by=sort_by, descending=descending, **page)
        matching = [run for run in runs if holds(query, run)]
        expected = in_order(matching, sort_by, descending=descending)
        assert [run.record for run in found] == paged(expected, page)
        assert [run.version for run in found] == [client.load(run.run_id).version for run in found]

    @rule(number=st.integers(0, 2), given=filters, page=pages)
    def list_runs(self, number: int, given: dict[str, str], page: dict[str, int]) -> None:
        client = self.clients[number]
        runs, _ = self.check(client)
        expected = [summary(run) for run in newest(runs) if _passes(run, given)]
        assert client.list_runs(**given, **page) == paged(expected, page)  # type: ignore[arg-type]

    @rule(
        number=st.integers(0, 2),
        project=st.sampled_from([None, "p", "Q"]),
        status=st.sampled_from([None, "RUNNING", "FINISHED"]),
        group_id=st.sampled_from("gh"),
        page=pages,
    )
    def summarize(
        self,
        number: int,
        project: str | None,
        status: str | None,
        group_id: str,
        page: dict[str, int],
    ) -> None:
        client = self.clients[number]
        runs, _ = self.check(client)
        given = {"project": project, "status": status}
        counted = [run for run in runs if _passes(run, given)]
        assert client.count_runs(project=project, status=status) == len(counted)
        projects = {plain(run, "project") for run in runs} - {None}
        assert client.list_projects() == sorted(projects)
        assert client.list_groups(project=project, **page) == paged(groups(runs, project), page)
        inside = [summary(run) for run in newest(runs) if run.get("group_id") == group_id]
        assert client.list_runs_in_group(group_id, **page) == paged(inside, page)


def _passes(run: Record, given: dict[str, Any]) -> bool:
    created = moment(run.get("created_at"))
    for name, wanted in given.items():
        if wanted is None:
            continue
        if name in ("created_after", "created_before"):
            bound = moment(wanted)
            if created is None or bound is None:
                return False
            if not (created > bound if name == "created_after" else created < bound):
                return False
        elif name == "group_id":
            if run.get("group_id") != wanted:
                return False
        elif plain(run, {"backend_name": "backend"}.get(name, name)) != wanted:
            return False
    return True


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


@pytest.mark.parametrize("change", [{}, {"data": {"params": {"y": "x" * 9_000}}}])
def test_any_damaged_page(tmp_path: Path, change: Record) -> None:
    """A refresh makes the index whole again, whichever of its pages is damaged."""
    with patch.dict(os.environ, DEVQUBIT_CACHE_DIR=str(tmp_path / "cache")):
        url = f"file://{tmp_path}/registry?durability=fast"
        with create_registry(url, max_staleness=None) as registry:
            registry.save({"run_id": "a", "data": {"params": {"x": 5}}})
            registry.save({"run_id": "b"})
            path = Path(index_path(registry.location))
        if change:
            (tmp_path / "registry/runs/b.json").write_text(json.dumps({"run_id": "b", **change}))
        good = path.read_bytes()
        size = int.from_bytes(good[16:18], "big")
        broken = []
        for start in range(0, len(good), size):
            path.write_bytes(good[:start] + b"\xa5" * size + good[start + size :])
            with create_registry(url, max_staleness=None) as registry:
                registry.refresh()
                found = [run.run_id for run in registry.search_runs("params.x = 5 or name = x")]
                if (found, registry.count_runs(), len(registry.list_runs())) != (["a"], 2, 2):
                    broken.append(start // size)
        assert broken == []


def test_times_of_a_group_are_moments(tmp_path: Path) -> None:
    """The first and the last run of a group are so by time, not by text."""
    times = ["2026-01-31T14:00:00+03:00", "2026-01-31T11:30:00Z", "soon", "2026-01-31T13:00:00+02"]
    with create_registry(tmp_path, durability="fast", max_staleness=0) as registry:
        for number, created_at in enumerate(times):
            record = {"run_id": f"{number}", "group_id": "g", "created_at": created_at}
            registry.save(record)
        (group,) = registry.list_groups()
    assert (group["first_run"], group["last_run"]) == (times[3], times[1])
