"""What a backend declares of itself, and what it is given when a URL is opened."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from devqubit.storage._bucket import Bucket
from devqubit.storage._url import canonical_url

__all__ = [
    "API_VERSION",
    "SERVER_ADDRESS",
    "BackendInfo",
    "BackendStatus",
    "OpenRequest",
    "Option",
    "Parameter",
    "StorageBackend",
]

API_VERSION: Final = 1
"""The version of the plugin interface that this core speaks."""

SERVER_ADDRESS: Final = r"https?://(\[[0-9A-Fa-f:.]+\]|[^/:@?#\[\]\s]+)(:[0-9]{1,5})?(/[^?#\s]*)?"
"""The `Parameter.pattern` of a server to talk to: `http://127.0.0.1:9000`."""

Option = str | int | float | bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Parameter:
    """One URL parameter, and keyword option, that a backend takes.

    Attributes:
        name: As written in a URL: `endpoint_url`.
        type: `str`, `int`, `float` or `bool`; text of a URL is converted.
        help: What it does, in a line.
        example: A value as a user would write it.
        choices: The only values allowed; empty for any.
        minimum: The smallest number allowed.
        pattern: A regular expression that text must match as a whole, such as
            `SERVER_ADDRESS`; empty for any. The example shows what that looks like.
        identity: Two URLs that differ in it are two places, as with an endpoint.
    """

    name: str
    type: type[str] | type[int] | type[float] | type[bool]
    help: str
    example: str = ""
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    identity: bool = False
    pattern: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenRequest:
    """A URL as its backend gets it: taken apart, its options checked and converted.

    Attributes:
        scheme: The scheme the user wrote.
        bucket: The bucket's name; empty for `file`.
        prefix: The prefix without slashes at its ends, or empty; for `file` the
            absolute path of the folder.
        location: The canonical URL, without secrets; what `Bucket.location` should be.
        options: The options the user gave, by parameter name. They may hold secrets.
    """

    scheme: str
    bucket: str
    prefix: str
    location: str
    options: Mapping[str, Option] = field(default_factory=dict, repr=False)

    @property
    def key_prefix(self) -> str:
        """What to put before a key to get its name in the bucket: `prefix/`, or nothing."""
        return f"{self.prefix}/" if self.prefix else ""

    def location_with(self, **identity: str) -> str:
        """The canonical URL with parameters that are part of the address.

        Args:
            **identity: What makes it another place although the user did not write it
                in the URL, such as an endpoint from the environment.
        """
        return canonical_url(self.scheme, self.bucket, self.prefix, identity)


@dataclass(frozen=True, kw_only=True)
class StorageBackend:
    """What a plugin's hook returns.

    Attributes:
        api_version: The plugin interface it was written for: `API_VERSION` of that day,
            as a number, not the name, so that it does not change under the plugin.
        schemes: The URL schemes it serves; each is also the name of an entry point.
        open: Opens a URL. SDKs are imported in there, not with the plugin's module.
        summary: What it is, in a line.
        parameters: The URL parameters it takes; any other is refused before `open`.
        bucket_required: The URL must name a bucket.
        example: A URL as a user would write it, for error messages.
        sdk: Modules that `open` imports, so that they can be tried without opening.
    """

    api_version: int
    schemes: tuple[str, ...]
    open: Callable[[OpenRequest], Bucket]
    summary: str
    parameters: tuple[Parameter, ...] = ()
    bucket_required: bool = True
    example: str = ""
    sdk: tuple[str, ...] = ()


BackendStatus = Literal["ready", "not loaded", "broken", "disabled", "in conflict"]
"""What became of a backend: see `BackendInfo`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BackendInfo:
    """Something that says it serves a scheme.

    Attributes:
        scheme: The scheme, as it comes before `://`.
        distribution: The installed distribution that brings it; empty for a plugin that
            was registered in this process.
        version: The distribution's version.
        where: `built in`, `registered`, or the module that its entry point names.
        status: `ready`; `not loaded`, as nobody asked for it yet; `broken`; `disabled`,
            as something comes before it; `in conflict` with another distribution.
        reason: Why it is broken, disabled or in conflict, and what to do.
        summary: What it is, in a line; empty if it is not ready.
        parameters: The URL parameters that it takes; empty if it is not ready.
    """

    scheme: str
    distribution: str
    version: str
    where: str
    status: BackendStatus = "not loaded"
    reason: str = ""
    summary: str = ""
    parameters: tuple[Parameter, ...] = ()
