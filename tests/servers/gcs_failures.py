"""How requests to the Cloud Storage server fail, on demand."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.servers.gcs_objects import ApiError
from tests.servers.gcs_wire import Request, Response, error_response

__all__ = ["Failure", "Failures", "How", "refusal"]

How = Literal["refuse", "close", "forget", "cut", "hang", "keep part", "damage"]


@dataclass
class Failure:
    """What goes wrong with the next requests.

    Attributes:
        times: How many requests are still to fail.
        status: The status of a refusal.
        how: `refuse` answers with `status`. `close` closes the connection, the request
            not executed. `forget` executes it and closes the connection without an
            answer. `cut` breaks the answer's body off in the middle. `hang` never
            answers. `keep part` executes it with the first half of its body, `damage`
            with zeros instead.
        reason: The service's code of a refusal; the usual one of the status by default.
        headers: Headers of a refusal.
        method: Only requests of this verb; empty for any.
        path: Only requests whose target holds this pattern; by default, none for tokens.
        content_range: Only requests whose Content-Range begins with this.
        batched: Only calls within batches; by default, only requests of their own.
    """

    times: int
    status: int = 503
    how: How = "refuse"
    reason: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = ""
    path: str = "^/(storage|upload|download|batch)/"
    content_range: str = ""
    batched: bool = False

    def concerns(self, request: Request, *, batched: bool) -> bool:
        """Whether it is this request's turn."""
        return (
            self.times > 0
            and self.batched == batched
            and self.method in ("", request.method)
            and request.headers.get("content-range", "").startswith(self.content_range)
            and re.search(self.path, request.target) is not None
        )


class Failures:
    """Those that are still to happen. Safe in threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._planned: list[Failure] = []

    def plan(self, failure: Failure) -> None:
        """Lets requests fail."""
        with self._lock:
            self._planned.append(failure)

    def clear(self) -> None:
        """Lets nothing fail any more."""
        with self._lock:
            self._planned.clear()

    def take(self, request: Request, *, batched: bool = False) -> Failure | None:
        """How a request fails, if it does."""
        with self._lock:
            concerned = (f for f in self._planned if f.concerns(request, batched=batched))
            failure = next(concerned, None)
            if failure is not None:
                failure.times -= 1
            return failure

    def within_batch(self, call: Request) -> Response | None:
        """The answer to a call of a batch that is refused."""
        failure = self.take(call, batched=True)
        return None if failure is None else refusal(failure, call)


def refusal(failure: Failure, request: Request) -> Response:
    """The answer to a request that is refused."""
    usual: Mapping[int, Any] = {429: "rateLimitExceeded", 408: "timeout"}
    reason = failure.reason or usual.get(failure.status, "backendError")
    error = ApiError(failure.status, f"Made to fail with {failure.status}.", reason)
    return error_response(error, plain=request.wants_media, headers=failure.headers)
