"""The conformance kit: what every backend must do, as test classes to subclass.

```python
import pytest
from devqubit.testing import BucketConformance, PluginConformance

class TestBucket(BucketConformance):
    @pytest.fixture
    def url(self):
        return "memory://a-new-place"

class TestPlugin(PluginConformance):
    scheme = "memory"
```

Each class but `PluginConformance` needs the fixture `url`, and nothing else. What a bucket
declares not to be capable of (`devqubit.plugin.Capabilities`) is skipped, and the reason names
it. It needs pytest: `pip install 'devqubit-core[testing]'`.
"""

import pytest

# Before they are imported, so that a failed assertion shows what it compared.
pytest.register_assert_rewrite(
    *(
        f"{__name__}.{module}"
        for module in (
            "_blobs",
            "_bucket",
            "_bulk",
            "_failures",
            "_files",
            "_listing",
            "_maintenance",
            "_objects",
            "_plugin",
            "_races",
            "_registry",
            "_registry_files",
            "_shared_registry",
            "_streams",
        )
    )
)

from devqubit.testing._bucket import BucketConformance  # noqa: E402
from devqubit.testing._maintenance import MaintenanceConformance  # noqa: E402
from devqubit.testing._objects import ObjectStoreConformance  # noqa: E402
from devqubit.testing._plugin import PluginConformance  # noqa: E402
from devqubit.testing._races import RaceConformance  # noqa: E402
from devqubit.testing._registry import RegistryConformance  # noqa: E402
from devqubit.testing._shared_registry import SharedRegistryConformance  # noqa: E402

__all__ = [
    "BucketConformance",
    "MaintenanceConformance",
    "ObjectStoreConformance",
    "PluginConformance",
    "RaceConformance",
    "RegistryConformance",
    "SharedRegistryConformance",
]
