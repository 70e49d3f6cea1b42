"""Trying again: what a backend does when a server is slow, busy or gone for a moment."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from devqubit.errors import ThrottledError, UnreachableError

__all__ = ["TRANSIENT", "Retry"]

R = TypeVar("R")

TRANSIENT: Final = (ThrottledError, UnreachableError)
"""The errors after which the same call may succeed."""

# Seconds before the second attempt, doubled before each further one up to the most.
_FIRST_WAIT: Final = 0.1
_LONGEST_WAIT: Final = 5.0


@dataclass(frozen=True, slots=True)
class Retry:
    """How often and how long a call is tried.

    A backend turns its SDK's own retries off and uses these, so that one deadline
    holds for all attempts together and a read whose body broke off is tried again too.

    Attributes:
        max_attempts: How often at most.
        timeout: Seconds for all attempts together.
    """

    max_attempts: int = 10
    timeout: float = 60.0

    @property
    def attempt_timeout(self) -> float:
        """Seconds that one attempt may wait for the server.

        The last attempt begins when two thirds of the time are gone at the latest, so
        that all of it ends in time.
        """
        return self.timeout / 3

    def call(self, action: Callable[[int], R]) -> R:
        """Calls `action` until it succeeds, fails for good, or time or attempts run out.

        Waits twice as long before each attempt, at random between half and all of it,
        so that many clients do not come back together.

        Args:
            action: Gets the attempt's number, from 1.

        Raises:
            ThrottledError: The last attempt's, as it was raised.
            UnreachableError: The last attempt's, as it was raised.
        """
        end = time.monotonic() + self.timeout - self.attempt_timeout
        wait = _FIRST_WAIT
        for attempt in range(1, self.max_attempts):
            try:
                return action(attempt)
            except TRANSIENT:
                pause = wait * random.uniform(0.5, 1.0)  # noqa: S311  # no secret
                if time.monotonic() + pause > end:
                    raise
            time.sleep(pause)
            wait = min(2 * wait, _LONGEST_WAIT)
        return action(self.max_attempts)
