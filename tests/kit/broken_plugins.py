"""Distributions with one thing wrong each, and one that is right."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["PLUGINS", "BrokenPlugin", "install"]

RECORD = """
from devqubit import plugin
{imports}

@plugin.hookimpl
def devqubit_storage_backend():
    return plugin.StorageBackend(
        api_version={api_version},
        schemes={schemes},
        open=lambda request: None,
        summary={summary!r},
        parameters=({parameters},),
        sdk=("wave",),
    )
"""
PARAMETER = "plugin.Parameter(name='{name}', type=str, help='{help}', example='{example}'{more})"
GOOD = PARAMETER.format(name="colour", help="Which", example="red", more=", choices=('red',)")
CORE = "devqubit-core<1,>=0.2"


@dataclass(frozen=True)
class BrokenPlugin:
    """A distribution with a module of the same name.

    Attributes:
        scheme: The name of its entry point.
        schemes: What its record claims, in Python; the scheme if nothing is given.
        core: What it says of the core that it needs.
        imports: A line at the top of its module.
        parameters: Those of its record, in Python.
        api_version: That of its record, in Python.
        summary: That of its record.
    """

    scheme: str
    schemes: str = ""
    core: str = CORE
    imports: str = ""
    parameters: str = GOOD
    api_version: str = "1"
    summary: str = "A plugin of the tests"

    @property
    def module(self) -> str:
        """The name of its module."""
        return f"toy_{self.scheme.replace('-', '_')}"

    @property
    def source(self) -> str:
        """The text of its module."""
        return RECORD.format(
            imports=self.imports,
            api_version=self.api_version,
            schemes=self.schemes or f"({self.scheme!r},)",
            summary=self.summary,
            parameters=self.parameters,
        )


PLUGINS = {
    "Right": BrokenPlugin("right", core=f"{CORE}\nRequires-Dist: devqubit-core; extra == 'test'"),
    "NoUpperBound": BrokenPlugin("no-upper-bound", core="devqubit-core>=0.2"),
    "NoLowerBound": BrokenPlugin("no-lower-bound", core="devqubit-core<1"),
    "Pinned": BrokenPlugin("pinned", core="devqubit-core==0.2.0"),
    "NoCore": BrokenPlugin("no-core", core="click"),
    "ImportsItsSdk": BrokenPlugin("imports-its-sdk", imports="import wave"),
    "ImportsWhatTheSdkNeeds": BrokenPlugin("imports-more", imports="import colorsys"),
    "FailsToImport": BrokenPlugin("fails-to-import", imports="import no_such_module"),
    "AnotherScheme": BrokenPlugin("another-scheme", schemes="('other-scheme',)"),
    "SchemeWithoutEntryPoint": BrokenPlugin("one-more", schemes="('one-more', 'hidden')"),
    "UpperCaseScheme": BrokenPlugin("upper", schemes="('upper', 'Upper')"),
    "SecondInterface": BrokenPlugin("second-interface", api_version="2"),
    "NamedInterface": BrokenPlugin("named-interface", api_version="True"),
    "NoSummary": BrokenPlugin("no-summary", summary=""),
    "NoHelp": BrokenPlugin(
        "no-help", parameters=PARAMETER.format(name="a", help="", example="b", more="")
    ),
    "NoExample": BrokenPlugin(
        "no-example", parameters=PARAMETER.format(name="a", help="b", example="", more="")
    ),
    "SameNameTwice": BrokenPlugin("same-name", parameters=f"{GOOD}, {GOOD}"),
    "WrongExample": BrokenPlugin(
        "wrong-example",
        parameters=PARAMETER.format(name="a", help="b", example="c", more=", choices=('d',)"),
    ),
}
"""Each by the name of its test class."""


def install(folder: Path) -> None:
    """Installs all of them, and `broken_buckets`, in a folder that is on the path of modules."""
    from tests.kit.broken_buckets import SCHEMES

    for plugin in PLUGINS.values():
        (folder / f"{plugin.module}.py").write_text(plugin.source)
        _describe(folder, plugin.module, plugin.core, {plugin.scheme: plugin.module})
    buckets = dict.fromkeys(SCHEMES, "tests.kit.broken_buckets")
    _describe(folder, "toy_buckets", CORE, buckets)


def _describe(folder: Path, module: str, core: str, points: dict[str, str]) -> None:
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    info.joinpath("METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\nRequires-Dist: {core}\n"
    )
    lines = [f"{name} = {value}\n" for name, value in points.items()]
    info.joinpath("entry_points.txt").write_text(f"[devqubit.storage_backends]\n{''.join(lines)}")
