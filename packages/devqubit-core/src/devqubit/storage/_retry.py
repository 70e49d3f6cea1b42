"""Trying again: what a backend does when a server is slow, busy or gone for a moment."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from devqubit.errors import ThrottledError, UnreachableError
from devqubit.storage._backend import Option, Parameter
from devqubit.storage._bucket import Bucket

__all__ = ["NETWORK_PARAMETERS", "TRANSIENT", "Retry"]

R = TypeVar("R")

TRANSIENT: Final = (ThrottledError, UnreachableError)
"""The errors after which the same call may succeed."""

MAX_ATTEMPTS: Final = 14
TIMEOUT: Final = 60.0

NETWORK_PARAMETERS: Final = (
    Parameter(
        name="max_attempts",
        type=int,
        minimum=1,
        help=f"How often a request is tried ({MAX_ATTEMPTS})",
        example="5",
    ),
    Parameter(
        name="timeout",
        type=float,
        minimum=0.1,
        help=f"Seconds for all attempts of one request together ({TIMEOUT:g})",
        example="20",
    ),
    Parameter(
        name="max_concurrency",
        type=int,
        minimum=1,
        help=f"How many requests bulk calls keep in flight ({Bucket.max_concurrency})",
        example="64",
    ),
)
"""The parameters that every backend behind a network takes; `Retry.of` reads two of them."""

# Seconds before the second attempt, and how they grow before each further one, up to the most.
# Where a third of all attempts fails, one call in some million fails in all of them; where
# every one fails at once, they take 20 seconds.
_FIRST_WAIT: Final = 0.1
_GROWTH: Final = 1.5
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

    max_attempts: int = MAX_ATTEMPTS
    timeout: float = TIMEOUT

    @classmethod
    def of(cls, options: Mapping[str, Option]) -> Retry:
        """As the options `max_attempts` and `timeout` of a request say."""
        return cls(
            max_attempts=int(options.get("max_attempts", MAX_ATTEMPTS)),
            timeout=float(options.get("timeout", TIMEOUT)),
        )

    @property
    def attempt_timeout(self) -> float:
        """Seconds that one attempt may wait for the server.

        The last attempt begins when two thirds of the time are gone at the latest, so
        that all of it ends in time.
        """
        return self.timeout / 3

    def call(self, action: Callable[[int], R]) -> R:
        """Calls `action` until it succeeds, fails for good, or time or attempts run out.

        Waits half as long again before each attempt, at random between half and all of it,
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
            wait = min(_GROWTH * wait, _LONGEST_WAIT)
        return action(self.max_attempts)
