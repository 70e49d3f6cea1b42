"""Finding the backend of a scheme: the only module that knows pluggy and entry points.

A scheme is looked for among the built-in ones, then among the plugins registered in
this process, then among the installed distributions' entry points, of which only the
one asked for is imported.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import pluggy

from devqubit import __version__
from devqubit.errors import (
    PluginLoadError,
    PluginVersionError,
    SchemeConflictError,
    UnknownSchemeError,
)
from devqubit.storage._backend import API_VERSION, BackendInfo, BackendStatus, StorageBackend
from devqubit.storage._forks import renewed_after_fork

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["ENTRY_POINT_GROUP", "Plugin", "Plugins", "hookimpl", "plugins"]

ENTRY_POINT_GROUP: Final = "devqubit.storage_backends"
HOOK: Final = "devqubit_storage_backend"
# What to install for the schemes whose backends are ours but not in core.
EXTRAS: Final[Mapping[str, str]] = {"s3": "devqubit[s3]", "gs": "devqubit[gcs]"}
BUILT_IN: Final[Mapping[str, str]] = {"file": "devqubit.storage._file"}

_F = TypeVar("_F", bound=Callable[..., Any])
hookspec = cast("Callable[[_F], _F]", pluggy.HookspecMarker("devqubit"))
hookimpl = cast("Callable[[_F], _F]", pluggy.HookimplMarker("devqubit"))
"""Marks a plugin's `devqubit_storage_backend` function."""


class HookSpecs:
    """The hooks a storage plugin implements."""

    @staticmethod
    @hookspec
    def devqubit_storage_backend() -> StorageBackend:
        """Returns the record that declares the plugin's backend."""
        raise AssertionError("a specification is never called")


@dataclass(frozen=True, slots=True)
class Plugin:
    """A backend and where it came from, for messages: distribution, version, entry point."""

    backend: StorageBackend
    origin: str


