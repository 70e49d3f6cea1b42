"""Bulk calls on Dask: two workers, each a process of its own, do what this process asks for.

`nox -s dask` runs them.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import pytest

from devqubit.errors import IntegrityError, ObjectNotFoundError
from devqubit.storage import ObjectStore, create_store

distributed = pytest.importorskip("distributed", reason="Dask is not installed: nox -s dask")

COUNT = 500
BODIES = [b"%d" % number * 100 for number in range(COUNT)]
MISSING = "sha256:" + "0" * 64


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """A client of a new cluster."""
    arguments = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**arguments) as cluster, distributed.Client(cluster) as client:
        yield client


@pytest.fixture
def executor(client: Any) -> Executor:
    """Dask as Python's own executors are."""
    executor: Executor = client.get_executor()
    return executor


@pytest.fixture(params=["file", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ObjectStore]:
    """A store that the workers reach too."""
    url = str(tmp_path)
    if request.param == "s3":
        endpoint = request.getfixturevalue("s3_endpoint")
        bucket = request.getfixturevalue("s3_bucket")
        url = f"s3://{bucket}/{uuid.uuid4().hex}?endpoint_url={endpoint}&region=us-east-1"
    with create_store(url) as store:
        yield store


def test_everything(store: ObjectStore, executor: Executor) -> None:
    """All bulk calls do on Dask's workers what they do here, in the same order."""
    digests = [str(digest) for digest in store.put_many(BODIES, executor=executor)]
    assert digests == ["sha256:" + hashlib.sha256(body).hexdigest() for body in BODIES]
    found = list(store.get_many(iter(digests), executor=executor))
    assert found == list(zip(digests, BODIES, strict=True))
    sizes = list(store.get_sizes(digests, executor=executor))
    assert sizes == list(zip(digests, map(len, BODIES), strict=True))
    there = dict(store.exists_many([*digests, MISSING], executor=executor))
    assert [digest for digest in there if not there[digest]] == [MISSING]
    assert {error for _, error in store.delete_many(digests, executor=executor)} == {None}
    assert list(store.list_digests()) == []


def test_errors_come_back(store: ObjectStore, executor: Executor, tmp_path: Path) -> None:
    """What a worker could not do comes back whole, as the error of that item alone."""
    digest, damaged = (str(digest) for digest in store.put_many([b"right", b"wrong"]))
    store._bucket.write(f"sha256/{damaged[7:9]}/{damaged[7:]}", b"something else")
    good, missing, bad = store.get_many([digest, MISSING, damaged], executor=executor)
    assert good == (digest, b"right")
    assert isinstance(missing[1], ObjectNotFoundError)
    assert missing[1].digest == MISSING
    assert isinstance(bad[1], IntegrityError)
    with pytest.raises(ExceptionGroup, match=r"1 of 2 .*: 1\)"):
        list(store.put_many([b"a", tmp_path / "missing"], executor=executor))


def test_each_worker_opens_the_store_once(
    store: ObjectStore, client: Any, executor: Executor
) -> None:
    """Both workers work, and each opens the store from its URL, once for all its tasks."""
    digests = [str(digest) for digest in store.put_many(BODIES)]
    outcomes = store.get_many(digests, executor=executor, max_concurrency=5)
    assert [data for _, data in outcomes] == BODIES

    def opened() -> list[str]:
        from devqubit.storage import _opened

        return [received.location for received in _opened._received.values()]

    counts = [places.count(store.location) for places in client.run(opened).values()]
    assert counts == [1, 1]
