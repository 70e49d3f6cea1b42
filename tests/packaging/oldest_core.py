"""The oldest devqubit-core that a plugin says it works with: `nox -s skew` tests them together.

It is a wheel of the index once one satisfies the plugin's range. Until then it is this
checkout's core with the lowest version of the range written on it, which tries the
declaration and the way of testing, not an older core, and says so.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from email.parser import BytesParser
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from tests.packaging._dists import DISTRIBUTIONS, build, members

CORE = "devqubit-core"
FOLDERS = {each.name: each.path for each in DISTRIBUTIONS}


def main() -> None:
    """Puts a plugin's wheel and the oldest core's into a folder; prints core's version."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plugin", choices=sorted(FOLDERS))
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    shutil.rmtree(arguments.folder, ignore_errors=True)
    build(FOLDERS[arguments.plugin], arguments.folder, "--wheel")
    (wheel,) = arguments.folder.glob("*.whl")
    allowed = declared_range(wheel)
    found = oldest(released(), allowed)
    if found is not None:
        pip("download", "--quiet", "--no-deps", "-d", str(arguments.folder), f"{CORE}=={found}")
    else:
        found = lowest(allowed)
        sys.stderr.write(
            f"NOTE: pip finds no release of {CORE} in {allowed}, which {wheel.name} declares. "
            f"This checkout's core, stamped {found}, stands in for it.\n"
        )
        stamped(found, arguments.folder)
    sys.stdout.write(f"{found}\n")


def declared_range(wheel: Path) -> SpecifierSet:
    """The versions of core that a wheel's metadata asks for."""
    (metadata,) = (data for name, data in members(wheel).items() if name.endswith("/METADATA"))
    needed = BytesParser().parsebytes(metadata).get_all("Requires-Dist") or []
    (core,) = (need for need in map(Requirement, needed) if need.name == CORE)
    return core.specifier


def oldest(versions: list[Version], allowed: SpecifierSet) -> Version | None:
    """The oldest of some versions that a range allows."""
    return min(allowed.filter(versions), default=None)


def lowest(allowed: SpecifierSet) -> Version:
    """The version at which a range begins."""
    return max(Version(part.version) for part in allowed if part.operator in (">=", "==", "~="))


def released() -> list[Version]:
    """The versions of core on the index; none if it has no such distribution."""
    answer = pip("index", "versions", CORE, check=False)
    line = re.search(r"^Available versions: (.+)$", answer, re.MULTILINE)
    return [Version(text) for text in line[1].split(", ")] if line else []


def stamped(version: Version, folder: Path) -> None:
    """Builds this checkout's core with another version."""
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(shutil.copytree(FOLDERS[CORE], Path(scratch) / "core"))
        module = source / "src" / "devqubit" / "__init__.py"
        text = module.read_text(encoding="utf-8")
        text, count = re.subn(r'(?m)^__version__ = ".+"$', f'__version__ = "{version}"', text)
        assert count == 1
        module.write_text(text, encoding="utf-8")
        build(source, folder, "--wheel")


def pip(*arguments: str, check: bool = True) -> str:
    """What pip prints; with `check`, it must succeed."""
    command = [sys.executable, "-m", "pip", *arguments]
    return subprocess.run(command, check=check, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    main()
