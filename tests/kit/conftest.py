"""One run of the kit on everything that is broken, for all the tests that look at it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from filelock import FileLock

from tests.kit.broken_plugins import install
from tests.kit.table import ARGUMENTS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What became of each test of `suite.py` that `table.py` names: `passed` or another."""
    shared = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        shared = shared.parent  # that of all workers, of which the first runs it for the others
    found = shared / "outcomes-of-the-kit.json"
    with FileLock(f"{found}.lock"):
        if not found.exists():
            site = tmp_path_factory.mktemp("site")
            found.write_text(json.dumps(_run(site)))
    outcomes: dict[str, str] = json.loads(found.read_text())
    return outcomes


def _run(site: Path) -> dict[str, str]:
    install(site)
    report = site / "report.xml"
    suite = "tests/kit/suite.py"
    command = [sys.executable, "-m", "pytest", "--noconftest", "-q", "-p", "no:cacheprovider"]
    command += [f"--junitxml={report}", f"--basetemp={site / 'tmp'}", "--tb=short"]
    path = f"{site}{os.pathsep}{ROOT}"
    # On CI, pytest shows whole what differs, and so it must not be large.
    environment = {**os.environ, "PYTHONPATH": path, "PYTEST_ADDOPTS": "", "CI": "true"}
    with (site / "output").open("w+") as output:
        done = subprocess.run(
            [*command, *(f"{suite}::{argument}" for argument in ARGUMENTS)],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=240,
            check=False,
        )
        output.seek(0)
        # 1 is that tests failed; anything else, that something could not be run at all.
        assert done.returncode == 1, output.read()[-8_000:]
    return dict(_outcome(case) for case in ElementTree.parse(report).iter("testcase"))


def _outcome(case: ElementTree.Element) -> tuple[str, str]:
    outcome = {"failure": "failed", "error": "error", "skipped": "skipped"}
    found = next((outcome[child.tag] for child in case if child.tag in outcome), "passed")
    reason = next((child.get("message") or "" for child in case if child.tag == "skipped"), "")
    name = f"{case.get('classname', '').rpartition('.')[2]}::{case.get('name')}"
    return name, f"{found}: {reason}" if reason else found
