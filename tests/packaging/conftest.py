"""The wheels, built once, and the environments that several tests look at."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.packaging._dists import DISTRIBUTIONS, build, copy_of_toy
from tests.packaging._environment import Environment


def pytest_addoption(parser: pytest.Parser) -> None:
    """Lets the files that are to be released be tested, instead of others like them."""
    parser.addoption("--built", type=Path, help="folder of our wheels and sdists, made before")


@pytest.fixture(scope="session")
def dist(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel and the sdist of each of ours, and of the toy backend."""
    target = tmp_path_factory.mktemp("dist")
    if given := pytestconfig.getoption("--built"):
        shutil.copytree(given, target, dirs_exist_ok=True)
    else:
        for each in DISTRIBUTIONS:
            build(each.path, target, "--sdist", "--wheel")
    build(copy_of_toy(tmp_path_factory.mktemp("toy")), target, "--sdist", "--wheel")
    return target


@pytest.fixture(scope="session")
def everything(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with `devqubit[all]`, which tests build upon and do not change."""
    environment = Environment(tmp_path_factory.mktemp("all") / "env", dist)
    environment.install("devqubit[all]")
    return environment


@pytest.fixture
def upon_everything(everything: Environment, dist: Path, tmp_path: Path) -> Environment:
    """An environment of the test's own, with `devqubit[all]` in it."""
    return Environment(tmp_path / "env", dist, upon=everything)
