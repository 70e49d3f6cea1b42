"""A place: a store and a registry that belong together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from devqubit.storage import create_registry, create_store
from devqubit.storage._url import below

if TYPE_CHECKING:
    from devqubit.plugin import Bucket
    from devqubit.storage import ObjectStore, Registry

__all__ = ["Place", "open_place"]

_OBJECTS = "objects"


@dataclass(frozen=True)
class Place:
    """Where artifacts and runs are.

    Attributes:
        store: The artifacts.
        registry: The runs and baselines.
    """

    store: ObjectStore
    registry: Registry


@contextmanager
def open_place(url: str | None = None, *, store: str | None = None) -> Iterator[Place]:
    """Opens a registry, and the store that belongs to it, for a `with` block.

    Args:
        url: Of the registry; None takes those of the environment, as `create_registry` and
            `create_store` do.
        store: Of the store. None takes the folder `objects` of the registry, or the registry's
            own place if objects are there and none in that folder.

    Raises:
        InvalidArgumentError: A URL cannot be understood.
        StorageError: It cannot be seen where the objects are.
    """
    with create_registry(url) as registry:
        if store is None and url is not None:
            store = _store_of(registry.bucket, url)
        with create_store(store) as opened:
            yield Place(opened, registry)


def _store_of(bucket: Bucket, url: str) -> str:
    below_it = below(url, _OBJECTS)
    if _holds_objects(bucket, f"{_OBJECTS}/") or not _holds_objects(bucket, ""):
        return below_it
    return url


def _holds_objects(bucket: Bucket, prefix: str) -> bool:
    return any(True for _ in islice(bucket.list(f"{prefix}sha256/"), 1))
