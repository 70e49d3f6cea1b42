"""What a process must not inherit: connections, of which a forked child needs its own."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from devqubit.storage._forks import renewed_after_fork

__all__ = ["PerProcess"]

T = TypeVar("T")


class PerProcess(Generic[T]):
    """One of something in each process, made at the first need. Safe in threads.

    Args:
        make: Makes it, such as an SDK's client.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: tuple[int, T] | None = None
        renewed_after_fork(self)

    def get(self) -> T:
        """That of this process; raises what making it raises."""
        made = self._made
        if made is None or made[0] != os.getpid():
            with self._lock:
                made = self._made
                if made is None or made[0] != os.getpid():
                    made = self._made = os.getpid(), self._make()
        return made[1]

    def renew(self, old: T) -> T:
        """Another one in place of `old`, which is of no use any more.

        Of many threads that ask at once, one makes it.
        """
        with self._lock:
            made = self._made
            if made is None or made[1] is old:
                made = self._made = os.getpid(), self._make()
            return made[1]

    def drop(self) -> T | None:
        """Forgets that of this process, so that it can be closed; None if there is none."""
        made, self._made = self._made, None
        return made[1] if made is not None and made[0] == os.getpid() else None

    def _make_locks(self) -> None:
        self._lock = threading.Lock()
