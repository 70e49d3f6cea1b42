"""Connecting to a container, with the credentials that Azure's own tools would find."""

from __future__ import annotations

import os
from typing import Any, Final

from azure.core.pipeline.transport import RequestsTransport
from azure.storage.blob import ContainerClient
from requests import Session
from requests.adapters import HTTPAdapter

from devqubit.errors import CredentialsError
from devqubit.plugin import OpenRequest, Retry

__all__ = ["connect", "location_of"]

_AZURE: Final = "blob.core.windows.net"
_ONE_REQUEST: Final = 1 << 40


def connect(request: OpenRequest, retry: Retry, connections: int) -> ContainerClient:
    """A client of the container that a URL names.

    Args:
        request: The URL and its options.
        retry: What one attempt may take.
        connections: How many it keeps open.

    Raises:
        CredentialsError: Nothing says which account it is, or how to sign.
    """
    try:
        return _connect(request, _settings(retry, connections))
    except ValueError as exc:  # the SDK's word for what it cannot connect with
        raise CredentialsError(f"{request.location}: {exc}") from exc


def location_of(request: OpenRequest, client: ContainerClient) -> str:
    """The URL of the container with its account, however that was found."""
    host = client.primary_hostname
    if host == f"{client.account_name}.{_AZURE}":
        return request.location_with(account=str(client.account_name))
    return request.location_with(endpoint_url=f"{client.scheme}://{host}")


def _settings(retry: Retry, connections: int) -> dict[str, Any]:
    session = Session()
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=connections))
    timeout = retry.attempt_timeout
    return {
        "transport": RequestsTransport(
            session=session, connection_timeout=min(timeout, 10), read_timeout=timeout
        ),
        "retry_total": 0,
        # In several requests, a read could mix two versions of a blob, and so could two
        # writes at the same time, whose blocks the SDK names by their position.
        "max_single_get_size": _ONE_REQUEST,
        "max_single_put_size": _ONE_REQUEST,
    }


def _connect(request: OpenRequest, settings: dict[str, Any]) -> ContainerClient:
    account, endpoint = request.options.get("account"), request.options.get("endpoint_url")
    anonymous = request.options.get("anonymous", False)
    text = os.environ.get("AZURE_STORAGE_CONNECTION_STRING")
    if text and not anonymous:
        text = f"{text.rstrip(';')};BlobEndpoint={endpoint}" if endpoint else text
        client = ContainerClient.from_connection_string(text, request.bucket, **settings)
        if account in (None, client.account_name):
            return client
    if not (account or endpoint):
        raise ValueError(
            "which account? Set AZURE_STORAGE_CONNECTION_STRING, or add ?account= and sign in "
            "with 'az login'"
        )
    credential = None if anonymous else _default_credential()
    url = str(endpoint or f"https://{account}.{_AZURE}")
    return ContainerClient(url, request.bucket, credential, **settings)


def _default_credential() -> Any:
    try:
        from azure.identity import DefaultAzureCredential
    except ImportError as exc:
        raise ValueError(
            "no credentials: set AZURE_STORAGE_CONNECTION_STRING, or pip install "
            "'devqubit-azure[identity]' and sign in with 'az login'"
        ) from exc
    return DefaultAzureCredential()
