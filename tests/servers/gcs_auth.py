"""Who may talk to the Cloud Storage server, and the two places where tokens come from.

The OAuth 2 endpoint of service accounts (https://developers.google.com/identity/protocols/oauth2/service-account)
and the metadata server of Compute Engine (https://cloud.google.com/compute/docs/metadata).
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
import threading
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qs

from tests.servers.gcs_objects import ApiError
from tests.servers.gcs_wire import Request, Response, error_response, json_response

__all__ = ["Authority"]

GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SERVICE_ACCOUNT: Final = "tests@devqubit.iam.gserviceaccount.com"
# What a SHA-256 signature says before its digest (RFC 8017, 9.2).
SHA256_PREFIX: Final = bytes.fromhex("3031300d060960864801650304020105000420")
_ACTIONS: Final = {
    "GET": "get",
    "POST": "create",
    "PUT": "update",
    "PATCH": "update",
    "DELETE": "delete",
}


class Authority:
    """Knows the bearer tokens and gives out new ones. Safe in threads.

    Args:
        tokens: Role of each bearer token: `owner` may do everything, `denied` nothing.
    """

    def __init__(self, tokens: Mapping[str, str]) -> None:
        self.tokens = dict(tokens)
        self._keys: dict[str, tuple[int, int]] = {}
        self._lock = threading.Lock()

    def trust(self, email: str, modulus: int, exponent: int) -> None:
        """Accepts a service account's JSON Web Tokens signed with this RSA key, and no others."""
        self._keys[email] = (modulus, exponent)

    def verify(self, email: str, message: bytes, signature: bytes) -> None:
        """Checks a service account's signature, of the kind RS256, or raises ValueError."""
        if email not in self._keys:
            raise ValueError(f"no key of {email} is known")
        _verify(message, signature, *self._keys[email])

    def check(self, request: Request) -> Response | None:
        """The answer to a request that is not allowed, None to one that is."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        role = self.tokens.get(token) if scheme.lower() == "bearer" else None
        if role == "owner":
            return None
        what = _permission(request)
        if role is not None:
            error = ApiError(403, f"{SERVICE_ACCOUNT} {what}", "forbidden")
        elif scheme:
            error = ApiError(401, "Invalid Credentials", "authError", "Authorization")
        else:
            error = ApiError(401, f"Anonymous caller {what}", "required", "Authorization")
        headers = {"WWW-Authenticate": 'Bearer realm="https://accounts.google.com/"'}
        return error_response(
            error, plain=request.wants_media, headers=headers if error.status == 401 else {}
        )

    def handle(self, request: Request) -> Response | None:
        """Answers requests for tokens; None to any other."""
        if request.path == "/token" and request.method == "POST":
            return self._exchange(request)
        if request.path == "/" or request.path.startswith("/computeMetadata/"):
            return self._metadata(request)
        return None

    def _exchange(self, request: Request) -> Response:
        form = parse_qs(request.body.decode())
        if form.get("grant_type") != [GRANT]:
            return _refusal("unsupported_grant_type", "Invalid grant_type")
        try:
            claims = self._claims(form["assertion"][0])
        except (KeyError, ValueError):
            return _refusal("invalid_grant", "Invalid JWT Signature.")
        if "scope" not in claims:
            return _refusal("invalid_scope", "Empty or missing scope not allowed.")
        return self._token()

    def _claims(self, assertion: str) -> dict[str, Any]:
        """What a JSON Web Token says; ValueError if its signature is none of its issuer's."""
        signed, _, signature = assertion.rpartition(".")
        claims: dict[str, Any] = json.loads(_decoded(signed.partition(".")[2]))
        key = self._keys.get(claims["iss"])
        if key is not None:
            _verify(signed.encode(), _decoded(signature), *key)
        return claims

    def _metadata(self, request: Request) -> Response:
        flavor = {"Metadata-Flavor": "Google"}
        if request.path == "/":
            return Response(200, b"computeMetadata/\n", flavor)
        if request.headers.get("metadata-flavor") != "Google":
            return Response(403, b"Missing Metadata-Flavor:Google header.", flavor)
        account = f"/computeMetadata/v1/instance/service-accounts/(default|{SERVICE_ACCOUNT})"
        if re.fullmatch(f"{account}/token", request.path):
            answer = self._token()
            return Response(200, answer.body, {**answer.headers, **flavor})
        if re.fullmatch(f"{account}/?", request.path):
            info = {"aliases": ["default"], "email": SERVICE_ACCOUNT, "scopes": ["cloud-platform"]}
            return json_response(info, headers=flavor)
        plain = {
            "/computeMetadata/v1/project/project-id": "devqubit-tests",
            "/computeMetadata/v1/universe/universe-domain": "googleapis.com",
            "/computeMetadata/v1/instance/service-accounts/default/email": SERVICE_ACCOUNT,
        }
        if request.path in plain:
            text = {"Content-Type": "application/text", **flavor}
            return Response(200, plain[request.path].encode(), text)
        return Response(404, b"", flavor)

    def _token(self) -> Response:
        token = f"ya29.{secrets.token_urlsafe(16)}"
        with self._lock:
            self.tokens[token] = "owner"
        return json_response({"access_token": token, "expires_in": 3600, "token_type": "Bearer"})


def _permission(request: Request) -> str:
    kind = "objects" if "/o" in request.path.partition("/b/")[2] else "buckets"
    action = _ACTIONS.get(request.method, "get")
    if request.method == "GET" and request.path.endswith(("/o", "/b")):
        action = "list"
    permission = f"storage.{kind}.{action}"
    return (
        f"does not have {permission} access to the Google Cloud Storage {kind[:-1]}. "
        f"Permission '{permission}' denied on resource (or it may not exist)."
    )


def _refusal(error: str, description: str) -> Response:
    return json_response({"error": error, "error_description": description}, 400)


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _verify(message: bytes, signature: bytes, modulus: int, exponent: int) -> None:
    """Checks an RSA signature of the kind RS256, or raises ValueError."""
    size = (modulus.bit_length() + 7) // 8
    opened = pow(int.from_bytes(signature, "big"), exponent, modulus).to_bytes(size, "big")
    end = b"\0" + SHA256_PREFIX + hashlib.sha256(message).digest()
    if opened != b"\0\1" + b"\xff" * (size - 2 - len(end)) + end:
        raise ValueError("the signature is not of this key")
