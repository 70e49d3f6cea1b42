"""From a URL to an open bucket, store or registry."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from devqubit.errors import DevQubitError, InvalidURLError, PluginLoadError
from devqubit.storage._backend import OpenRequest, StorageBackend
from devqubit.storage._bucket import Bucket
from devqubit.storage._config import default_registry_url, default_store_url
from devqubit.storage._options import merge_options
from devqubit.storage._plugins import Plugin, plugins
from devqubit.storage._url import StorageURL, canonical_url, parse_url

if TYPE_CHECKING:
    from devqubit.storage._objects import ObjectStore
    from devqubit.storage._registry import Registry

__all__ = ["create_registry", "create_store", "open_bucket"]


def create_store(
    url: str | os.PathLike[str] | None = None,
    *,
    cache: str | os.PathLike[str] | bool | None = None,
    cache_size: int | str | None = None,
    **options: object,
) -> ObjectStore:
    """Opens the content-addressed store at a URL.

    Nothing is asked of a server, and nothing created, before the first call that
    needs it.

    Args:
        url: Such as `s3://my-bucket/devqubit/objects`, or a local path. None takes
            `DEVQUBIT_STORAGE_URL`, else the folder `objects` of the workspace
            (`DEVQUBIT_HOME`, by default `~/.devqubit`).
        cache: A folder of this machine that keeps what is read, so that it is fetched
            once; True takes `objects` in the user's cache folder (`DEVQUBIT_CACHE_DIR`).
            Stores and processes may share one. What it holds is verified at every read,
            and is found there also when somebody else deleted it from the store.
        cache_size: What the cache may take, in bytes or as text such as `2 GB` or
            `500 MiB`; 10 GiB if nothing is said. What was used longest ago makes room.
            An object over half of it is not kept.
        **options: Options of the backend, such as `region` or `endpoint_url`. They
            win over parameters of the URL.

    Raises:
        InvalidURLError: The URL cannot be understood.
        InvalidOptionError: An option that the backend does not take, or a bad value; or
            `cache` is no folder, or one with files in it that is no cache.
        PluginError: The scheme's backend is missing, broken or ambiguous.
    """
    from devqubit.storage._objects import ObjectStore

    kept = None
    if cache is not None or cache_size is not None:
        from devqubit.storage._cache import open_cache

        kept = open_cache(cache, cache_size)
    bucket, given = _open_url(default_store_url() if url is None else url, options)
    if kept is not None:
        folder = cache if isinstance(cache, bool) else kept.folder
        given = {**given, "cache": folder, "cache_size": cache_size}
    return ObjectStore(bucket, kept).opened_by(create_store, bucket.location, given)


def create_registry(
    url: str | os.PathLike[str] | None = None,
    *,
    max_staleness: float | None = 10.0,
    **options: object,
) -> Registry:
    """Opens the registry of runs and baselines at a URL.

    Args:
        url: Such as `s3://my-bucket/devqubit`, or a local path. None takes
            `DEVQUBIT_REGISTRY_URL`, else the workspace (`DEVQUBIT_HOME`, by default
            `~/.devqubit`).
        max_staleness: Seconds for which `list_runs`, `search_runs` and the like may be
            behind what others wrote; None never looks by itself.
        **options: As for `create_store`.

    Raises:
        InvalidURLError: The URL cannot be understood.
        InvalidOptionError: An option that the backend does not take, or a bad value.
        PluginError: The scheme's backend is missing, broken or ambiguous.
    """
    from devqubit.storage._registry import Registry

    bucket, given = _open_url(default_registry_url() if url is None else url, options)
    given = {**given, "max_staleness": max_staleness}
    opened = Registry(bucket, max_staleness=max_staleness)
    return opened.opened_by(create_registry, bucket.location, given)


def open_bucket(url: str | os.PathLike[str], options: Mapping[str, object] | None = None) -> Bucket:
    """Opens the bucket at a URL with the backend of its scheme; raises as `create_store`."""
    return _open_url(url, options or {})[0]


def _open_url(
    url: str | os.PathLike[str], keywords: Mapping[str, object]
) -> tuple[Bucket, Mapping[str, object]]:
    """The bucket, and all the options that it was opened with."""
    parsed = parse_url(url)
    plugin = plugins.resolve(parsed.scheme)
    backend = plugin.backend
    if backend.bucket_required and not parsed.bucket:
        example = backend.example or f"{parsed.scheme}://my-bucket/prefix"
        raise InvalidURLError(f"'{parsed.scheme}://' names no bucket: write {example}")
    request = _request(parsed, backend, keywords)
    return _open(plugin, request), request.options


def _request(
    parsed: StorageURL, backend: StorageBackend, keywords: Mapping[str, object]
) -> OpenRequest:
    options = merge_options(parsed.scheme, backend.parameters, parsed.parameters, keywords)
    identity = {
        p.name: str(options[p.name]) for p in backend.parameters if p.identity and p.name in options
    }
    return OpenRequest(
        scheme=parsed.scheme,
        bucket=parsed.bucket,
        prefix=parsed.prefix,
        location=canonical_url(parsed.scheme, parsed.bucket, parsed.prefix, identity),
        options=options,
    )


def _open(plugin: Plugin, request: OpenRequest) -> Bucket:
    try:
        bucket = plugin.backend.open(request)
    except DevQubitError:
        raise
    except Exception as exc:  # a stranger's code, or an SDK that fails to import
        raise PluginLoadError(
            f"The backend of {request.scheme}://, {plugin.origin}, is installed but fails to "
            f"open {request.location}: {type(exc).__name__}: {exc}"
        ) from exc
    if not isinstance(bucket, Bucket):
        raise PluginLoadError(
            f"The backend of {request.scheme}://, {plugin.origin}, is broken: it opened "
            f"{type(bucket).__name__}, not a Bucket"
        )
    return bucket
