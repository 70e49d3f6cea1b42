"""All that the author of a storage backend imports.

A backend is a `Bucket` and one function:

```python
from devqubit.plugin import Bucket, OpenRequest, StorageBackend, hookimpl

@hookimpl
def devqubit_storage_backend() -> StorageBackend:
    return StorageBackend(
        api_version=1, schemes=("memory",), open=MemoryBucket, summary="In memory"
    )
```

declared in `pyproject.toml` as an entry point named like the scheme:

```toml
[project.entry-points."devqubit.storage_backends"]
memory = "my_package"
```

The errors that a bucket raises are in `devqubit.errors`.
"""

from devqubit.storage._backend import (
    API_VERSION,
    SERVER_ADDRESS,
    OpenRequest,
    Option,
    Parameter,
    StorageBackend,
)
from devqubit.storage._bucket import (
    ABSENT,
    Absent,
    Blob,
    BlobInfo,
    Bucket,
    Capabilities,
    Version,
)
from devqubit.storage._conditional import (
    WRITE_ID,
    ConditionalRequests,
    State,
)
from devqubit.storage._open import open_bucket
from devqubit.storage._per_process import PerProcess
from devqubit.storage._plugins import hookimpl, plugins
from devqubit.storage._pool import each
from devqubit.storage._retry import NETWORK_PARAMETERS, Retry
from devqubit.storage._service import RangeError, delete_batches, read_range

__all__ = [
    "ABSENT",
    "API_VERSION",
    "NETWORK_PARAMETERS",
    "SERVER_ADDRESS",
    "WRITE_ID",
    "Absent",
    "Blob",
    "BlobInfo",
    "Bucket",
    "Capabilities",
    "ConditionalRequests",
    "OpenRequest",
    "Option",
    "Parameter",
    "PerProcess",
    "RangeError",
    "Retry",
    "State",
    "StorageBackend",
    "Version",
    "delete_batches",
    "each",
    "hookimpl",
    "open_bucket",
    "read_range",
    "register_plugin",
    "unregister_plugin",
]

register_plugin = plugins.register
unregister_plugin = plugins.unregister
