"""`devqubit info`: what is where."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from devqubit.cli._options import registry_option, store_option
from devqubit.cli._output import json_option, print_json, print_table
from devqubit.errors import InvalidArgumentError
from devqubit.maintenance import Place, open_place
from devqubit.storage import available_backends
from devqubit.storage._url import parse_url

if TYPE_CHECKING:
    from devqubit.storage._opened import Opened

__all__ = ["command"]


@click.command("info")
@click.argument("url", required=False)
@click.option("--objects", is_flag=True, help="Count the objects too, which lists all of them.")
@store_option
@registry_option
@json_option
def command(
    url: str | None, objects: bool, store: str | None, registry: str | None, as_json: bool
) -> None:
    """Show what serves the store and the registry, and what is in them.

    URL is that of the registry, with its objects in `objects/` or beside; without one, those
    of the environment.

    \b
    Examples:
    devqubit info
    devqubit info s3://my-bucket/devqubit --objects
    """
    if url is not None and registry is not None:
        raise InvalidArgumentError("URL and --registry say the same: leave one out")
    with open_place(url or registry, store=store) as place:
        found = {**_registry(place), **_store(place, objects)}
    if as_json:
        print_json(found)
    else:
        print_table(("what", "value"), ((k.replace("_", " "), _text(v)) for k, v in found.items()))


def _registry(place: Place) -> dict[str, object]:
    from devqubit.storage._index import index_path

    registry = place.registry
    done = registry.refresh()
    path = index_path(registry.location)
    kept = registry.bucket.capabilities.persistent and os.path.exists(path)
    return {
        **_served("registry", registry),
        "runs": registry.count_runs(),
        "projects": len(registry.list_projects()),
        "unreadable": len(registry.problems()),
        "refresh_seconds": round(done.seconds, 2),
        "index": path if kept else None,
        "index_bytes": os.path.getsize(path) if kept else None,
    }


def _store(place: Place, objects: bool) -> dict[str, object]:
    found = _served("store", place.store)
    if objects:
        from devqubit.storage._lookup import list_objects

        count = size = 0
        for info in list_objects(place.store.bucket, "sha256/"):
            count, size = count + 1, size + info.size
        found |= {"objects": count, "object_bytes": size}
    return found


def _text(value: object) -> object:
    return ", ".join(value) if isinstance(value, list) else value


def _served(what: str, opened: Opened) -> dict[str, object]:
    scheme = parse_url(opened.location).scheme
    served = [
        f"{b.distribution} {b.version}" for b in available_backends(scheme) if b.status == "ready"
    ]
    can = asdict(opened.bucket.capabilities)
    able = [name for name, is_so in can.items() if is_so and name != "unproven"]
    return {
        what: opened.location,
        f"{what}_backend": served,
        f"{what}_capabilities": able,
    }
