"""Storage URLs: taken apart, checked, and printed without what must not be seen.

`scheme://bucket/prefix?name=value`, or a plain path for the local file system.
Which parameters a scheme takes is its backend's business, not this module's.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from devqubit.errors import InvalidOptionError, InvalidURLError

__all__ = ["StorageURL", "below", "canonical_url", "has_credentials", "parse_url", "redact"]

# RFC 3986 schemes, but of two characters and more: one letter is a Windows drive.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")
# user:password@, also where the password holds one of "/?#": then what stands in the
# host's place has a colon that no port number follows, and an "@" comes later.
_CREDENTIALS = r"(?s)[^:]+://(?:[^/?#]*@|[^/?#]*:(?!\d*(?:[/?#]|$)).*@)"
# An address of a server with what may be a secret, also without a scheme: user:password@host.
_SHOWS_TOO_MUCH = re.compile(r"(?s)[^:]+://.*[?#]|[^/?#@]*:[^/?#]*@")


@dataclass(frozen=True, slots=True)
class StorageURL:
    """A storage URL, taken apart.

    Attributes:
        scheme: Lower case, such as `s3`.
        bucket: What stands between `//` and the next slash; empty for `file`.
        prefix: The rest of the path without slashes at its ends; for `file`
            the absolute path of the folder.
        parameters: The URL's parameters. Their values may be secrets, so they
            are in no repr.
    """

    scheme: str
    bucket: str
    prefix: str
    parameters: Mapping[str, str] = field(default_factory=dict, repr=False)


def parse_url(url: str | os.PathLike[str]) -> StorageURL:
    """Takes a storage URL or a local path apart.

    Args:
        url: `scheme://bucket/prefix?name=value`, or a path, absolute, relative
            or starting with `~`. A path is taken as it is; in a URL, `%20` is
            a space.

    Raises:
        InvalidURLError: It cannot be understood, or it carries credentials, a
            fragment, a parameter twice or a malformed escape. The message never
            repeats a credential.
    """
    text = os.fspath(url)
    if not isinstance(text, str):
        raise InvalidURLError(f"A storage URL is text, not {type(text).__name__}")
    scheme = None if isinstance(url, os.PathLike) else _SCHEME.match(text)
    if scheme is None:
        return _local_path(text)
    parts = _split(text)
    parameters = _parameters(parts.query, text)
    if parts.scheme == "file":
        return StorageURL("file", "", _file_path(parts, text), parameters)
    if not text[scheme.end() :].startswith("//"):
        raise InvalidURLError(
            f"{redact(text)!r} lacks '//' after {scheme.group()!r}: write "
            f"{parts.scheme}://bucket/prefix, or ./{redact(text)} for a local folder"
        )
    bucket = unquote(parts.netloc, errors="strict")
    return StorageURL(parts.scheme, bucket, _prefix(parts.path, text), parameters)


def has_credentials(url: str) -> bool:
    """Whether a URL has a user name or password before its host."""
    return "@" in url and re.match(_CREDENTIALS, url) is not None


def redact(url: str) -> str:
    """The URL without parameters, fragment and anything that could be a password."""
    if has_credentials(url):
        url = url.split("://", 1)[0] + "://***@" + url[url.rindex("@") + 1 :]
    return re.split(r"[?#]", url, maxsplit=1)[0]


def below(url: str, folder: str) -> str:
    """The URL of a folder below a URL, or path, with the same parameters.

    Args:
        url: A storage URL or a local path.
        folder: The folder's name.
    """
    if _SCHEME.match(url) is None:
        return os.path.join(url, folder)
    place, mark, parameters = url.partition("?")
    return f"{place.rstrip('/')}/{folder}{mark}{parameters}"


def canonical_url(scheme: str, bucket: str, prefix: str, identity: Mapping[str, str]) -> str:
    """The one spelling of a place: no parameter but those that are part of its address.

    Args:
        scheme: Lower-case scheme.
        bucket: The bucket, empty for `file`.
        prefix: As in `StorageURL`.
        identity: The parameters that make it another place, such as an endpoint.

    Raises:
        InvalidOptionError: An address among them carries what may be a secret.
    """
    for name, value in identity.items():
        if has_credentials(value) or _SHOWS_TOO_MUCH.match(value):
            raise InvalidOptionError(
                f"Option {name!r} is part of every location that is shown: leave out its user "
                "and password, and what follows '?' or '#'"
            )
    path = "/".join(part for part in (quote(bucket, safe=""), quote(prefix)) if part)
    query = "&".join(f"{name}={quote(identity[name], safe='/:')}" for name in sorted(identity))
    return f"{scheme}://{path}" + (f"?{query}" if query else "")


def _local_path(path: str) -> StorageURL:
    if not path:
        raise InvalidURLError("A storage URL is empty: write a path, or scheme://bucket/prefix")
    if "://" in path:
        raise InvalidURLError(f"{redact(path)!r} does not start with a scheme such as s3://")
    if "\0" in path:
        raise InvalidURLError("A path holds a NUL character")
    return StorageURL("file", "", os.path.abspath(os.path.expanduser(path)))


def _split(text: str) -> SplitResult:
    shown = redact(text)
    if has_credentials(text):
        raise InvalidURLError(
            f"{shown!r} carries a user name or password. Leave it out: credentials come from "
            "where the provider's own tools look, such as the environment or a profile"
        )
    if "#" in text:
        raise InvalidURLError(
            f"{shown!r} has a fragment ('#…'), which means nothing here: leave it out, or "
            "write %23 where a name holds '#'"
        )
    if _has_control(text):
        raise InvalidURLError(f"{shown!r} holds a control character")
    if "%" in text and re.search(r"%(?![0-9A-Fa-f]{2})", text):
        raise InvalidURLError(
            f"{shown!r} has a '%' that two hexadecimal digits do not follow: write %25 for a "
            "'%' of a name"
        )
    try:
        unquote(text, errors="strict")
        return urlsplit(text)
    except ValueError as exc:
        raise InvalidURLError(
            f"{shown!r} is not a URL: its escapes are not UTF-8, or its brackets do not match"
        ) from exc


def _parameters(query: str, text: str) -> dict[str, str]:
    shown = redact(text)
    found: dict[str, str] = {}
    for pair in query.split("&") if query else ():
        if not re.match(r"[^=]+=", pair):
            raise InvalidURLError(f"{shown!r} has a parameter that is not name=value")
        ((name, value),) = parse_qsl(pair, keep_blank_values=True, separator="&")
        if name in found:
            raise InvalidURLError(f"{shown!r} has the parameter {name!r} twice")
        found[name] = value
    return found


def _prefix(path: str, text: str) -> str:
    prefix = unquote(path, errors="strict").strip("/")
    if _has_control(prefix):
        raise InvalidURLError(f"{redact(text)!r} holds a control character")
    if prefix and not {"", ".", ".."}.isdisjoint(prefix.split("/")):
        raise InvalidURLError(
            f"{redact(text)!r} has an empty, '.' or '..' part in its prefix: write the prefix "
            "as it is in the bucket"
        )
    return prefix


def _has_control(text: str) -> bool:
    return any(letter < " " or letter == "\x7f" for letter in text)


def _file_path(parts: SplitResult, text: str) -> str:
    path = unquote(parts.path, errors="strict")
    if parts.netloc.startswith(("~", ".")):
        path = unquote(parts.netloc) + path
    elif parts.netloc not in ("", "localhost"):
        raise InvalidURLError(
            f"{redact(text)!r} names the host {parts.netloc!r}; a local folder has three "
            f"slashes: file:///{redact(text).split('://', 1)[1]}, or is a plain path"
        )
    if not path:
        raise InvalidURLError(f"{redact(text)!r} names no folder: write file:///path/to/folder")
    return _local_path(path).prefix
