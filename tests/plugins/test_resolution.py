"""How the backend of a scheme is found: real installed metadata, in a folder on the path."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from devqubit.errors import (
    PluginError,
    PluginLoadError,
    PluginVersionError,
    SchemeConflictError,
    UnknownSchemeError,
)
from devqubit.plugin import (
    OpenRequest,
    Parameter,
    StorageBackend,
    hookimpl,
    register_plugin,
    unregister_plugin,
)
from devqubit.storage import create_store
from devqubit.storage._file import FileBucket
from devqubit.storage._plugins import Plugins
from tests.plugins.conftest import Install

WORKING = """
from devqubit.plugin import StorageBackend, hookimpl

@hookimpl
def devqubit_storage_backend():
    return StorageBackend(api_version={version}, schemes={schemes!r}, open=print, summary="toy")
"""


def working(*schemes: str, version: int = 1) -> str:
    """The code of a plugin that serves some schemes."""
    return WORKING.format(schemes=schemes or ("toy",), version=version)


def failure(scheme: str = "toy") -> PluginError:
    """What resolving a scheme raises, with everybody else still working."""
    plugins = Plugins()
    with pytest.raises(PluginError) as caught:
        plugins.resolve(scheme)
    assert plugins.resolve("file").backend.schemes == ("file",)
    assert plugins.resolve("s3").backend.schemes == ("s3",)
    with pytest.raises(type(caught.value)):  # a failure is not forgotten, nor made into another
        plugins.resolve(scheme)
    return caught.value


def test_entry_point_is_found(install: Install) -> None:
    """A distribution whose entry point is named like the scheme serves it."""
    install("toy-store", working())
    plugin = Plugins().resolve("toy")
    assert (plugin.backend.schemes, plugin.origin) == (
        ("toy",),
        "toy-store 1.5 (toy = toy_store)",
    )


def test_only_the_one_asked_for_is_imported(install: Install) -> None:
    """A broken plugin of another scheme is never touched."""
    install("toy-store", working())
    install("other-store", "raise SystemExit('imported')", scheme="other")
    Plugins().resolve("toy")
    assert "other_store" not in sys.modules


def test_resolved_once(install: Install) -> None:
    """A resolved scheme is remembered; 16 threads get the same."""
    install("toy-store", working())
    plugins, found = Plugins(), []
    threads = [
        threading.Thread(target=lambda: found.append(plugins.resolve("toy"))) for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 16
    assert len({id(plugin) for plugin in found}) == 1


def test_one_module_for_two_schemes(install: Install) -> None:
    """A plugin may serve two schemes, each with its own entry point."""
    install("toy-store", working("toy", "toys"))
    install("toy-more", None, scheme="toys", value="toy_store")
    plugins = Plugins()
    assert plugins.resolve("toy").backend.schemes == plugins.resolve("toys").backend.schemes


def test_unknown_scheme_says_what_is_there(install: Install) -> None:
    """A scheme that nobody serves lists those that are, and the nearest."""
    install("toy-store", working())
    error = failure("toi")
    assert isinstance(error, UnknownSchemeError)
    assert "file, gs, s3, toy" in str(error)
    assert "Did you mean toy://?" in str(error)


def test_nothing_near_suggests_nothing() -> None:
    """A scheme like no other gets no suggestion."""
    assert "Did you mean" not in str(failure("zzzz"))


@pytest.mark.parametrize(("scheme", "extra"), [("s3", "devqubit[s3]"), ("gs", "devqubit[gcs]")])
def test_ours_but_not_installed(
    scheme: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """s3:// and gs:// without their distribution say exactly what to install."""
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(UnknownSchemeError, match="not installed") as caught:
        Plugins().resolve(scheme)
    assert f"pip install '{extra}'" in str(caught.value)


def test_near_miss_of_ours_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """gcs:// is told of gs://, and how to get it."""
    monkeypatch.setattr(sys, "path", [*sys.path[-0:0], str(tmp_path)])
    with pytest.raises(UnknownSchemeError) as caught:
        Plugins().resolve("gcs")
    assert "Did you mean gs://? (pip install 'devqubit[gcs]')" in str(caught.value)


def test_two_rivals(install: Install) -> None:
    """Two distributions for one scheme are both named, with the way to choose."""
    install("toy-store", working())
    install("rival", working(), version="2.0")
    error = failure()
    assert isinstance(error, SchemeConflictError)
    for part in ("toy-store 1.5", "rival 2.0", "DEVQUBIT_DISABLED_PLUGINS"):
        assert part in str(error)


