"""Many objects with one call."""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest

from devqubit.errors import (
    IntegrityError,
    InvalidArgumentError,
    InvalidDigestError,
    ObjectNotFoundError,
)
from devqubit.plugin import Bucket
from devqubit.storage import ObjectStore, create_store
from devqubit.storage._bulk import Item
from devqubit.testing._base import Conformance, require

__all__ = ["BulkChecks"]

MANY = 150
BODIES = [f"object {number}".encode() for number in range(MANY)]
MISSING = "sha256:" + "0" * 64

# Few enough to be asked for one by one.
FEW = 5


class BulkChecks(Conformance):
    """`put_many`, `get_many`, `exists_many`, `get_sizes` and `delete_many`."""

    @pytest.fixture
    def digests(self, store: ObjectStore) -> Sequence[str]:
        """The digests of many objects that are there."""
        found = [digest for digest in store.put_many(BODIES) if isinstance(digest, str)]
        assert len(found) == MANY
        return found

    def test_many_in_and_out(self, store: ObjectStore, digests: Sequence[str]) -> None:
        """Many objects go in and come out, in the order given, and again the same ones."""
        assert list(store.put_many(BODIES)) == digests
        back = digests[::-1]
        assert list(store.get_many(iter(back))) == list(zip(back, BODIES[::-1], strict=True))
        assert list(store.list_digests()) == sorted(digests)

    def test_files_among_many(self, store: ObjectStore, tmp_path: Path) -> None:
        """Paths are stored as the files that they name; one that is missing, is one error."""
        (tmp_path / "file").write_bytes(b"in a file")
        items: list[Item] = [b"bytes", tmp_path / "missing", tmp_path / "file", memoryview(b"view")]
        first, error, third, last = store.put_many(items, errors="return")
        assert isinstance(error, FileNotFoundError)
        assert [store.get_bytes(str(digest)) for digest in (first, third, last)] == [
            b"bytes",
            b"in a file",
            b"view",
        ]

    def test_failed_puts_are_raised(self, store: ObjectStore, tmp_path: Path) -> None:
        """When all others are stored, those that were not are raised, with their numbers."""
        stored: list[object] = []
        with pytest.raises(ExceptionGroup, match=r"2 of 4 .*: 1, 3\)") as caught:
            stored.extend(store.put_many([b"a", tmp_path / "x", b"b", tmp_path / "y"]))
        assert [type(error) for error in caught.value.exceptions] == [FileNotFoundError] * 2
        assert len(list(store.list_digests())) == 2

    @pytest.mark.parametrize("count", [FEW, MANY])
    def test_missing_among_many(
        self, store: ObjectStore, digests: Sequence[str], count: int
    ) -> None:
        """What is missing is told of that one alone, wherever it stands, also twice."""
        asked = [MISSING, *digests[:count], MISSING, digests[0]]
        there = [False, *[True] * count, False, True]
        assert list(store.exists_many(asked)) == list(zip(asked, there, strict=True))
        for found in (dict(store.get_many(asked)), dict(store.get_sizes(asked))):
            assert isinstance(found.pop(MISSING), ObjectNotFoundError)
            assert list(found) == digests[:count]
        assert dict(store.get_sizes(digests)) == dict(zip(digests, map(len, BODIES), strict=True))

    def test_damage_among_many(
        self, store: ObjectStore, bucket: Bucket, digests: Sequence[str]
    ) -> None:
        """A damaged object is the error of that one alone."""
        bucket.write(f"sha256/{digests[7][7:9]}/{digests[7][7:]}", b"damaged")
        found = dict(store.get_many(digests))
        assert isinstance(found[digests[7]], IntegrityError)
        assert [found[digest] for digest in digests[8:]] == BODIES[8:]

    @pytest.mark.parametrize("call", ["get_many", "get_sizes", "exists_many", "delete_many"])
    def test_bad_digest_among_many(
        self, store: ObjectStore, digests: Sequence[str], call: str
    ) -> None:
        """What is no digest is raised, after the answers of those before it."""
        answered: list[tuple[str, object]] = []
        asked = [*digests, "sha256:0", MISSING]
        with pytest.raises(InvalidDigestError):
            answered.extend(getattr(store, call)(asked))
        assert [digest for digest, _ in answered] == digests

    def test_text_among_many(self, store: ObjectStore) -> None:
        """Text is no object: it is refused, when those before it are stored."""
        with pytest.raises(TypeError, match="not str"):
            list(store.put_many([b"a", "text"]))  # type: ignore[list-item]  # that is the point
        assert len(list(store.list_digests())) == 1

    def test_delete_many(self, store: ObjectStore, digests: Sequence[str]) -> None:
        """What was deleted is gone, the others stay, and what was not there is no error."""
        asked = [MISSING, *digests[FEW:]]
        assert list(store.delete_many(asked)) == [(digest, None) for digest in asked]
        assert list(store.list_digests()) == sorted(digests[:FEW])

    def test_nothing(self, store: ObjectStore) -> None:
        """Of nothing, nothing comes."""
        for call in ("put_many", "get_many", "get_sizes", "exists_many", "delete_many"):
            assert list(getattr(store, call)([])) == []

    def test_progress_of_many(self, store: ObjectStore) -> None:
        """Progress is told for each item, and of how many if that is known."""
        told: list[tuple[int, int | None]] = []
        digests = list(store.put_many(BODIES[:3], progress=lambda *now: told.append(now)))
        assert told == [(1, 3), (2, 3), (3, 3)]
        told.clear()
        list(store.exists_many(map(str, digests), progress=lambda *now: told.append(now)))
        assert told == [(1, None), (2, None), (3, None)]

    @pytest.mark.parametrize("width", [0, -1, 1.5, True, "8"])
    def test_bad_concurrency(self, store: ObjectStore, width: object) -> None:
        """A concurrency that cannot be meant is refused at once."""
        with pytest.raises(InvalidArgumentError, match="max_concurrency"):
            store.get_many([], max_concurrency=width)  # type: ignore[arg-type]

    def test_pickled(self, url: str) -> None:
        """A store that was sent elsewhere is opened there, once."""
        with create_store(url) as store:
            digest = store.put_bytes(b"x")
            sent = pickle.dumps(store)
            with pickle.loads(sent) as received:  # noqa: S301  # our own
                assert (received.location, received.get_bytes(digest)) == (store.location, b"x")
                assert pickle.loads(sent) is received  # noqa: S301

    def test_on_threads(self, url: str) -> None:
        """Somebody's own threads do the same."""
        with ThreadPoolExecutor(4) as executor, create_store(url) as store:
            _everything(store, executor)

    def test_on_processes(self, bucket: Bucket, url: str) -> None:
        """Other processes do the same; each opens the store."""
        require(bucket, "persistent")
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(2, spawn) as executor, create_store(url) as store:
            _everything(store, executor)


def _everything(store: ObjectStore, executor: Executor) -> None:
    def views() -> Iterator[bytes | memoryview]:
        yield from BODIES[1:]
        yield memoryview(BODIES[0])

    digests = [str(digest) for digest in store.put_many(views(), executor=executor)]
    asked = [*digests, MISSING]
    found = list(store.get_many(asked, executor=executor, max_concurrency=8))
    assert found[:-1] == list(zip(digests, [*BODIES[1:], BODIES[0]], strict=True))
    assert isinstance(found[-1][1], ObjectNotFoundError)
    there = [*[True] * MANY, False]
    assert list(store.exists_many(asked, executor=executor)) == list(zip(asked, there, strict=True))
    assert [size for _, size in store.get_sizes(digests, executor=executor)] == [
        len(body) for body in (*BODIES[1:], BODIES[0])
    ]
    with pytest.raises(InvalidDigestError):
        list(store.get_many([digests[0], "sha256:0"], executor=executor))
    assert [error for _, error in store.delete_many(asked, executor=executor)] == [None] * 151
    assert list(store.list_digests()) == []
