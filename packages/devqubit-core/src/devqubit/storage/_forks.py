"""Locks that a forked child gets anew: the thread that held one is not there to let go of it."""

from __future__ import annotations

import os
from typing import Final, Protocol
from weakref import WeakSet

__all__ = ["renewed_after_fork"]


class _HasLocks(Protocol):
    def _make_locks(self) -> None:
        """Makes all locks, nobody holding any."""


_holders: Final[WeakSet[_HasLocks]] = WeakSet()


def renewed_after_fork(holder: _HasLocks) -> None:
    """Makes the locks of an object, now and in each forked child."""
    holder._make_locks()
    _holders.add(holder)


def _renew() -> None:
    for holder in list(_holders):
        holder._make_locks()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
