"""What is in the wheels and sdists: all that belongs there, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from email.message import Message
from email.parser import BytesParser
from pathlib import Path

import pytest

from tests.packaging._dists import DISTRIBUTIONS, Distribution, build, members

pytest.importorskip("twine", reason="its own session: nox -s packaging")

each = pytest.mark.parametrize("ours", DISTRIBUTIONS, ids=lambda ours: ours.name)


def wheel(dist: Path, ours: Distribution) -> dict[str, bytes]:
    """The files of a wheel of ours, by name."""
    return members(dist / f"{ours.stem}-py3-none-any.whl")


def metadata(dist: Path, ours: Distribution) -> Message:
    """The metadata of a wheel of ours."""
    return BytesParser().parsebytes(wheel(dist, ours)[f"{ours.stem}.dist-info/METADATA"])


@each
def test_wheel_holds_its_package_and_metadata(dist: Path, ours: Distribution) -> None:
    """Every module, the mark of types and the license; no tests, nothing left behind."""
    names = ["METADATA", "RECORD", "WHEEL", "licenses/LICENSE"]
    names += ["entry_points.txt"] * bool({"scripts", "entry-points"} & ours.project.keys())
    assert set(wheel(dist, ours)) == ours.code | {f"{ours.stem}.dist-info/{n}" for n in names}


@each
def test_code_has_types(ours: Distribution) -> None:
    """Whatever ships a package ships its `py.typed`."""
    assert [f"{ours.package}/py.typed"] * bool(ours.package) == [
        name for name in ours.code if name.endswith("py.typed")
    ]


@each
def test_sdist_holds_what_builds_it(dist: Path, ours: Distribution) -> None:
    """The sources, what is read beside them, and nothing else."""
    names = ["CHANGELOG.md", "LICENSE", "PKG-INFO", "README.md", "pyproject.toml"]
    expected = {f"{ours.stem}/{name}" for name in names}
    expected |= {f"{ours.stem}/src/{name}" for name in ours.code}
    # Hatchling adds the repository's .gitignore where there is a repository.
    assert set(members(dist / f"{ours.stem}.tar.gz")) - {f"{ours.stem}/.gitignore"} == expected


@each
def test_sdist_builds_the_same_wheel(dist: Path, ours: Distribution, tmp_path: Path) -> None:
    """A wheel made from the sdist has the bytes of the one made from the checkout."""
    build(dist / f"{ours.stem}.tar.gz", tmp_path, "--wheel")
    assert members(tmp_path / f"{ours.stem}-py3-none-any.whl") == wheel(dist, ours)


@each
def test_license_is_apache(dist: Path, ours: Distribution) -> None:
    """The license is named by its identifier, and is in the wheel."""
    assert metadata(dist, ours)["License-Expression"] == "Apache-2.0"
    text = wheel(dist, ours)[f"{ours.stem}.dist-info/licenses/LICENSE"]
    assert b"Apache License" in text


@each
def test_ranges_between_ours_have_both_ends(dist: Path, ours: Distribution) -> None:
    """Where one of ours needs another, it says from which release and before which."""
    needed = metadata(dist, ours).get_all("Requires-Dist") or []
    ranges = {r for r in needed if r.startswith("devqubit-")}
    assert [r for r in ranges if ">=" not in r or "<" not in r or "==" in r.split(";")[0]] == []


def test_index_would_take_them(dist: Path) -> None:
    """`twine check --strict` finds nothing to warn of, the toy backend's included."""
    files = [str(file) for file in sorted(dist.iterdir())]
    assert len(files) == 2 * (len(DISTRIBUTIONS) + 1)
    command = [sys.executable, "-m", "twine", "check", "--strict", *files]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
