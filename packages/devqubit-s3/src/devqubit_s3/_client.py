"""Making the boto3 client of a bucket."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import urlsplit

import boto3
import botocore
import botocore.session
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.handlers import add_expect_header
from botocore.loaders import create_loader
from botocore.utils import parse_timestamp

from devqubit import __version__
from devqubit.errors import InvalidOptionError
from devqubit.plugin import OpenRequest, Option, PerProcess, Retry
from devqubit_s3._errors import has_expired, translated

__all__ = ["Connector", "custom_endpoint", "identity", "make_client"]

_AGENT: Final = f"devqubit/{__version__} Boto3/{boto3.__version__} Botocore/{botocore.__version__}"
_LOADER = create_loader()
_PAYER: Final = "x-amz-request-payer"
# botocore looks each of some forty headers up in every answer: a fifth of the work of a read.
_WANTED: Final = {
    "GetObject": {"Body", "ContentLength", "ContentRange", "ETag", "LastModified", "Metadata"},
    "HeadObject": {"ContentLength", "ETag", "LastModified", "Metadata"},
    "PutObject": {"ETag"},
}


class Connector:
    """A client in each process: a forked child has its own.

    Args:
        request: The URL and its options.
        retry: What one attempt may take.
        connections: How many are kept open.
    """

    def __init__(self, request: OpenRequest, retry: Retry, connections: int) -> None:
        def connect() -> Any:
            try:
                with translated(request.location):
                    return make_client(request.options, retry, connections)
            except ValueError as exc:  # botocore's word for an endpoint that is none
                raise InvalidOptionError(
                    f"{request.location}: {exc}: check AWS_ENDPOINT_URL and ~/.aws/config"
                ) from exc

        self._clients = PerProcess(connect)

    def get(self) -> Any:
        """The client of this process."""
        return self._clients.get()

    def send(self, operation: str, **arguments: Any) -> Any:
        """Sends a request once, or twice where the server says that credentials have expired.

        botocore renews them by the clock alone. A new client looks for them from the
        beginning, also in files, which some tools write every few hours.

        Args:
            operation: A method of the client.
            arguments: Its arguments.

        Raises:
            ClientError: What the server refused.
        """
        client = self.get()
        try:
            return getattr(client, operation)(**arguments)
        except ClientError as exc:
            if not has_expired(exc):
                raise
        return getattr(self._clients.renew(client), operation)(**arguments)

    def close(self) -> None:
        """Closes the connections of this process."""
        client = self._clients.drop()
        if client is not None:
            client.close()


def make_client(options: Mapping[str, Option], retry: Retry, connections: int) -> Any:
    """A client as the options say, with boto3's own credential chain.

    Args:
        options: As declared by the backend.
        retry: What one attempt may take; botocore itself makes only one.
        connections: How many it keeps open.
    """
    core = botocore.session.Session(profile=options.get("profile"))
    # botocore's parser takes most of the time of listing; this one knows the usual forms.
    factory = core.get_component("response_parser_factory")
    factory.set_parser_defaults(timestamp_parser=_timestamp)
    if core.get_config_variable("data_path") is None:
        # The service's description, parsed once: the next client takes a fifth of the time.
        core.register_component("data_loader", _LOADER)
    # botocore puts its own together anew for each request: a tenth of the work of a small one.
    core.set_default_client_config(Config(user_agent=_agent(core)))
    session = boto3.Session(botocore_session=core)
    client = _connect(session, options, retry, connections, custom="endpoint_url" in options)
    if "endpoint_url" not in options and custom_endpoint(client):
        # The endpoint came from the environment or the profile.
        client = _connect(session, options, retry, connections, custom=True)
    return client


def identity(options: Mapping[str, Option]) -> str:
    """Whose credentials a client with these options uses, and where they are from."""
    if options.get("anonymous"):
        return "anonymous"
    found = botocore.session.Session(profile=options.get("profile")).get_credentials()
    if found is None:
        return "nobody: there are no credentials"
    key = found.get_frozen_credentials().access_key
    return f"access key {key[:4]}..., from {found.method}"


def custom_endpoint(client: Any) -> str | None:
    """The endpoint of a client that does not talk to AWS, or None."""
    url = str(client.meta.endpoint_url).rstrip("/")
    host = urlsplit(url).hostname or ""
    return None if host.endswith((".amazonaws.com", ".amazonaws.com.cn")) else url


def _connect(
    session: Any, options: Mapping[str, Option], retry: Retry, connections: int, *, custom: bool
) -> Any:
    settings: dict[str, Any] = {
        "connect_timeout": min(retry.attempt_timeout, 10),
        "read_timeout": retry.attempt_timeout,
        "retries": {"mode": "standard", "total_max_attempts": 1},
        "max_pool_connections": connections,
        "tcp_keepalive": True,
        "s3": {"addressing_style": options.get("addressing_style", "path" if custom else "auto")},
    }
    if custom:
        # Servers that only resemble S3 refuse the trailing checksums of boto3 1.36 and later.
        settings["request_checksum_calculation"] = "when_required"
        settings["response_checksum_validation"] = "when_required"
    if options.get("anonymous"):
        settings["signature_version"] = UNSIGNED
    client = session.client(
        "s3",
        region_name=options.get("region"),
        endpoint_url=options.get("endpoint_url"),
        verify=options.get("ca_bundle"),
        config=Config(**settings),
    )
    for operation, wanted in _WANTED.items():
        members = client.meta.service_model.operation_model(operation).output_shape.members
        for name in members.keys() - wanted:
            del members[name]
    # Asking for leave to send a body takes a round trip, or a second where nobody answers.
    client.meta.events.unregister("before-call.s3", add_expect_header)
    client.meta.events.register_first("choose-signer.s3.GetObject", _link_signer)
    client.meta.events.register("before-sign.s3.GetObject", _pay_in_link)
    return client


def _agent(core: botocore.session.Session) -> str:
    """What access logs name as the client, with the application's id where one is configured."""
    application = core.get_config_variable("user_agent_appid")
    return f"{_AGENT} app/{application}" if application else _AGENT


def _link_signer(signature_version: Any, **_: Any) -> str | None:
    """Signs links with version 4, where boto3 takes version 2, which most servers refuse.

    Named in the client's configuration, version 4 would also be forced on buckets that need
    yet another one, such as access points of several regions.
    """
    return "s3v4-query" if signature_version in ("v4-query", "s3v4-query") else None


def _pay_in_link(request: Any, **_: Any) -> None:
    """Says in the link itself who pays: whoever follows it sends no headers of ours."""
    if request.context.get("is_presign_request") and _PAYER in request.headers:
        request.params = {**request.params, _PAYER: request.headers[_PAYER]}
        del request.headers[_PAYER]


def _timestamp(value: Any) -> datetime:
    """A time as lists have it (ISO 8601), or as headers do (RFC 9110), or in another form."""
    for parse in (datetime.fromisoformat, parsedate_to_datetime, parse_timestamp):
        try:
            parsed: datetime = parse(value)
        except (AttributeError, TypeError, ValueError):
            continue
        return parsed
    raise ValueError(f"{value!r} is no time")
