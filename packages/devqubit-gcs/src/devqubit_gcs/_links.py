"""Links to objects, signed with whatever the credentials can sign with."""

from __future__ import annotations

from typing import Any

from google.auth.credentials import AnonymousCredentials, Signing
from google.auth.exceptions import TransportError
from google.auth.transport.requests import Request
from requests.exceptions import RequestException

from devqubit.errors import CredentialsError, UnsupportedError
from devqubit_gcs._client import Connection

__all__ = ["signed_url"]


def signed_url(connection: Connection, name: str, expires: int, location: str) -> str:
    """A link to an object, by the V4 signing process.

    The key of a service account signs here; otherwise IAM does, in one request, for whoever
    acts as a service account.

    Args:
        connection: With the credentials.
        name: The object's name, with the bucket's prefix.
        expires: Seconds for which it works.
        location: The bucket's URL, for messages.
    """
    credentials = connection.session.credentials
    if isinstance(credentials, AnonymousCredentials):
        raise UnsupportedError(
            f"{location}: a link is signed, and no credentials are used here: leave anonymous out"
        )
    payer = connection.bucket.user_project
    asked = {"userProject": payer} if payer else {}
    try:
        signer = _signer(credentials, location)
        blob = connection.bucket.blob(name)
        return str(
            blob.generate_signed_url(
                version="v4", expiration=expires, query_parameters=asked, **signer
            )
        )
    except TransportError as exc:
        if isinstance(exc.__cause__, RequestException):
            raise  # there was no answer
        raise CredentialsError(
            f"{location}: IAM does not sign links: {exc}. The service account needs the role "
            "'Service Account Token Creator' on itself, and the project the IAM Service Account "
            "Credentials API"
        ) from exc


def _signer(credentials: Any, location: str) -> dict[str, Any]:
    """What the SDK needs to sign, besides the credentials."""
    if isinstance(credentials, Signing):
        return {}
    if not getattr(credentials, "service_account_email", None):
        raise CredentialsError(
            f"{location}: {type(credentials).__name__} cannot sign links, as those of a user "
            "cannot: name the key file of a service account in GOOGLE_APPLICATION_CREDENTIALS, or "
            "run 'gcloud auth application-default login --impersonate-service-account=…'"
        )
    if not credentials.valid:
        credentials.refresh(Request())
    return {
        "service_account_email": credentials.service_account_email,
        "access_token": credentials.token,
    }