class Plugins:
    """The backends that can be had in this process. Safe in threads."""

    def __init__(self) -> None:
        renewed_after_fork(self)
        self._manager = pluggy.PluginManager("devqubit")
        self._manager.add_hookspecs(HookSpecs)
        self._resolved: dict[str, Plugin] = {}
        self._registered: dict[str, object] = {}
        self._entry_points: tuple[EntryPoint, ...] | None = None

    def register(self, plugin: object) -> None:
        """Registers a plugin of this process: a module or object with the hook.

        Raises:
            PluginLoadError: It has no hook, or the hook fails or returns something else.
            PluginVersionError: It was made for another plugin interface.
            SchemeConflictError: A scheme of it is built in or registered already.
        """
        with self._lock:
            found = self._load(lambda: plugin, f"The registered plugin {plugin!r}", None)
            for scheme in found.backend.schemes:
                if scheme in BUILT_IN or scheme in self._registered:
                    self._manager.unregister(plugin)
                    raise SchemeConflictError(
                        f"{found.origin} claims {scheme}://, which is "
                        + (
                            "reserved"
                            if scheme in BUILT_IN
                            else "registered already: unregister_plugin() the other one first"
                        )
                    )
            for scheme in found.backend.schemes:
                self._registered[scheme] = plugin
                self._resolved[scheme] = found

    def unregister(self, plugin: object) -> None:
        """Takes a plugin back that `register` took.

        Raises:
            PluginLoadError: It is not registered.
        """
        with self._lock:
            schemes = [s for s, known in self._registered.items() if known is plugin]
            if not schemes:
                raise PluginLoadError(f"The plugin {plugin!r} is not registered")
            self._manager.unregister(plugin)
            for scheme in schemes:
                del self._registered[scheme], self._resolved[scheme]

    def resolve(self, scheme: str) -> Plugin:
        """The plugin that serves a scheme.

        Raises:
            UnknownSchemeError: None does; says what is there, and what to install.
            SchemeConflictError: Several do.
            PluginLoadError: One does, but is broken.
            PluginVersionError: One does, but was made for another plugin interface.
        """
        with self._lock:
            if scheme not in self._resolved:
                self._resolved[scheme] = self._find(scheme)
            return self._resolved[scheme]

    def claims(self) -> list[BackendInfo]:
        """All that say they serve a scheme, by scheme, without importing any of them."""
        with self._lock:
            found = [
                BackendInfo(
                    scheme=s, distribution="devqubit-core", version=__version__, where="built in"
                )
                for s in BUILT_IN
            ]
            found += [
                BackendInfo(scheme=s, distribution="", version="", where="registered")
                for s in self._registered
            ]
            found += [self._claim(point) for point in self._installed()]
        return sorted(found, key=lambda claim: (claim.scheme, claim.distribution))

    def is_known(self, scheme: str) -> bool:
        """Whether resolving the scheme imports nothing that is not ours or here already."""
        return scheme in BUILT_IN or scheme in self._resolved

    def rescan(self) -> None:
        """Forgets which distributions are installed; the next new scheme looks again."""
        with self._lock:
            self._entry_points = None

    def _find(self, scheme: str) -> Plugin:
        if scheme in BUILT_IN:
            import importlib

            module = BUILT_IN[scheme]
            return self._load(lambda: importlib.import_module(module), "devqubit-core", scheme)
        usable = self._usable(scheme)
        if len(usable) == 1:
            return self._load(usable[0].load, _origin(usable[0]), scheme)
        if usable:
            raise _conflict(scheme, usable)
        installed = self._installed()
        named = [point for point in installed if point.name == scheme]
        raise _unknown(scheme, named, {*BUILT_IN, *self._registered, *(p.name for p in installed)})

    def _claim(self, point: EntryPoint) -> BackendInfo:
        status, reason = self._standing(point)
        return BackendInfo(
            scheme=point.name,
            distribution=_dist_name(point),
            version=_metadata(point, "Version"),
            where=point.value,
            status=status,
            reason=reason,
        )

    def _standing(self, point: EntryPoint) -> tuple[BackendStatus, str]:
        """How an entry point stands beside the others, and why."""
        if point.name in BUILT_IN:
            return "disabled", f"{point.name}:// is reserved"
        if _canonical(_dist_name(point)) in _disabled():
            return "disabled", "DEVQUBIT_DISABLED_PLUGINS leaves it out"
        if point.name in self._registered:
            return "disabled", "a plugin registered in this process comes before it"
        rivals = self._usable(point.name)
        if len(rivals) > 1:
            return "in conflict", str(_conflict(point.name, rivals))
        return "not loaded", ""

    def _make_locks(self) -> None:
        self._lock = threading.RLock()

    def _usable(self, scheme: str) -> list[EntryPoint]:
        disabled = _disabled()
        return [
            point
            for point in self._installed()
            if point.name == scheme and _canonical(_dist_name(point)) not in disabled
        ]

    def _installed(self) -> tuple[EntryPoint, ...]:
        if self._entry_points is None:
            from importlib.metadata import entry_points

            self._entry_points = tuple(entry_points(group=ENTRY_POINT_GROUP))
        return self._entry_points

    def _load(self, load: Callable[[], object], origin: str, scheme: str | None) -> Plugin:
        what = f"The backend of {scheme}://, {origin}," if scheme else f"{origin}:"
        try:
            plugin = load()
        except Exception as exc:  # a stranger's module may raise anything
            raise PluginLoadError(
                f"{what} is installed but fails to import: {type(exc).__name__}: {exc}"
            ) from exc
        fresh = not self._manager.is_registered(plugin)
        try:
            if fresh:
                self._manager.register(plugin)
                self._manager.check_pending()
            backend = self._call_hook(plugin)
            _check(backend, what, scheme)
        except (PluginLoadError, PluginVersionError):
            if fresh:
                self._manager.unregister(plugin)
            raise
        except Exception as exc:
            if fresh and self._manager.is_registered(plugin):
                self._manager.unregister(plugin)
            raise PluginLoadError(f"{what} is broken: {type(exc).__name__}: {exc}") from exc
        return Plugin(backend, origin)

    def _call_hook(self, plugin: object) -> StorageBackend:
        others = self._manager.get_plugins() - {plugin}
        hook = self._manager.subset_hook_caller(HOOK, remove_plugins=others)
        results = hook()
        if not results:
            raise TypeError(f"no function {HOOK} marked with @hookimpl returns a record")
        return cast("StorageBackend", results[0])


