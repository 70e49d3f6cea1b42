"""Durations as they are typed, such as `36h` or `30d`, and shares, such as `5%`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

import click

__all__ = ["duration", "moment", "registries_option", "share"]

_UNITS: Final = {"h": "hours", "d": "days", "w": "weeks"}

registries_option = click.option(
    "--registry",
    "registries",
    metavar="URL",
    multiple=True,
    help="Where the runs are; once for each that uses the store; else DEVQUBIT_REGISTRY_URL.",
)


def duration(value: str | timedelta) -> timedelta:
    """Reads a number of hours, days or weeks."""
    if isinstance(value, timedelta):
        return value
    found = re.fullmatch(r"([0-9]{1,6})([hdw])", value)
    if found is None:
        raise click.BadParameter(f"{value!r} is no duration: write 36h, 30d or 8w")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def moment(value: str | datetime) -> datetime:
    """Reads a time in ISO 8601, UTC without a zone, or how long ago it was."""
    if isinstance(value, datetime):
        return value
    if re.fullmatch(r"[0-9]{1,6}[hdw]", value):
        return datetime.now(UTC) - duration(value)
    try:
        found = datetime.fromisoformat(value)
    except ValueError as exc:
        message = f"{value!r} is no time: write 2026-01-31, or 7d for a week ago"
        raise click.BadParameter(message) from exc
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def share(value: str | float) -> float:
    """Reads a share of all, in percent."""
    if isinstance(value, float):
        return value
    found = re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)%", value)
    if found is None or not 0 < float(found[1]) <= 100:
        raise click.BadParameter(f"{value!r} is no share: write 5%, above 0% and up to 100%")
    return float(found[1]) / 100
