"""Making the client of a bucket: its credentials, its server and its connections."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final
from urllib.request import getproxies

import google.auth
from google.auth import environment_vars
from google.auth.credentials import AnonymousCredentials
from google.auth.transport.requests import AuthorizedSession
from google.cloud import storage
from google.cloud.storage.batch import Batch
from requests import Response
from requests.adapters import HTTPAdapter

from devqubit.errors import CredentialsError
from devqubit.plugin import OpenRequest, Option

__all__ = ["Connection", "KeptBatch", "connect", "custom_endpoint"]

# Whoever sets one of these means credentials for any server, also one without TLS.
_CHOSEN_CREDENTIALS: Final = (
    environment_vars.CREDENTIALS,
    environment_vars.GCE_METADATA_HOST,
    environment_vars.GCE_METADATA_ROOT,
)
_CERTIFICATES: Final = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


class Answered(threading.local):
    """What a thread was answered last."""

    headers: Mapping[str, str] = MappingProxyType({})

    def note(self, response: Response, *_: Any, **__: Any) -> None:
        """Takes note of an answer, as a hook of the session."""
        self.headers = response.headers


@dataclass(frozen=True)
class Connection:
    """What one process talks to the service with.

    Attributes:
        bucket: The SDK's bucket, of a client of its own.
        session: The HTTP session of that client.
        answered: The headers of the last answer that this thread got; the SDK keeps no
            metadata of what it downloads.
    """

    bucket: Any
    session: AuthorizedSession
    answered: Answered

    @property
    def identity(self) -> str:
        """Whose credentials are used."""
        credentials = self.session.credentials
        if isinstance(credentials, AnonymousCredentials):
            return "anonymous"
        return str(getattr(credentials, "service_account_email", None) or "a user, not a service")


class KeptBatch(Batch):  # type: ignore[misc]  # the SDK has no types
    """A batch that keeps the answers to its calls, which the SDK's own throws away."""

    answers: tuple[Any, ...] = ()

    def finish(self, raise_exception: bool = True) -> Any:
        """Sends it."""
        self.answers = tuple(super().finish(raise_exception=raise_exception))
        return self.answers


def custom_endpoint(options: Mapping[str, Option]) -> str | None:
    """The server that is meant instead of Google's, or None."""
    endpoint = str(options.get("endpoint_url") or os.environ.get("STORAGE_EMULATOR_HOST") or "")
    if endpoint and "://" not in endpoint:
        endpoint = f"http://{endpoint}"
    return endpoint.rstrip("/") or None


def connect(request: OpenRequest, connections: int) -> Connection:
    """Connects to a bucket, with the credentials that are found.

    Args:
        request: The URL and its options.
        connections: How many are kept open.
    """
    options = request.options
    endpoint = custom_endpoint(options)
    credentials = _credentials(options, endpoint)
    # Nothing can be renewed without credentials, and the attempt hides the service's answer.
    renewal = {"max_refresh_attempts": 0} if isinstance(credentials, AnonymousCredentials) else {}
    session = AuthorizedSession(credentials, **renewal)
    adapter = HTTPAdapter(pool_maxsize=connections)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    answered = Answered()
    session.hooks["response"] += [_read_refusal, answered.note]
    # Looking for proxies and certificates at every request takes a fifth of its time.
    session.trust_env = bool(getproxies().keys() - {"no"})
    session.verify = next(filter(None, map(os.environ.get, _CERTIFICATES)), True)
    try:
        client = storage.Client(
            project=options.get("project"),
            credentials=credentials,
            client_options={"api_endpoint": endpoint} if endpoint else None,
            _http=session,
        )
    except ValueError as exc:  # credentials of another universe than googleapis.com
        raise CredentialsError(f"{request.location}: {exc}") from exc
    # Otherwise it asks for the bucket in the background, which needs another permission than
    # objects do: https://github.com/googleapis/google-cloud-python/issues/17650
    client._bucket_metadata_cache = None
    bucket = client.bucket(request.bucket, user_project=options.get("user_project"))
    return Connection(bucket, session, answered)


def _read_refusal(response: Response, *_: Any, **__: Any) -> None:
    """Reads what google-auth drops when it renews a token, and the connection with it."""
    if response.status_code == HTTPStatus.UNAUTHORIZED:
        _ = response.content


def _credentials(options: Mapping[str, Option], endpoint: str | None) -> Any:
    """Application Default Credentials, where they are meant.

    An emulator knows none, and looking for them takes seconds where there is no metadata
    server. A server without TLS gets a token only if somebody chose that.
    """
    emulated = endpoint is not None and "endpoint_url" not in options
    exposed = endpoint is not None and endpoint.lower().startswith("http://")
    chosen = any(map(os.environ.get, _CHOSEN_CREDENTIALS))
    if options.get("anonymous", emulated or (exposed and not chosen)):
        return AnonymousCredentials()
    credentials, _ = google.auth.default(scopes=storage.Client.SCOPE)
    return credentials
