"""Everything devqubit raises on purpose.

```
DevQubitError
├── InvalidArgumentError (ValueError)     what was typed cannot be meant
│   ├── InvalidURLError                   a storage URL
│   ├── InvalidOptionError                a URL parameter or keyword option
│   ├── InvalidDigestError                not "sha256:" and 64 lower-case hex digits
│   ├── InvalidNameError                  a run id or project name
│   ├── QueryParseError                   a query of search_runs
│   └── InvalidRecordError                a run record, refused before anything is written
├── PluginError                           finding the backend of a scheme
│   ├── UnknownSchemeError                nobody serves it: a typo, or not installed
│   ├── SchemeConflictError               more than one distribution serves it
│   ├── PluginLoadError                   installed, but broken
│   └── PluginVersionError                installed, but made for another core
└── StorageError                          the storage itself
    ├── BlobNotFoundError                 no blob of that key
    ├── ObjectNotFoundError               no object of that digest
    ├── RunNotFoundError                  no run of that id
    ├── BucketNotFoundError               the bucket itself is missing
    ├── AccessDeniedError                 known, but not allowed
    ├── CredentialsError                  no credentials, or refused ones
    ├── ThrottledError                    still told to slow down after every retry
    ├── UnreachableError                  no answer within the deadline
    ├── StorageFullError                  no space, or quota used up
    ├── ConflictError                     somebody else was first
    ├── IntegrityError                    stored bytes do not match their digest
    ├── CorruptRecordError                a record in the bucket cannot be read
    ├── InvalidKeyError (ValueError)      a key that the backend cannot hold
    ├── UnsupportedError                  the backend cannot do that
    ├── UnsafePathError                   a symbolic link stands in the way
    └── BackendError                      any other answer of the backend
```
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "AccessDeniedError",
    "BackendError",
    "BlobNotFoundError",
    "BucketNotFoundError",
    "ConflictError",
    "CorruptRecordError",
    "CredentialsError",
    "DevQubitError",
    "IntegrityError",
    "InvalidArgumentError",
    "InvalidDigestError",
    "InvalidKeyError",
    "InvalidNameError",
    "InvalidOptionError",
    "InvalidRecordError",
    "InvalidURLError",
    "ObjectNotFoundError",
    "PluginError",
    "PluginLoadError",
    "PluginVersionError",
    "QueryParseError",
    "RunNotFoundError",
    "SchemeConflictError",
    "StorageError",
    "StorageFullError",
    "ThrottledError",
    "UnknownSchemeError",
    "UnreachableError",
    "UnsafePathError",
    "UnsupportedError",
]


def _rebuild(
    cls: type[DevQubitError], args: tuple[Any, ...], state: dict[str, Any]
) -> DevQubitError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class DevQubitError(Exception):
    """Base of everything devqubit raises on purpose; crosses process boundaries whole."""

    def __reduce__(self) -> tuple[Any, ...]:
        # The default calls the class with the finished message, which is not what
        # the classes with attributes of their own take.
        return _rebuild, (type(self), self.args, self.__dict__)


class InvalidArgumentError(DevQubitError, ValueError):
    """What was typed cannot be meant; nothing was read or written."""


class InvalidURLError(InvalidArgumentError):
    """A storage URL that cannot be understood, or that carries what it must not."""


class InvalidOptionError(InvalidArgumentError):
    """A URL parameter or keyword option that the backend does not take, or a bad value."""


class InvalidDigestError(InvalidArgumentError):
    """Not a canonical digest: `sha256:` and 64 lower-case hexadecimal digits."""


class InvalidNameError(InvalidArgumentError):
    """A run id or project name that cannot be stored."""


class InvalidRecordError(InvalidArgumentError):
    """A run record that is not a JSON document with a run id; nothing was written."""


class QueryParseError(InvalidArgumentError):
    """A query of `Registry.search_runs` that cannot be read: where, and what was expected."""


class PluginError(DevQubitError):
    """The backend of a scheme could not be found or used."""


class UnknownSchemeError(PluginError):
    """No backend serves the scheme: a typo, or its distribution is not installed."""


class SchemeConflictError(PluginError):
    """More than one distribution serves the scheme, and nothing says which to take."""


class PluginLoadError(PluginError):
    """The backend is installed but does not work: the cause is attached."""


class PluginVersionError(PluginError):
    """The backend was made for another version of the plugin interface."""


class StorageError(DevQubitError):
    """Storage could not do what was asked."""


class BlobNotFoundError(StorageError):
    """No blob of that key.

    Args:
        key: The key, relative to the bucket's prefix.
        location: The bucket's URL.
    """

    def __init__(self, key: str, location: str) -> None:
        self.key = key
        self.location = location
        super().__init__(f"Nothing is stored under {key!r} in {location}")


class ObjectNotFoundError(StorageError):
    """No object of that digest.

    Args:
        digest: The digest that was asked for.
    """

    def __init__(self, digest: str) -> None:
        self.digest = digest
        super().__init__(f"Object not found: {digest}")


class RunNotFoundError(StorageError):
    """No run of that id.

    Args:
        run_id: The id that was asked for.
    """

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        super().__init__(f"Run not found: {run_id}")


class BucketNotFoundError(StorageError):
    """The bucket that the URL names does not exist."""


class AccessDeniedError(StorageError):
    """The caller is known, but may not do this."""


class CredentialsError(StorageError):
    """There are no credentials, or the server refuses them."""


class ThrottledError(StorageError):
    """The server still asked to slow down after every retry."""


class UnreachableError(StorageError):
    """The server gave no answer, or only failures, within the deadline."""


class StorageFullError(StorageError):
    """No space is left, or a quota is used up; what was there before is untouched."""


class ConflictError(StorageError):
    """A conditional write or delete found another version than the expected one.

    Args:
        message: What was in conflict.
        expected: The version the caller relied on.
        actual: The version that is there, where it is known.
    """

    def __init__(
        self, message: str, *, expected: object | None = None, actual: object | None = None
    ) -> None:
        self.expected = expected
        self.actual = actual
        super().__init__(message)


class IntegrityError(StorageError):
    """Stored bytes do not match their digest; they are never returned.

    Args:
        digest: The digest that was asked for.
        actual: The digest of the bytes that are stored.
    """

    def __init__(self, digest: str, actual: str) -> None:
        self.digest = digest
        self.actual = actual
        super().__init__(
            f"The bytes stored for {digest} hash to {actual}: they were damaged after they "
            "were written. Store the original again, or delete the object"
        )


class CorruptRecordError(StorageError):
    """A record in the bucket cannot be read: truncated, not JSON, or not what its name says."""


class InvalidKeyError(StorageError, InvalidArgumentError):
    """A key that this backend cannot hold."""


class UnsupportedError(StorageError):
    """The backend, or the server behind it, cannot do what was asked."""


class UnsafePathError(StorageError):
    """A symbolic link stands in the way; links inside a store are not followed."""


class BackendError(StorageError):
    """Any answer of the backend that none of the other errors describes."""
