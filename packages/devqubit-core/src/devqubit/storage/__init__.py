"""What users import: a store of artifacts and a registry of runs, at a URL.

```python
from devqubit.storage import create_registry, create_store

store = create_store("s3://my-bucket/devqubit/objects")
registry = create_registry("s3://my-bucket/devqubit")
```
"""

from typing import TYPE_CHECKING

from devqubit._lazy import attributes
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

__getattr__ = attributes(globals(), _MODULES)


def __dir__() -> list[str]:
    return __all__
