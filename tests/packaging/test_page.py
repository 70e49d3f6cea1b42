"""The page for authors of backends shows what is so: the toy's files, names and messages."""

from __future__ import annotations

import ast
import re
from dataclasses import fields
from importlib import import_module

import pytest

from tests.packaging._dists import ROOT, TOY
from tests.packaging._failures import CONFLICT, FAILURES, NOT_INSTALLED

plugin = pytest.importorskip("devqubit.plugin", reason="only wheels are tried here")

PAGE = (ROOT / "docs" / "writing-a-backend.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
SHOWN = ("raises-at-import", "hook-returns-nonsense", "fails-to-open", "wrong-api-version")
MESSAGES = [NOT_INSTALLED, CONFLICT, *(f.message for f in FAILURES if f.name in SHOWN)]


@pytest.mark.parametrize("name", ["pyproject.toml", "devqubit_memory.py", "tests/test_memory.py"])
def test_files_are_the_toy_backends(name: str) -> None:
    """The code on the page is the code that is tested, byte for byte."""
    kind = {"toml": "toml", "py": "python"}[name.rpartition(".")[2]]
    assert (kind, (TOY / name).read_text(encoding="utf-8")) in BLOCKS


def test_toy_is_small() -> None:
    """A backend is under 60 lines, its packaging included."""
    files = [TOY / "pyproject.toml", TOY / "devqubit_memory.py"]
    assert sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files) < 60


@pytest.mark.parametrize("message", MESSAGES)
def test_messages_are_the_real_ones(message: str) -> None:
    """What the page says users read is what the packaging tests read, but for line breaks."""
    assert message in [" ".join(text.split()) for kind, text in BLOCKS if kind == "text"]


@pytest.mark.parametrize("block", [text for kind, text in BLOCKS if kind == "python"])
def test_names_are_there(block: str) -> None:
    """Whatever the page's code imports of devqubit is there, and public."""
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("devqubit."):
            public = import_module(node.module or "").__all__
            assert [name.name for name in node.names if name.name not in public] == []


def test_every_method_and_capability_is_explained() -> None:
    """The page names all that a bucket may define, and all that it may declare."""
    methods = {name for name in vars(plugin.Bucket) if not name.startswith("_")}
    methods -= {"location", "capabilities", "max_concurrency"}
    named = set(re.findall(r"`(\w+)[`(]", PAGE))
    assert (methods | {field.name for field in fields(plugin.Capabilities)}) - named == set()
