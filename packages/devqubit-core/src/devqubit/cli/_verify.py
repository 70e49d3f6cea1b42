"""`devqubit verify`: every object hashed, every run read, every reference looked up."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING

import click

from devqubit.cli._durations import moment, registries_option, share
from devqubit.cli._exit_codes import PROBLEM
from devqubit.cli._options import store_option
from devqubit.cli._output import json_option, one_line, print_json, print_table, size_text
from devqubit.cli._progress import before_line, progress
from devqubit.maintenance import verify
from devqubit.storage import create_registry, create_store

if TYPE_CHECKING:
    from devqubit.maintenance import Finding, VerifyReport

__all__ = ["command"]


@click.command("verify")
@click.option(
    "--since",
    type=moment,
    metavar="TIME",
    help="Hash only objects written since then: a time, or 7d.",
)
@click.option(
    "--sample", type=share, metavar="PERCENT", default="100%", help="Hash only a share, such as 5%."
)
@click.option("--part", type=click.IntRange(0), default=0, help="Which share: 0, 1, 2, ….")
@click.option("--repair-from", metavar="URL", help="A store that has what is damaged or missing.")
@store_option
@registries_option
@json_option
def command(
    since: datetime | None,
    sample: float,
    part: int,
    repair_from: str | None,
    store: str | None,
    registries: tuple[str, ...],
    as_json: bool,
) -> None:
    """Hash every object, read every run, and look up everything that runs refer to.

    Problems are shown as they are found. Exit code 1 if there are any, 0 if none, or if all
    were repaired.

    \b
    Examples:
    devqubit verify
    devqubit verify --sample 5% --part 3
    devqubit verify --repair-from s3://backup/objects
    """
    with ExitStack() as stack:
        opened = stack.enter_context(create_store(store))
        urls: Sequence[str | None] = registries or (None,)
        runs = [stack.enter_context(create_registry(url)) for url in urls]
        other = None if repair_from is None else stack.enter_context(create_store(repair_from))

        def found(finding: Finding) -> None:
            before_line()
            if as_json:
                print_json({"problem": asdict(finding)})
            else:
                state = "repaired" if finding.repaired else "open"
                cells = (state, finding.kind, finding.name, finding.detail)
                click.echo("\t".join(one_line(cell) for cell in cells))

        with progress("Hashing", unit="B") as draw:
            report = verify(
                opened,
                runs,
                since=since,
                sample=sample,
                part=part,
                repair_from=other,
                found=found,
                progress=draw,
            )
    _print(report, as_json)
    if not report.is_clean:
        click.get_current_context().exit(PROBLEM)


def _print(report: VerifyReport, as_json: bool) -> None:
    if as_json:
        print_json({"summary": asdict(report)})
        return
    print_table(
        ("what", "count", "size"),
        [
            ("objects", report.objects, size_text(report.object_bytes)),
            ("hashed", report.hashed, size_text(report.hashed_bytes)),
            ("orphans", report.orphans, size_text(report.orphan_bytes)),
            ("foreign files", report.foreign, ""),
            ("runs", report.runs, ""),
            ("references", report.references, ""),
            ("baselines", report.baselines, ""),
            *((f"problem: {kind}", count, "") for kind, count in report.problems.items()),
            ("repaired", report.repaired, ""),
        ],
    )
