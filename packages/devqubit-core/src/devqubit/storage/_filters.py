"""The filters of `Registry.list_runs`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from devqubit.errors import InvalidArgumentError
from devqubit.storage._records import RunRecord, RunSummary

__all__ = ["RunFilter", "instant"]


def instant(text: str) -> datetime | None:
    """The moment that ISO 8601 text names, UTC where it has no zone; None if it is none."""
    try:
        parsed = datetime.fromisoformat(text)
        return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """What to select, checked.

    Attributes:
        texts: By property of `RunRecord`, the text that it must have.
        after: Created later than this.
        before: Created earlier than this.
        limit: How many at most.
        offset: How many to pass over first.
    """

    texts: Mapping[str, str]
    after: datetime | None
    before: datetime | None
    limit: int
    offset: int

    @classmethod
    def of(
        cls,
        *,
        texts: Mapping[str, str | None],
        created_after: str | None,
        created_before: str | None,
        limit: int,
        offset: int,
    ) -> RunFilter:
        """Checks the arguments of a call; raises `InvalidArgumentError`."""
        for name, number in (("limit", limit), ("offset", offset)):
            if number < 0:
                raise InvalidArgumentError(f"{name} must not be negative, like {number}")
        return cls(
            texts={name: text for name, text in texts.items() if text is not None},
            after=_moment("created_after", created_after),
            before=_moment("created_before", created_before),
            limit=limit,
            offset=offset,
        )

    def select(self, runs: Iterable[RunRecord]) -> list[RunSummary]:
        """The runs that match, newest first, those of one moment by id."""
        found = [run.summary() for run in runs if self._matches(run)]
        found.sort(key=lambda run: run["run_id"])
        found.sort(key=lambda run: instant(run["created_at"]) or _NEVER, reverse=True)
        return found[self.offset : self.offset + self.limit]

    def _matches(self, run: RunRecord) -> bool:
        if any(getattr(run, name) != text for name, text in self.texts.items()):
            return False
        if self.after is None and self.before is None:
            return True
        created = instant(run.created_at)
        return (
            created is not None
            and (self.after is None or created > self.after)
            and (self.before is None or created < self.before)
        )


_NEVER = datetime.min.replace(tzinfo=UTC)


def _moment(name: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    moment = instant(text)
    if moment is None:
        raise InvalidArgumentError(
            f"{name} must be a time in ISO 8601, such as 2026-01-31T12:00:00Z, not {text!r}"
        )
    return moment
