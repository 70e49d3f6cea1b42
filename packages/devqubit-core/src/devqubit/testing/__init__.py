"""The conformance kit: what every backend must do, as test classes to subclass.

```python
from devqubit.testing import BucketConformance

class TestMyBucket(BucketConformance):
    @pytest.fixture
    def url(self):
        return "memory://a-new-place"
```

It needs pytest: `pip install 'devqubit-core[testing]'`.
"""

from devqubit.testing._bucket import BucketConformance
from devqubit.testing._objects import ObjectStoreConformance
from devqubit.testing._races import RaceConformance
from devqubit.testing._registry import RegistryConformance
from devqubit.testing._shared_registry import SharedRegistryConformance

__all__ = [
    "BucketConformance",
    "ObjectStoreConformance",
    "RaceConformance",
    "RegistryConformance",
    "SharedRegistryConformance",
]
