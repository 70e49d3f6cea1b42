"""What a store and a registry share: the bucket that they own, and how it was opened."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final, Self

from devqubit.storage._bucket import Bucket

__all__ = ["Opened"]

# What this process opened since somebody else sent it, by how it was opened; more than a few
# are of jobs that are over.
_received: Final[dict[object, Opened]] = {}
_MOST_RECEIVED: Final = 16


class Opened:
    """Something at a URL. Close it, or use it as a context manager.

    Args:
        bucket: Where it is; closed with it.
    """

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._how: tuple[Callable[..., Opened], str, tuple[tuple[str, object], ...]] | None = None

    def opened_by(
        self, create: Callable[..., Opened], url: str, options: Mapping[str, object]
    ) -> Self:
        """Says how another process opens the same: then this can be pickled.

        Args:
            create: A function of a module's top level.
            url: What it takes first.
            options: What it takes by name.
        """
        self._how = create, url, tuple(sorted(options.items()))
        return self

    @property
    def location(self) -> str:
        """The canonical URL, without secrets."""
        return self._bucket.location

    @property
    def bucket(self) -> Bucket:
        """The bucket below, for tools: what it reads is not verified."""
        return self._bucket

    def close(self) -> None:
        """Gives back connections and files. Calling it again is harmless."""
        if _received.get(self._how) is self:
            del _received[self._how]
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

    def __reduce__(self) -> tuple[Any, ...]:
        """What is sent to another process is the URL and the options, and no connection."""
        if self._how is None:
            raise TypeError(
                f"{self!r} cannot be opened in another process: open it with create_store or "
                "create_registry"
            )
        return _receive, self._how

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.location}>"


def _receive(
    create: Callable[..., Opened], url: str, options: tuple[tuple[str, object], ...]
) -> Opened:
    """Opens what was sent, once in a process."""
    how = create, url, options
    # No lock: a process that is forked while one is held waits for ever.
    if (known := _received.get(how)) is not None:
        return known
    for oldest in list(_received)[: 1 - _MOST_RECEIVED]:
        _received.pop(oldest, None)
    return _received.setdefault(how, create(url, **dict(options)))
