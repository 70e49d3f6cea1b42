"""Google Cloud Storage as a storage backend of devqubit: `gs://`."""

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

__all__ = ["__version__", "devqubit_storage_backend"]

__version__ = "0.2.0"


@hookimpl
def devqubit_storage_backend() -> StorageBackend:
    """Declares `gs://`."""
    return StorageBackend(
        api_version=1,
        schemes=("gs",),
        open=_open,
        summary="Google Cloud Storage",
        example="gs://my-bucket/devqubit",
        parameters=_PARAMETERS,
        sdk=("google.cloud.storage",),
    )


def _open(request: OpenRequest) -> Bucket:
    from devqubit_gcs._bucket import GCSBucket  # imports the SDK, which takes its time

    return GCSBucket(request)


_PARAMETERS = (
    Parameter(name="project", type=str, help="Google Cloud project", example="my-lab"),
    Parameter(
        name="endpoint_url",
        type=str,
        help="Server to talk to instead of Google's",
        example="http://127.0.0.1:4443",
        identity=True,
        pattern=SERVER_ADDRESS,
    ),
    Parameter(
        name="anonymous",
        type=bool,
        help="Send no credentials, for public buckets and emulators",
        example="true",
    ),
    Parameter(
        name="user_project",
        type=str,
        help="Project that pays for a requester-pays bucket",
        example="my-lab",
    ),
    Parameter(
        name="kms_key_name",
        type=str,
        help="Cloud KMS key for what is written",
        example="projects/p/locations/eu/keyRings/r/cryptoKeys/k",
    ),
    Parameter(
        name="storage_class",
        type=str,
        help="Storage class of what is written",
        example="NEARLINE",
    ),
    *NETWORK_PARAMETERS,
)
