"""Conditional requests whose moments no server can be made to have: scripted, in order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from devqubit.errors import BlobNotFoundError, ConflictError, StorageError, UnreachableError
from devqubit.plugin import ABSENT, ConditionalRequests, Retry, State, Version

LOST = UnreachableError("no answer")
OTHER: State = (Version("theirs"), None)


def answers(*script: StorageError | State | Version) -> Callable[..., Any]:
    """What raises or returns one after the other."""
    todo = iter(script)

    def answer(*_: object) -> Any:
        found = next(todo)
        if isinstance(found, StorageError):
            raise found
        return found

    return answer


@pytest.fixture
def requests() -> ConditionalRequests:
    """Tried at most three times."""
    return ConditionalRequests(Retry(max_attempts=3))


def test_delete_that_was_refused_did_nothing(requests: ConditionalRequests) -> None:
    """A refused delete whose look is not answered is not taken for done if the blob goes then."""
    send = answers(ConflictError("changed"), BlobNotFoundError("k", "x://"))
    assert requests.delete("k", Version("v"), send, answers(LOST)) is False


def test_delete_whose_answer_was_lost_was_done(requests: ConditionalRequests) -> None:
    """One that was not answered, and finds nothing when sent again, has deleted the blob."""
    send = answers(LOST, BlobNotFoundError("k", "x://"))
    assert requests.delete("k", Version("v"), send, answers()) is True


def test_replacement_that_was_refused_is_a_conflict(requests: ConditionalRequests) -> None:
    """A look that is not answered is repeated, and the conflict stays one."""
    send = answers(ConflictError("changed"), ConflictError("changed"))
    with pytest.raises(ConflictError, match="changed by somebody else"):
        requests.write("k", Version("v"), send, answers(LOST, OTHER))


def test_creation_that_was_answered_is_not_looked_at(requests: ConditionalRequests) -> None:
    """Only after a lost answer is a look worth its request."""
    with pytest.raises(ConflictError, match="there already"):
        requests.write("k", ABSENT, answers(ConflictError("there")), answers())
