"""What users import: a store of artifacts and a registry of runs, at a URL.

```python
from devqubit.storage import create_registry, create_store

store = create_store("s3://my-bucket/devqubit/objects")
registry = create_registry("s3://my-bucket/devqubit")
```
"""

from importlib import import_module
from typing import TYPE_CHECKING

from devqubit.storage._open import create_registry, create_store

if TYPE_CHECKING:
    from devqubit.storage._available import available_backends
    from devqubit.storage._backend import BackendInfo
    from devqubit.storage._documents import Problem
    from devqubit.storage._objects import ObjectStore
    from devqubit.storage._records import ArtifactRef, BaselineInfo, RunRecord, RunSummary
    from devqubit.storage._refresh import RefreshResult
    from devqubit.storage._registry import Registry

__all__ = [
    "ArtifactRef",
    "BackendInfo",
    "BaselineInfo",
    "ObjectStore",
    "Problem",
    "RefreshResult",
    "Registry",
    "RunRecord",
    "RunSummary",
    "available_backends",
    "create_registry",
    "create_store",
]

# A script that only stores artifacts does not wait for the registry to be imported.
_MODULES = {
    "ArtifactRef": "_records",
    "BackendInfo": "_backend",
    "BaselineInfo": "_records",
    "ObjectStore": "_objects",
    "Problem": "_documents",
    "RefreshResult": "_refresh",
    "Registry": "_registry",
    "RunRecord": "_records",
    "RunSummary": "_records",
    "available_backends": "_available",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
