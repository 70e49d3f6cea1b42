"""What the conformance classes share: a URL of an empty place, it opened, and nothing else."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator

import pytest

from devqubit.plugin import Bucket, open_bucket

__all__ = ["Conformance", "Isolated", "gist", "isolate", "require"]


class Isolated:
    """Tests that the developer's own devqubit neither changes nor is changed by."""

    @pytest.fixture(autouse=True)
    def _isolated(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        isolate(monkeypatch, tmp_path_factory)


class Conformance(Isolated):
    """A subclass gives the fixture `url`: a place where nothing is, new for each test."""

    @pytest.fixture
    def url(self) -> str:
        """The URL of a new, empty place. To be given by the subclass."""
        raise NotImplementedError("give the fixture 'url' in your subclass")

    @pytest.fixture
    def bucket(self, url: str) -> Iterator[Bucket]:
        """The bucket at the URL."""
        bucket = open_bucket(url)
        yield bucket
        bucket.close()


def isolate(monkeypatch: pytest.MonkeyPatch, folders: pytest.TempPathFactory) -> None:
    """Takes the variables of devqubit out of the environment; workspace and cache are new.

    Args:
        monkeypatch: Puts them back.
        folders: Where the new ones are made.
    """
    for name in [name for name in os.environ if name.startswith("DEVQUBIT_")]:
        monkeypatch.delenv(name)
    folder = folders.mktemp("devqubit")
    monkeypatch.setenv("DEVQUBIT_HOME", str(folder / "home"))
    monkeypatch.setenv("DEVQUBIT_CACHE_DIR", str(folder / "cache"))


def gist(data: bytes) -> tuple[int, str]:
    """Length and hash: how megabytes differ takes pytest hours to show, as it does on CI."""
    return len(data), hashlib.sha256(data).hexdigest()


def require(bucket: Bucket, capability: str) -> None:
    """Skips the test, naming the capability, where the bucket declares that it lacks it."""
    if not getattr(bucket.capabilities, capability):
        pytest.skip(f"{bucket!r} declares no {capability}")