def test_disabled_rival(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution that is disabled, in any spelling, is left out before it is loaded."""
    install("toy-store", "raise SystemExit('imported')")
    install("rival", working(), version="2.0")
    monkeypatch.setenv("DEVQUBIT_DISABLED_PLUGINS", "other, Toy_Store")
    assert Plugins().resolve("toy").origin.startswith("rival 2.0")


def test_disabled_and_alone(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scheme whose only plugin is disabled says so, and nothing of installing."""
    install("toy-store", working())
    monkeypatch.setenv("DEVQUBIT_DISABLED_PLUGINS", "toy.store")
    error = failure()
    assert isinstance(error, UnknownSchemeError)
    assert "DEVQUBIT_DISABLED_PLUGINS" in str(error)
    assert "pip install" not in str(error)


@pytest.mark.parametrize(
    ("code", "value", "reason"),
    [
        ("raise ValueError('boom')", "", "ValueError: boom"),
        ("import an_sdk_that_is_not_there", "", "No module named 'an_sdk_that_is_not_there'"),
        ("syntax error", "", "SyntaxError"),
        (None, "nowhere_at_all", "No module named 'nowhere_at_all'"),
        ("", "toy_store:missing", "AttributeError"),
    ],
)
def test_fails_to_import(install: Install, code: str | None, value: str, reason: str) -> None:
    """A plugin that cannot be imported is named with its cause, and not told to be installed."""
    install("toy-store", code, value=value)
    error = failure()
    assert isinstance(error, PluginLoadError)
    for part in ("toy-store 1.5", "installed but fails to import", reason, "toy = "):
        assert part in str(error)
    assert error.__cause__ is not None
    assert "pip install" not in str(error)


HOOK = "from devqubit.plugin import *\n@hookimpl\ndef devqubit_storage_backend(): "


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("", "no function devqubit_storage_backend"),
        ("def devqubit_storage_backend(): return 1", "no function devqubit_storage_backend"),
        (HOOK + "return {'schemes': ['toy']}", "returned dict"),
        (HOOK + "return None", "no function devqubit_storage_backend"),
        (HOOK + "raise OSError('inside')", "OSError: inside"),
        (HOOK.replace("backend()", "backend(colour)") + "return 1", "colour"),
        (HOOK.replace("storage", "stoarge") + "return 1", "devqubit_stoarge_backend"),
        (working("other"), "does not claim 'toy'"),
        (working().replace("('toy',)", "'toy'"), "must be a tuple"),
        (working().replace("open=print", "open=None"), "'open' a function"),
        (working().replace("api_version=1, ", ""), "api_version"),
    ],
)
def test_nonsense(install: Install, code: str, reason: str) -> None:
    """A plugin whose hook is missing, misspelt or returns anything else is told so."""
    install("toy-store", code)
    error = failure()
    assert isinstance(error, PluginLoadError)
    assert reason in str(error)
    assert "toy-store 1.5" in str(error)


@pytest.mark.parametrize(
    ("version", "remedy"), [(2, "--upgrade devqubit-core"), (0, "upgrade the plugin")]
)
def test_incompatible(install: Install, version: int, remedy: str) -> None:
    """A plugin for another interface says who speaks what, and which one to upgrade."""
    install("toy-store", working(version=version))
    error = failure()
    assert isinstance(error, PluginVersionError)
    for part in ("toy-store 1.5", f"version {version}", "version 1", remedy):
        assert part in str(error)


def test_mended_plugin_works_at_once(install: Install, tmp_path: Path) -> None:
    """A failure is not kept: what is mended is found by the next call."""
    install("toy-store", None)
    plugins = Plugins()
    with pytest.raises(PluginLoadError):
        plugins.resolve("toy")
    (tmp_path / "site" / "toy_store.py").write_text(working())
    assert plugins.resolve("toy").backend.summary == "toy"


def test_file_is_reserved(install: Install) -> None:
    """An entry point named `file` changes nothing."""
    install("impostor", working("file"), scheme="file")
    assert Plugins().resolve("file").origin == "devqubit-core"


def plugin(*schemes: str, **fields: object) -> _Plugin:
    """A plugin of this process that keeps its blobs in a folder."""
    declared = {"api_version": 1, "open": FileBucket, "summary": "toy", **fields}

    @hookimpl
    def devqubit_storage_backend() -> StorageBackend:
        return StorageBackend(schemes=schemes, **declared)  # type: ignore[arg-type]

    return _Plugin(devqubit_storage_backend=devqubit_storage_backend)


class _Plugin:
    """A plugin as an object: its hook is an attribute."""

    def __init__(self, **attributes: object) -> None:
        vars(self).update(attributes)


