"""What a user gets who types `pip install devqubit`, or with extras, into a clean environment."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from tests.packaging._dists import DISTRIBUTIONS, copy_of_toy
from tests.packaging._environment import Environment

pytest.importorskip("twine", reason="its own session: nox -s packaging")

VERSIONS = {each.name: each.version for each in DISTRIBUTIONS}
URLS = {
    "devqubit-s3": "s3://bucket/x?region=us-east-1",
    "devqubit-gcs": "gs://bucket/x?anonymous=true",
}
PLACES = {"devqubit-s3": "s3://bucket/x", "devqubit-gcs": "gs://bucket/x"}
REFUSALS = {
    "devqubit-s3": "devqubit.errors.UnknownSchemeError: s3:// needs a backend that is not "
    "installed: pip install 'devqubit[s3]'",
    "devqubit-gcs": "devqubit.errors.UnknownSchemeError: gs:// needs a backend that is not "
    "installed: pip install 'devqubit[gcs]'",
}


class Installed(NamedTuple):
    """An environment after `pip install REQUIREMENT`, and the plugins it is to have."""

    environment: Environment
    plugins: set[str]


@pytest.fixture(
    scope="module",
    params=[
        ("devqubit", set()),
        ("devqubit[s3]", {"devqubit-s3"}),
        ("devqubit[gcs]", {"devqubit-gcs"}),
        ("devqubit[all]", {"devqubit-s3", "devqubit-gcs"}),
    ],
    ids=lambda param: param[0],
)
def installed(
    request: pytest.FixtureRequest, dist: Path, tmp_path_factory: pytest.TempPathFactory
) -> Installed:
    """A clean environment with what the parameter says."""
    requirement, plugins = request.param
    if requirement == "devqubit[all]":
        return Installed(request.getfixturevalue("everything"), plugins)
    environment = Environment(tmp_path_factory.mktemp("env") / "env", dist)
    environment.install(requirement)
    return Installed(environment, plugins)


@pytest.fixture
def with_toy(installed: Installed, dist: Path, tmp_path: Path) -> Installed:
    """The same with the toy backend beside it."""
    environment = Environment(tmp_path / "env", dist, upon=installed.environment)
    environment.install("devqubit-memory")
    return Installed(environment, installed.plugins)


def test_pip_took_this_devqubit(installed: Installed) -> None:
    """Not devqubit 0.1.12 of the index: these versions, and core, and no plugin unasked for."""
    found = installed.environment.installed()
    ours = {name: version for name, version in found.items() if name.startswith("devqubit")}
    expected = {"devqubit", "devqubit-core", *installed.plugins}
    assert ours == {name: VERSIONS[name] for name in expected}


def test_requirements_are_met(installed: Installed) -> None:
    """`pip check` finds nothing missing and nothing at odds."""
    assert installed.environment.pip("check").strip() == "No broken requirements found."


def test_only_the_sdk_asked_for(installed: Installed) -> None:
    """boto3 comes with s3 alone, Google's packages with gcs alone."""
    found = installed.environment.installed()
    assert ("boto3" in found) == ("devqubit-s3" in installed.plugins)
    google = [name for name in found if name.startswith("google")]
    assert bool(google) == ("devqubit-gcs" in installed.plugins)


def test_local_folder_works(installed: Installed, tmp_path: Path) -> None:
    """An artifact and a run go into a folder and come back."""
    assert installed.environment.used(tmp_path.as_uri()) == "counts p 1"


def test_clouds_open_or_say_what_to_install(installed: Installed) -> None:
    """s3:// and gs:// open where their extra is, and name it where it is not."""
    expected = [(PLACES if name in installed.plugins else REFUSALS)[name] for name in URLS]
    assert installed.environment.opened(*URLS.values()) == expected


def test_command_lists_what_is_installed(installed: Installed) -> None:
    """`devqubit backends --load` finds each backend, with its SDK, and no other."""
    schemes = {"devqubit-s3": "s3", "devqubit-gcs": "gs"}
    expected = {schemes[name]: (name, "ready") for name in installed.plugins}
    assert installed.environment.backends() == expected | {"file": ("devqubit-core", "ready")}


def test_toy_works_beside_it(with_toy: Installed, tmp_path: Path) -> None:
    """A stranger's backend needs no more than to be installed, and changes nothing else."""
    assert with_toy.environment.used("memory://lab") == "counts p 1"
    assert with_toy.environment.used(tmp_path.as_uri()) == "counts p 1"
    expected = [(PLACES if name in with_toy.plugins else REFUSALS)[name] for name in URLS]
    assert with_toy.environment.opened(*URLS.values()) == expected
    assert with_toy.environment.pip("check").strip() == "No broken requirements found."


def test_toy_passes_its_own_tests(dist: Path, tmp_path: Path) -> None:
    """Its author's tests, the conformance kit, pass on its wheel beside core's."""
    environment = Environment(tmp_path / "env", dist)
    environment.install("devqubit-memory", "devqubit-core[testing]")
    tests = copy_of_toy(tmp_path) / "tests"
    out = environment.run("-m", "pytest", "-q", "-p", "no:cacheprovider", str(tests))
    assert "passed" in out
    assert environment.installed()["devqubit-core"] == VERSIONS["devqubit-core"]
