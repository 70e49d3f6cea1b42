"""Azure Blob Storage as a storage backend of devqubit: `az://container/prefix`."""

from __future__ import annotations

from devqubit.plugin import (
    NETWORK_PARAMETERS,
    SERVER_ADDRESS,
    Bucket,
    OpenRequest,
    Parameter,
    StorageBackend,
    hookimpl,
)

__all__ = ["devqubit_storage_backend"]


@hookimpl
def devqubit_storage_backend() -> StorageBackend:
    """Declares `az://`."""
    return StorageBackend(
        api_version=1,
        schemes=("az",),
        open=_open,
        summary="Azure Blob Storage",
        example="az://my-container/devqubit?account=mylab",
        parameters=_PARAMETERS,
        sdk=("azure.storage.blob",),
    )


def _open(request: OpenRequest) -> Bucket:
    from devqubit_azure._bucket import AzureBucket  # imports the SDK, which takes its time

    return AzureBucket(request)


_PARAMETERS = (
    Parameter(
        name="account",
        type=str,
        help="Storage account; by default that of AZURE_STORAGE_CONNECTION_STRING",
        example="mylab",
        identity=True,
    ),
    Parameter(
        name="endpoint_url",
        type=str,
        help="Server to talk to instead of ACCOUNT.blob.core.windows.net: Azurite, other clouds",
        example="http://127.0.0.1:10000/devstoreaccount1",
        identity=True,
        pattern=SERVER_ADDRESS,
    ),
    Parameter(
        name="anonymous",
        type=bool,
        help="Sign nothing, for public containers",
        example="true",
    ),
    *NETWORK_PARAMETERS,
)
