"""What a store and a registry share: the bucket that they own."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from devqubit.storage._bucket import Bucket

__all__ = ["Opened"]


class Opened:
    """Something at a URL. Close it, or use it as a context manager.

    Args:
        bucket: Where it is; closed with it.
    """

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    @property
    def location(self) -> str:
        """The canonical URL, without secrets."""
        return self._bucket.location

    def close(self) -> None:
        """Gives back connections and files. Calling it again is harmless."""
        self._bucket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.location}>"
