"""create_store and create_registry: where they look, and what they refuse."""

from __future__ import annotations

from pathlib import Path

import pytest

from devqubit.errors import DevQubitError, InvalidOptionError, InvalidURLError, UnknownSchemeError
from devqubit.storage import create_registry, create_store


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))


def test_defaults(tmp_path: Path) -> None:
    """Without anything said, objects and runs are in ~/.devqubit."""
    assert create_store().location == f"file://{tmp_path}/.devqubit/objects"
    assert create_registry().location == f"file://{tmp_path}/.devqubit"


def test_home_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """DEVQUBIT_HOME moves both, whatever characters it has."""
    monkeypatch.setenv("DEVQUBIT_HOME", "/data/50% ?#")
    assert create_store().location == "file:///data/50%25%20%3F%23/objects"
    assert create_registry().location == "file:///data/50%25%20%3F%23"


def test_url_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each URL variable moves its own; an argument wins over it."""
    monkeypatch.setenv("DEVQUBIT_STORAGE_URL", "file:///store")
    monkeypatch.setenv("DEVQUBIT_REGISTRY_URL", "/registry")
    assert create_store().location == "file:///store"
    assert create_registry().location == "file:///registry"
    assert create_store("/mine").location == "file:///mine"


def test_empty_variables_are_unset(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty variable counts as not set."""
    for name in ("DEVQUBIT_STORAGE_URL", "DEVQUBIT_HOME"):
        monkeypatch.setenv(name, "")
    assert create_store().location == f"file://{tmp_path}/.devqubit/objects"


def test_opening_creates_nothing(tmp_path: Path) -> None:
    """Opening, and asking for what is not there, makes no folder."""
    with create_store(tmp_path / "new") as store, create_registry(tmp_path / "new") as registry:
        assert list(store.list_digests()) == []
        assert registry.list_runs() == []
    assert list(tmp_path.iterdir()) == []


def test_store_and_registry_share_a_place(tmp_path: Path) -> None:
    """Objects, runs and baselines lie beside each other in one layout."""
    with create_store(tmp_path) as store, create_registry(tmp_path) as registry:
        digest = store.put_bytes(b"x").removeprefix("sha256:")
        registry.save({"run_id": "r", "project": {"name": "p"}})
        registry.set_baseline("p", "r")
    files = {
        str(path.relative_to(tmp_path))
        for path in tmp_path.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }
    assert files == {f"sha256/{digest[:2]}/{digest}", "runs/r.json", "baselines/p.json"}


@pytest.mark.parametrize(
    ("url", "error", "hint"),
    [
        ("s3://", InvalidURLError, "s3://my-bucket/devqubit"),
        ("s3://?region=x", InvalidURLError, "names no bucket"),
        ("s3://b?regoin=x", InvalidOptionError, "region"),
        ("file:///x?region=x", InvalidOptionError, "durability"),
        ("s3a:/b/x", InvalidURLError, "s3a://"),
        ("s3a://b/x", UnknownSchemeError, "Did you mean s3://"),
        ("gcs://b/x", UnknownSchemeError, "Did you mean gs://"),
        ("az://b/x", UnknownSchemeError, "there are: file, gs, s3"),
    ],
)
@pytest.mark.parametrize("create", [create_store, create_registry])
def test_refused(create: object, url: str, error: type[DevQubitError], hint: str) -> None:
    """A URL that cannot be served is refused at once, with the way out."""
    assert callable(create)
    with pytest.raises(error, match=hint):
        create(url)


def test_repr_shows_no_secret(tmp_path: Path) -> None:
    """What is printed of a store is its address, without options."""
    url = "s3://bucket/x?sse_kms_key_id=hunter2&profile=default"
    with pytest.raises(DevQubitError) as caught:
        create_store(url, max_attempts="hunter2")
    assert "hunter2" not in str(caught.value)
    with create_store("s3://bucket/x?sse_kms_key_id=hunter2", region="us-east-1") as store:
        assert repr(store) == "<ObjectStore s3://bucket/x>"
