"""Amazon S3, and what speaks its protocol, as a storage backend of devqubit: `s3://`."""

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
    """Declares `s3://`."""
    return StorageBackend(
        api_version=1,
        schemes=("s3",),
        open=_open,
        summary="Amazon S3 and compatible servers (MinIO, Ceph, LocalStack)",
        example="s3://my-bucket/devqubit",
        parameters=_PARAMETERS,
        sdk=("boto3",),
    )


def _open(request: OpenRequest) -> Bucket:
    from devqubit_s3._bucket import S3Bucket  # imports boto3, which takes its time

    return S3Bucket(request)


_PARAMETERS = (
    Parameter(name="region", type=str, help="AWS region of the bucket", example="eu-central-1"),
    Parameter(
        name="endpoint_url",
        type=str,
        help="Server to talk to instead of AWS: MinIO, Ceph, LocalStack",
        example="http://127.0.0.1:9000",
        identity=True,
        pattern=SERVER_ADDRESS,
    ),
    Parameter(name="profile", type=str, help="Profile of ~/.aws/config", example="lab"),
    Parameter(
        name="addressing_style",
        type=str,
        choices=("auto", "path", "virtual"),
        help="Bucket in the path or in the host name; path is the default with endpoint_url",
        example="virtual",
    ),
    Parameter(
        name="anonymous",
        type=bool,
        help="Sign nothing, for public buckets",
        example="true",
    ),
    *NETWORK_PARAMETERS,
    Parameter(
        name="storage_class",
        type=str,
        help="Storage class of what is written",
        example="STANDARD_IA",
    ),
    Parameter(
        name="sse",
        type=str,
        choices=("AES256", "aws:kms", "aws:kms:dsse"),
        help="Server-side encryption of what is written",
        example="aws:kms",
    ),
    Parameter(
        name="sse_kms_key_id",
        type=str,
        help="KMS key for sse=aws:kms",
        example="alias/lab",
    ),
    Parameter(
        name="requester_pays",
        type=bool,
        help="Accept the charges of a requester-pays bucket",
        example="true",
    ),
    Parameter(
        name="ca_bundle",
        type=str,
        help="File of certificates to trust instead of the system's",
        example="/etc/ssl/lab.pem",
    ),
)