def _check(backend: object, what: str, scheme: str | None) -> None:
    """Checks what a hook returned, which is a stranger's and may be anything."""
    if not isinstance(backend, StorageBackend):
        raise PluginLoadError(
            f"{what} is broken: its hook returned {type(backend).__name__}, not a StorageBackend"
        )
    if backend.api_version != API_VERSION:
        newer = isinstance(backend.api_version, int) and backend.api_version > API_VERSION
        remedy = "pip install --upgrade devqubit-core" if newer else "upgrade the plugin"
        raise PluginVersionError(
            f"{what} speaks version {backend.api_version!r} of the plugin interface, this "
            f"devqubit-core speaks version {API_VERSION}: {remedy}"
        )
    if not isinstance(backend.schemes, tuple) or not callable(backend.open):
        raise PluginLoadError(
            f"{what} is broken: 'schemes' must be a tuple of text and 'open' a function"
        )
    if scheme is not None and scheme not in backend.schemes:
        raise PluginLoadError(
            f"{what} is broken: it does not claim {scheme!r}, only {', '.join(backend.schemes)}"
        )


def _unknown(scheme: str, disabled: list[EntryPoint], known: set[str]) -> UnknownSchemeError:
    if disabled:
        return UnknownSchemeError(
            f"{scheme}:// is served by {_origin(disabled[0])}, which the environment variable "
            "DEVQUBIT_DISABLED_PLUGINS leaves out"
        )
    if scheme in EXTRAS:
        return UnknownSchemeError(
            f"{scheme}:// needs a backend that is not installed: pip install '{EXTRAS[scheme]}'"
        )
    from difflib import get_close_matches

    message = f"No backend serves {scheme}://; there are: {', '.join(sorted(known))}"
    for close in get_close_matches(scheme, sorted(known | set(EXTRAS)), n=1):
        message += f". Did you mean {close}://?"
        if close not in known:
            message += f" (pip install '{EXTRAS[close]}')"
    return UnknownSchemeError(message)


def _conflict(scheme: str, points: list[EntryPoint]) -> SchemeConflictError:
    names = sorted(_dist_name(point) for point in points)
    return SchemeConflictError(
        f"{scheme}:// is served by more than one installed distribution: "
        f"{'; '.join(sorted(_origin(point) for point in points))}. Uninstall all but one, or "
        f"set DEVQUBIT_DISABLED_PLUGINS to those to leave out, such as {names[-1]}"
    )


def _origin(point: EntryPoint) -> str:
    version = _metadata(point, "Version") or "of unknown version"
    return f"{_dist_name(point)} {version} ({point.name} = {point.value})"


def _dist_name(point: EntryPoint) -> str:
    return _metadata(point, "Name") or "an unnamed distribution"


def _metadata(point: EntryPoint, field: str) -> str:
    """A field of the distribution's metadata; a broken uninstall leaves some without any."""
    found = point.dist.metadata.get_all(field) if point.dist else None
    return str(found[0]) if found else ""


def _disabled() -> set[str]:
    names = os.environ.get("DEVQUBIT_DISABLED_PLUGINS", "").split(",")
    return {_canonical(name) for name in names if name.strip()}


def _canonical(name: str) -> str:
    """A distribution's name in the one spelling of the packaging specifications (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


plugins = Plugins()
"""The backends of this process."""
