"""gcp-storage-emulator, which passes over every condition: it is found out, and refused."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from devqubit.errors import UnsupportedError
from devqubit.maintenance import diagnose
from devqubit.plugin import open_bucket
from devqubit.storage import create_registry, create_store
from tests.real_servers._process import free_port, running, wait_until_it_listens


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A place on the emulator."""
    program = shutil.which("gcp-storage-emulator")
    if program is None:
        pytest.skip("gcp-storage-emulator is not installed: pip install gcp-storage-emulator")
    port, log = free_port(), tmp_path_factory.mktemp("emulator") / "log"
    options = ("--host=127.0.0.1", f"--port={port}", "--in-memory", "--default-bucket=lab", "-q")
    with running(program, "start", *options, log=log) as process:
        wait_until_it_listens(process, port, log)
        yield f"gs://lab/x?endpoint_url=http://127.0.0.1:{port}&anonymous=true"


def test_doctor(url: str) -> None:
    """The doctor finds that no condition is honoured, and all else right."""
    bucket = open_bucket(url)
    checks = {check.name: check for check in diagnose(bucket).checks}
    assert {name for name, check in checks.items() if check.status != "ok"} == {"conditions"}
    assert checks["conditions"].found == (
        "not honoured: creating once, replacing a version, deleting a version"
    )
    bucket.close()


def test_update_refuses(url: str) -> None:
    """`update` refuses and changes nothing."""
    with create_registry(url) as registry:
        registry.save({"run_id": "a"})
        with pytest.raises(UnsupportedError, match=r"devqubit doctor 'gs://"):
            registry.update("a", lambda run: run.update(n=1))
        assert registry.load("a").record == {"run_id": "a"}


def test_objects(url: str) -> None:
    """Objects need no conditions."""
    with create_store(url) as store:
        digest = store.put_bytes(b"counts")
        assert store.get_bytes(digest) == b"counts"
        assert list(store.list_digests()) == [digest]
        assert store.delete(digest)
