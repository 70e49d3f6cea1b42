"""Looking after a shared store: verify, clean up, copy and diagnose it."""

from typing import TYPE_CHECKING

from devqubit._lazy import attributes

if TYPE_CHECKING:
    from devqubit.maintenance._copy import CopyReport, Tally, copy
    from devqubit.maintenance._doctor import Check, Diagnosis, diagnose
    from devqubit.maintenance._garbage import GarbageReport, collect_garbage
    from devqubit.maintenance._place import Place, open_place
    from devqubit.maintenance._prune import PrunedRun, PruneReport, prune_runs
    from devqubit.maintenance._verify import Finding, VerifyReport, verify
    from devqubit.maintenance._workspace import open_workspace

__all__ = [
    "Check",
    "CopyReport",
    "Diagnosis",
    "Finding",
    "GarbageReport",
    "Place",
    "PruneReport",
    "PrunedRun",
    "Tally",
    "VerifyReport",
    "collect_garbage",
    "copy",
    "diagnose",
    "open_place",
    "open_workspace",
    "prune_runs",
    "verify",
]

# Each is imported when it is asked for, so that a command waits for its own part only.
_MODULES = {
    "Check": "_doctor",
    "Diagnosis": "_doctor",
    "diagnose": "_doctor",
    "CopyReport": "_copy",
    "Tally": "_copy",
    "copy": "_copy",
    "open_workspace": "_workspace",
    "GarbageReport": "_garbage",
    "Place": "_place",
    "collect_garbage": "_garbage",
    "Finding": "_verify",
    "VerifyReport": "_verify",
    "verify": "_verify",
    "PruneReport": "_prune",
    "PrunedRun": "_prune",
    "prune_runs": "_prune",
    "open_place": "_place",
}

__getattr__ = attributes(globals(), _MODULES)


def __dir__() -> list[str]:
    return __all__
