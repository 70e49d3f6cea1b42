"""Installed plugins that are broken, or too many: each breaks its own scheme, and says so."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.packaging._dists import build, copy_of_toy
from tests.packaging._environment import Environment
from tests.packaging._failures import (
    CONFLICT,
    DISABLED,
    FAILURES,
    NOT_INSTALLED,
    Failure,
    project,
)

pytest.importorskip("twine", reason="its own session: nox -s packaging")

OTHERS = {
    "s3://bucket/x?region=us-east-1": "s3://bucket/x",
    "gs://bucket/x?anonymous=true": "gs://bucket/x",
}
TOY_WHEEL = "devqubit_memory-1.0.0-py3-none-any.whl"


def opened(environment: Environment, folder: Path, **variables: str) -> str:
    """What `memory://` says, before and after every other scheme was opened in its process."""
    urls = ["memory://lab", folder.as_uri(), *OTHERS, "memory://lab"]
    first, *others, last = environment.opened(*urls, **variables)
    assert others == [folder.as_uri(), *OTHERS.values()]
    assert last == first
    return first


@pytest.fixture
def rivals(upon_everything: Environment, dist: Path, tmp_path: Path) -> Environment:
    """An environment with the toy backend and another one of the same scheme."""
    rival = copy_of_toy(tmp_path)
    (rival / "devqubit_memory.py").rename(rival / "rival_memory.py")
    text = (rival / "pyproject.toml").read_text(encoding="utf-8")
    text = text.replace("devqubit-memory", "rival-memory").replace("devqubit_m", "rival_m")
    (rival / "pyproject.toml").write_text(text, encoding="utf-8")
    build(rival, tmp_path, "--wheel")
    wheels = [dist / TOY_WHEEL, tmp_path / TOY_WHEEL.replace("devqubit", "rival")]
    upon_everything.install("--no-deps", *map(str, wheels))
    return upon_everything


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.name)
def test_broken_plugin(failure: Failure, upon_everything: Environment, tmp_path: Path) -> None:
    """The message names the distribution and the cause; everything else goes on working."""
    build(project(tmp_path, failure.old, failure.new), tmp_path, "--wheel")
    upon_everything.install("--no-deps", str(tmp_path / TOY_WHEEL))
    assert opened(upon_everything, tmp_path) == failure.message


def test_not_installed(dist: Path, tmp_path: Path) -> None:
    """Without the toy backend, its scheme is unknown, and the ones that are there are told."""
    environment = Environment(tmp_path / "env", dist)
    environment.install("devqubit-core")
    assert environment.opened("memory://lab") == [NOT_INSTALLED]


def test_two_rivals(rivals: Environment, tmp_path: Path) -> None:
    """Two distributions for one scheme are both named, with what to do."""
    assert opened(rivals, tmp_path) == CONFLICT


def test_one_of_two_rivals_left_out(rivals: Environment, tmp_path: Path) -> None:
    """What the message says to do helps."""
    assert opened(rivals, tmp_path, DEVQUBIT_DISABLED_PLUGINS="rival-memory") == "memory://lab"


def test_left_out(rivals: Environment, tmp_path: Path) -> None:
    """Where every one is left out, that is what is said."""
    names = "rival-memory,devqubit-memory"
    assert opened(rivals, tmp_path, DEVQUBIT_DISABLED_PLUGINS=names) == DISABLED


@pytest.mark.parametrize("lost", ["", "METADATA"], ids=["whole", "without-metadata"])
def test_metadata_twice(
    lost: str, upon_everything: Environment, dist: Path, tmp_path: Path
) -> None:
    """What a broken upgrade leaves, the metadata of the old version beside the new, is no rival."""
    upon_everything.install("--no-deps", str(dist / TOY_WHEEL))
    new = upon_everything.site / "devqubit_memory-1.0.0.dist-info"
    old = Path(shutil.copytree(new, new.with_name("devqubit_memory-0.9.0.dist-info")))
    text = (old / "METADATA").read_text(encoding="utf-8")
    (old / "METADATA").write_text(text.replace("Version: 1.0.0", "Version: 0.9.0"), "utf-8")
    if lost:
        (old / lost).unlink()
    assert opened(upon_everything, tmp_path) == "memory://lab"
