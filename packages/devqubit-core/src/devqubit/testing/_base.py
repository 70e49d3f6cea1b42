"""What the conformance classes share: a URL of an empty place, and it opened."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from devqubit.plugin import Bucket
from devqubit.storage._open import open_bucket

__all__ = ["Conformance", "require"]


class Conformance:
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


def require(bucket: Bucket, capability: str) -> None:
    """Skips the test, naming the capability, where the bucket declares that it lacks it."""
    if not getattr(bucket.capabilities, capability):
        pytest.skip(f"{bucket!r} declares no {capability}")
