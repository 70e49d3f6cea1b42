"""Which backends there are, for people who look before they open."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module

from devqubit.errors import PluginError
from devqubit.storage._backend import BackendInfo
from devqubit.storage._plugins import Plugins, plugins

__all__ = ["available", "available_backends"]


def available_backends(*schemes: str, load: bool = False) -> tuple[BackendInfo, ...]:
    """All that say they serve a scheme, in the order of their schemes.

    Args:
        *schemes: Only those of these schemes; none means all.
        load: Try those that nobody asked for yet, with the SDKs they need. Otherwise they
            stay `not loaded`: what their distributions say is all that is known of them.

    Raises:
        UnknownSchemeError: Nothing says it serves one of `schemes`.
    """
    return available(plugins, *schemes, load=load)


def available(plugins: Plugins, *schemes: str, load: bool) -> tuple[BackendInfo, ...]:
    """`available_backends` of other plugins than those of this process."""
    claims = plugins.claims()
    for scheme in set(schemes) - {claim.scheme for claim in claims}:
        plugins.resolve(scheme)  # raises, and says what to install
    return tuple(
        _tried(plugins, claim, load=load)
        if claim.status == "not loaded" and (load or plugins.is_known(claim.scheme))
        else claim
        for claim in claims
        if claim.scheme in schemes or not schemes
    )


def _tried(plugins: Plugins, claim: BackendInfo, *, load: bool) -> BackendInfo:
    try:
        backend = plugins.resolve(claim.scheme).backend
    except PluginError as exc:
        return replace(claim, status="broken", reason=str(exc))
    for module in backend.sdk if load else ():
        try:
            import_module(module)
        except Exception as exc:  # a stranger's module may raise anything
            reason = f"{module} fails to import: {type(exc).__name__}: {exc}"
            return replace(claim, status="broken", reason=reason)
    return replace(claim, status="ready", summary=backend.summary, parameters=backend.parameters)
