"""Looking after a shared store: verify, clean up, copy and diagnose it."""

from typing import TYPE_CHECKING

from devqubit._lazy import attributes

if TYPE_CHECKING:
    from devqubit.maintenance._place import Place, open_place

__all__ = ["Place", "open_place"]

# Each is imported when it is asked for, so that a command waits for its own part only.
_MODULES = {"Place": "_place", "open_place": "_place"}

__getattr__ = attributes(globals(), _MODULES)


def __dir__() -> list[str]:
    return __all__
