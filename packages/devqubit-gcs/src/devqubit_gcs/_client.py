"""Making the client of a bucket."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import google.auth
from google.auth.credentials import AnonymousCredentials
from google.auth.transport.requests import AuthorizedSession
from google.cloud import storage
from requests.adapters import HTTPAdapter

from devqubit.plugin import Option

__all__ = ["custom_endpoint", "make_client"]


def make_client(options: Mapping[str, Option], connections: int) -> Any:
    """A client as the options say, with Application Default Credentials.

    Args:
        options: As declared by the backend.
        connections: How many it keeps open.
    """
    endpoint = custom_endpoint(options)
    # An emulator knows no credentials, as for Google's own clients.
    emulated = "endpoint_url" not in options and endpoint is not None
    project = options.get("project")
    if options.get("anonymous") or emulated:
        credentials, found = AnonymousCredentials(), None
    else:
        credentials, found = google.auth.default(scopes=storage.Client.SCOPE)
    session = AuthorizedSession(credentials)
    adapter = HTTPAdapter(pool_maxsize=connections)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return storage.Client(
        # Objects need no project; without this the client would go and look for one.
        project=project or found or "none",
        credentials=credentials,
        client_options={"api_endpoint": endpoint} if endpoint else None,
        _http=session,
    )


def custom_endpoint(options: Mapping[str, Option]) -> str | None:
    """The server that is meant instead of Google's, or None."""
    endpoint = str(options.get("endpoint_url") or os.environ.get("STORAGE_EMULATOR_HOST") or "")
    if endpoint and "://" not in endpoint:
        endpoint = f"http://{endpoint}"
    return endpoint.rstrip("/") or None
