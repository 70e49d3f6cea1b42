"""What a registry makes of files that it did not write, or that are damaged."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import suppress

import pytest

from devqubit.errors import CorruptRecordError, InvalidKeyError
from devqubit.plugin import Bucket
from devqubit.storage import Registry
from devqubit.testing._base import Conformance, require
from devqubit.testing._run_records import RECORD, record

__all__ = ["RegistryFileChecks"]

BAD_FILES = {
    "truncated": json.dumps(RECORD).encode()[:100],
    "empty": b"",
    "no-json": b"\x89PNG\r\n",
    "list": b"[1, 2]",
    "other-id": b'{"run_id": "somebody-else"}',
    "no-id": b"{}",
    "deep": b'{"run_id": "deep", "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "not-utf8": b'{"run_id": "\xff\xfe"}',
}


class RegistryFileChecks(Conformance):
    """Plain files of any other client, those of devqubit 0.1.12, and damaged ones."""

    @pytest.fixture
    def registry(self, bucket: Bucket) -> Iterator[Registry]:
        """The registry in the bucket."""
        with Registry(bucket) as registry:
            yield registry

    @pytest.mark.parametrize("name", BAD_FILES)
    def test_bad_file_hides_nothing(
        self,
        registry: Registry,
        bucket: Bucket,
        name: str,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """A file that is no record is reported with its key, and the rest is served."""
        registry.save(record("good"))
        bucket.write(f"runs/{name}.json", BAD_FILES[name])
        with pytest.raises(CorruptRecordError, match=name):
            registry.load(name)
        with caplog.at_level(logging.WARNING, "devqubit.storage"):
            assert [run["run_id"] for run in registry.list_runs()] == ["good"]
        assert [problem.key for problem in registry.problems()] == [f"runs/{name}.json"]
        assert f"runs/{name}.json" in caplog.text

    def test_huge_file_hides_nothing(self, registry: Registry, bucket: Bucket) -> None:
        """A file of 50 MB is reported by its size, without being read."""
        registry.save(record("good"))
        bucket.write("runs/huge.json", b" " * 50_000_000)
        with pytest.raises(CorruptRecordError, match="larger than"):
            registry.load("huge")
        assert [run["run_id"] for run in registry.list_runs()] == ["good"]
        (problem,) = registry.problems()
        assert (problem.key, "50,000,000" in problem.reason) == ("runs/huge.json", True)

    def test_foreign_files(self, registry: Registry, bucket: Bucket) -> None:
        """Plain files of any other client are seen; what is no record is passed over."""
        bucket.write("runs/foreign.json", b'\n{"run_id": "foreign", "project": "plain"}')
        bucket.write("runs/notes.txt", b"not mine")
        bucket.write("runs2/x.json", b"{}")
        bucket.write("baselines/plain.json", b'{"project":"plain","run_id":"foreign","set_at":"t"}')
        assert registry.load("foreign").project == "plain"
        assert [run["project"] for run in registry.list_runs()] == ["plain"]
        assert registry.problems() == []
        assert registry.get_baseline("plain") == {
            "project": "plain",
            "run_id": "foreign",
            "set_at": "t",
        }

    def test_raw_names_of_devqubit_0_1(self, registry: Registry, bucket: Bucket) -> None:
        """What devqubit 0.1.12 wrote under a raw name is found, listed, replaced, deleted."""
        require(bucket, "conditional_create")  # saving moves what stands in its way
        names = ["50%", "a%2Fb", "x/y"]
        for name in names:
            bucket.write(f"runs/{name}.json", json.dumps(record(name)).encode())
        # Where no key can hold a backslash, there is no such file.
        with suppress(InvalidKeyError):
            bucket.write("runs/new\\old.json", json.dumps(record("new\\old")).encode())
            names.append("new\\old")
        assert [registry.load(name).run_id for name in names] == names
        assert all(registry.exists(name) for name in names)
        assert not registry.exists("a/b")
        assert registry.load_or_none("a/b") is None
        assert sorted(run["run_id"] for run in registry.list_runs()) == sorted(names)
        for name in names:
            registry.save(record(name, adapter="new"))
            assert registry.load(name).adapter == "new"
        assert {run["adapter"] for run in registry.list_runs()} == {"new"}
        assert len(registry.list_runs()) == len(names)
        registry.save(record("a/b", adapter="not the raw a%2Fb"))
        assert registry.load("a%2Fb").adapter == "new"
        assert all(registry.delete(name) for name in ["a/b", *names])
        assert list(bucket.list()) == []

    def test_raw_name_is_not_overwritten(self, registry: Registry, bucket: Bucket) -> None:
        """A run whose key is the raw name of one of devqubit 0.1.12 does not replace that one."""
        require(bucket, "conditional_create")  # saving moves what stands in its way
        bucket.write("runs/a%2Fb.json", json.dumps(record("a%2Fb")).encode())
        assert not registry.delete("a/b")
        registry.save(record("a/b"))
        assert [registry.load(name).run_id for name in ("a/b", "a%2Fb")] == ["a/b", "a%2Fb"]

    def test_bad_baseline_hides_nothing(self, registry: Registry, bucket: Bucket) -> None:
        """A baseline that cannot be read is an error for its project only."""
        registry.save(record("r"))
        registry.set_baseline("good", "r")
        bucket.write("baselines/bad.json", b"{")
        bucket.write("baselines/half.json", b'{"project": "half"}')
        for project in ("bad", "half"):
            with pytest.raises(CorruptRecordError, match=project):
                registry.get_baseline(project)
        assert [base["project"] for base in registry.list_baselines()] == ["good"]
