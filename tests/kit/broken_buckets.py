"""Every bucket of these tests, by scheme: each has one thing wrong, which the kit must notice.

The name of a class is its scheme: `LostUpdate` is opened by `lost-update://`.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from devqubit.plugin import Bucket, OpenRequest, Parameter, StorageBackend, hookimpl
from tests.kit import broken_files, broken_reads, broken_words, broken_writes
from tests.kit.memory_bucket import MemoryBucket, PlainBucket

__all__ = ["SCHEMES", "TOKEN"]

TOKEN = "hunter2-of-the-tests"


def _scheme(bucket: type[Bucket]) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", bucket.__name__).lower()


_RIGHT: list[type[Bucket]] = [MemoryBucket, PlainBucket]
_BROKEN: list[type[Bucket]] = [
    getattr(module, name)
    for module in (broken_files, broken_reads, broken_words, broken_writes)
    for name in module.__all__
]
SCHEMES = {_scheme(bucket): bucket for bucket in [*_RIGHT, *_BROKEN]}
"""Every bucket here, by its scheme."""


@hookimpl
def devqubit_storage_backend() -> StorageBackend:
    """Declares all of them."""
    return StorageBackend(
        api_version=1,
        schemes=tuple(SCHEMES),
        open=_open,
        summary="Buckets of the tests of the conformance kit",
        parameters=(Parameter(name="token", type=str, help="A secret", example="t0ps3cret"),),
    )


def _open(request: OpenRequest) -> Bucket:
    bucket: Callable[[OpenRequest], Bucket] = SCHEMES[request.scheme]
    return bucket(request)
