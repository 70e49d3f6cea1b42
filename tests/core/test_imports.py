"""What is loaded, and when: measured in new processes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import devqubit.errors
import devqubit.plugin
import devqubit.storage

HEAVY = ("boto3", "botocore", "google", "requests", "urllib3", "importlib.metadata", "filelock")


def loaded_by(program: str) -> set[str]:
    """The heavy modules that a program leaves loaded, in a process of its own."""
    report = f"{program}\nimport json, sys; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", report], capture_output=True, text=True, check=True
    )
    modules = json.loads(done.stdout.splitlines()[-1])
    return {name for name in modules for heavy in HEAVY if f"{name}.".startswith(f"{heavy}.")}


def baseline() -> set[str]:
    """What the interpreter and its site packages load by themselves."""
    return loaded_by("")


def test_import_loads_no_sdk() -> None:
    """Importing the public modules loads no SDK and no reader of installed packages."""
    program = "import devqubit, devqubit.storage, devqubit.plugin, devqubit.errors"
    assert loaded_by(program) - baseline() == set()


def test_local_store_loads_no_sdk(tmp_path: Path) -> None:
    """Opening and using a local store loads no SDK and looks at no installed packages."""
    program = f"""
from devqubit.storage import create_registry, create_store
store = create_store({str(tmp_path)!r})
store.get_bytes(store.put_bytes(b"x"))
create_registry({str(tmp_path)!r}).list_runs()
"""
    assert loaded_by(program) - baseline() == set()


def test_s3_loads_no_google() -> None:
    """Opening s3:// loads boto3, and nothing of Google's."""
    program = """
from devqubit.storage import create_store
create_store("s3://bucket/x?region=us-east-1")
"""
    loaded = loaded_by(program)
    assert "boto3" in loaded
    assert not {name for name in loaded - baseline() if name.startswith("google")}


def test_exported_names_exist() -> None:
    """Every name in `__all__` of a public module is there, once, in order."""
    for module in (devqubit.storage, devqubit.plugin, devqubit.errors):
        names = module.__all__
        assert [name for name in names if not hasattr(module, name)] == []
        assert len(set(names)) == len(names)


def test_every_error_is_in_the_tree() -> None:
    """The tree at the top of `devqubit.errors` has every error that it defines."""
    tree = devqubit.errors.__doc__ or ""
    assert [name for name in devqubit.errors.__all__ if name not in tree] == []