def test_registered_plugin_serves_a_store(tmp_path: Path) -> None:
    """A plugin registered in this process opens stores, and gets its options converted."""
    asked: list[OpenRequest] = []

    def open_toy(request: OpenRequest) -> FileBucket:
        asked.append(request)
        folder = str(tmp_path / request.bucket)
        return FileBucket(
            OpenRequest(scheme="file", bucket="", prefix=folder, location=request.location)
        )

    colour = Parameter(name="colour", type=str, help="", identity=True)
    size = Parameter(name="size", type=int, help="")
    toy = plugin("toy", open=open_toy, parameters=(colour, size))
    register_plugin(toy)
    try:
        store = create_store("toy://box/p%20q?colour=red&size=3", size=4)
        assert store.get_bytes(store.put_bytes(b"x")) == b"x"
    finally:
        unregister_plugin(toy)
    (request,) = asked
    assert (request.bucket, request.prefix, request.key_prefix) == ("box", "p q", "p q/")
    assert request.options == {"colour": "red", "size": 4}
    assert request.location == store.location == "toy://box/p%20q?colour=red"
    with pytest.raises(UnknownSchemeError):
        create_store("toy://box")


def test_registered_wins_over_installed(install: Install) -> None:
    """A plugin of this process comes before the installed ones."""
    install("toy-store", "raise SystemExit('imported')")
    plugins = Plugins()
    plugins.register(plugin("toy", summary="mine"))
    assert plugins.resolve("toy").backend.summary == "mine"


def test_registering_twice() -> None:
    """A scheme that is registered, or reserved, is not given away again."""
    plugins = Plugins()
    plugins.register(plugin("toy"))
    for schemes in (("toy",), ("new", "toy"), ("file",)):
        with pytest.raises(SchemeConflictError):
            plugins.register(plugin(*schemes))
    with pytest.raises(UnknownSchemeError):
        plugins.resolve("new")


def test_registering_nonsense() -> None:
    """What is no plugin is refused when it is registered; unregistering it too."""
    plugins = Plugins()
    for nonsense in (_Plugin(), plugin("toy", open=None)):
        with pytest.raises(PluginLoadError):
            plugins.register(nonsense)
        with pytest.raises(PluginLoadError, match="not registered"):
            plugins.unregister(nonsense)


@pytest.mark.parametrize("opened", [None, "text", object()])
def test_open_returns_nonsense(opened: object) -> None:
    """A backend that opens something else than a bucket is told so."""
    toy = plugin("toy", open=lambda _: opened, bucket_required=False)
    register_plugin(toy)
    try:
        with pytest.raises(PluginLoadError, match="not a Bucket"):
            create_store("toy://")
    finally:
        unregister_plugin(toy)


def test_open_fails_with_a_broken_sdk() -> None:
    """An SDK that fails to import is a broken backend with its cause, not a missing one."""

    def open_toy(_: OpenRequest) -> None:
        raise ImportError("cannot import name 'x' from 'sdk'")

    toy = plugin("toy", open=open_toy)
    register_plugin(toy)
    try:
        with pytest.raises(PluginLoadError, match="cannot import name 'x'") as caught:
            create_store("toy://box")
    finally:
        unregister_plugin(toy)
    assert isinstance(caught.value.__cause__, ImportError)
    assert "pip install" not in str(caught.value)


@pytest.mark.parametrize(
    ("scheme", "module"), [("s3", "boto3"), ("gs", "google/cloud/storage/__init__")]
)
def test_ours_with_a_broken_sdk(tmp_path: Path, scheme: str, module: str) -> None:
    """devqubit-s3 beside a broken boto3 says so, with the cause, and not to install it."""
    broken = tmp_path / f"{module}.py"
    broken.parent.mkdir(parents=True, exist_ok=True)
    broken.write_text("raise ImportError('the SDK is broken')")
    program = f"from devqubit.storage import create_store; create_store('{scheme}://bucket')"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    last = done.stderr.splitlines()[-1]
    assert last.startswith("devqubit.errors.PluginLoadError")
    assert "the SDK is broken" in last
    assert "pip install" not in last


@pytest.mark.parametrize("metadata", [None, ""], ids=["missing", "empty"])
def test_leftover_without_metadata(install: Install, tmp_path: Path, metadata: str | None) -> None:
    """What a broken uninstall left names no distribution: it breaks only itself, and says so."""
    install("toy-store", None)
    file = tmp_path / "site" / "toy_store-1.5.dist-info" / "METADATA"
    file.unlink()
    if metadata is not None:
        file.write_text(metadata)
    error = failure()
    assert isinstance(error, PluginLoadError)
    assert "an unnamed distribution of unknown version (toy = toy_store)" in str(error)
