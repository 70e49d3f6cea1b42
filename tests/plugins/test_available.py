"""Which backends there are, from installed metadata alone or by trying them."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from devqubit.errors import UnknownSchemeError
from devqubit.plugin import StorageBackend, hookimpl
from devqubit.storage import BackendInfo
from devqubit.storage._available import available
from devqubit.storage._plugins import Plugins
from tests.plugins.conftest import Install

WORKING = """
from devqubit.plugin import Parameter, StorageBackend, hookimpl

@hookimpl
def devqubit_storage_backend():
    parameter = Parameter(name="size", type=int, help="How large", example="3")
    return StorageBackend(api_version=1, schemes=("toy",), open=print, summary="A toy",
                          parameters=(parameter,), sdk={sdk!r})
"""


def working(*sdk: str) -> str:
    """The code of a plugin that needs these modules."""
    return WORKING.format(sdk=sdk)


def toys(*, load: bool, plugins: Plugins | None = None) -> list[BackendInfo]:
    """What there is for toy://."""
    return list(available(plugins or Plugins(), "toy", load=load))


def test_built_in() -> None:
    """What needs no import of others is ready."""
    (info,) = available(Plugins(), "file", load=False)
    assert (info.distribution, info.where, info.status) == ("devqubit-core", "built in", "ready")
    assert [parameter.name for parameter in info.parameters] == ["durability"]


def test_not_loaded(install: Install) -> None:
    """What nobody asked for is not imported: its metadata is what is known."""
    install("toy-store", "raise SystemExit('imported')")
    expected = BackendInfo(
        scheme="toy",
        distribution="toy-store",
        version="1.5",
        where="toy_store",
        status="not loaded",
    )
    assert toys(load=False) == [expected]
    assert "toy_store" not in sys.modules


def test_ready(install: Install) -> None:
    """What was tried and works says what it is, and which parameters it takes."""
    install("toy-store", working("json"))
    (info,) = toys(load=True)
    assert (info.status, info.reason, info.summary) == ("ready", "", "A toy")
    assert [parameter.name for parameter in info.parameters] == ["size"]


def test_asked_for_before(install: Install) -> None:
    """What was opened in this process is known without trying it."""
    install("toy-store", working())
    plugins = Plugins()
    plugins.resolve("toy")
    assert [info.status for info in toys(load=False, plugins=plugins)] == ["ready"]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise ValueError('boom')", "ValueError: boom"),
        (working("no_such_sdk"), "no_such_sdk fails to import: ModuleNotFoundError"),
    ],
    ids=["plugin", "sdk"],
)
def test_broken(install: Install, code: str, reason: str) -> None:
    """What does not work says why, and the others are there all the same."""
    install("toy-store", code)
    found = {info.scheme: info for info in available(Plugins(), load=True)}
    assert found["toy"].status == "broken"
    assert reason in found["toy"].reason
    assert found["file"].status == found["s3"].status == "ready"


def test_in_conflict(install: Install) -> None:
    """Two for one scheme are both there, and each says how to choose."""
    install("toy-store", working())
    install("rival", working())
    found = toys(load=True)
    assert [(i.distribution, i.status) for i in found] == [
        ("rival", "in conflict"),
        ("toy-store", "in conflict"),
    ]
    assert all("DEVQUBIT_DISABLED_PLUGINS" in info.reason for info in found)


def test_disabled(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left out is named, not imported, and in nobody's way."""
    install("toy-store", "raise SystemExit('imported')")
    install("rival", working())
    monkeypatch.setenv("DEVQUBIT_DISABLED_PLUGINS", "toy_store")
    found = toys(load=True)
    assert [(i.distribution, i.status) for i in found] == [
        ("rival", "ready"),
        ("toy-store", "disabled"),
    ]
    assert "DEVQUBIT_DISABLED_PLUGINS" in found[1].reason


@hookimpl
def devqubit_storage_backend() -> StorageBackend:
    """This module as a plugin of this process."""
    opens: Callable[..., object] = print
    return StorageBackend(api_version=1, schemes=("toy",), open=opens, summary="Mine")  # type: ignore[arg-type]  # it is not opened


def test_registered_comes_first(install: Install) -> None:
    """A plugin of this process is ready, and the installed one says what comes before it."""
    install("toy-store", "raise SystemExit('imported')")
    plugins = Plugins()
    plugins.register(sys.modules[__name__])
    mine, theirs = toys(load=True, plugins=plugins)
    assert (mine.where, mine.status, mine.summary) == ("registered", "ready", "Mine")
    assert (theirs.distribution, theirs.status) == ("toy-store", "disabled")


def test_file_is_reserved(install: Install) -> None:
    """Nobody else's file:// is asked."""
    install("toy-store", working(), scheme="file")
    found = available(Plugins(), "file", load=True)
    assert [info.status for info in found] == ["ready", "disabled"]


def test_unknown_scheme() -> None:
    """A scheme that nobody serves is an error that says what there is."""
    with pytest.raises(UnknownSchemeError, match="s33"):
        available(Plugins(), "s33", load=False)
