"""What users import: a store of artifacts and a registry of runs, at a URL.

```python
from devqubit.storage import create_registry, create_store

store = create_store("s3://my-bucket/devqubit/objects")
registry = create_registry("s3://my-bucket/devqubit")
```
"""

from devqubit.storage._documents import Problem
from devqubit.storage._objects import ObjectStore
from devqubit.storage._open import create_registry, create_store
from devqubit.storage._records import ArtifactRef, BaselineInfo, RunRecord, RunSummary
from devqubit.storage._registry import Registry

__all__ = [
    "ArtifactRef",
    "BaselineInfo",
    "ObjectStore",
    "Problem",
    "Registry",
    "RunRecord",
    "RunSummary",
    "create_registry",
    "create_store",
]
