"""The same work done by this project and by its rivals, each as its own users would write it.

It runs in the Python that has the client, so it imports the standard library only; what a
client needs is imported when one is opened.
"""

from __future__ import annotations

import hashlib
import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final, TypeVar

__all__ = ["CLIENTS", "WIDTH", "Client", "Where"]

T = TypeVar("T")
R = TypeVar("R")

WIDTH: Final = 32
"""Requests in flight, of every client that can be told."""

_PIECE: Final = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Where:
    """A place for objects.

    Attributes:
        endpoint: The server's URL.
        bucket: The bucket's name.
        prefix: What all keys start with, without a slash at its end.
    """

    endpoint: str
    bucket: str
    prefix: str


class Client(ABC):
    """What is measured.

    Small objects have whatever names the client gives them. Files are stored, and found,
    under their digests where this project keeps them, so that each can read the others'.
    """

    def __init__(self, where: Where) -> None:
        self._where = where
        self._numbers = itertools.count()

    @abstractmethod
    def put_many(self, bodies: Sequence[bytes]) -> list[str]:
        """Stores bodies and returns their names, in order."""

    @abstractmethod
    def get_many(self, names: Sequence[str]) -> list[bytes]:
        """Reads objects, in order."""

    @abstractmethod
    def names(self) -> list[str]:
        """The names of all objects under the prefix."""

    @abstractmethod
    def exists_many(self, digests: Sequence[str]) -> list[bool]:
        """Whether files are there, in order."""

    @abstractmethod
    def put_file(self, path: str) -> str:
        """Hashes a file, stores it and returns its digest."""

    @abstractmethod
    def get_file(self, digest: str, path: str) -> None:
        """Reads an object into a file, and verifies it unless it is the client's way not to."""

    @abstractmethod
    def read_part(self, digest: str, start: int, size: int) -> bytes:
        """Reads a part of an object, through an open file where the client has such."""

    def _new_keys(self, bodies: Sequence[bytes]) -> list[str]:
        """Keys in 256 folders, as this project's are, so that a server has the same work."""
        numbers = itertools.islice(self._numbers, len(bodies))
        return [f"{self._where.prefix}/{number % 256:02x}/{number}" for number in numbers]

    def _key(self, digest: str) -> str:
        digits = digest.removeprefix("sha256:")
        return f"{self._where.prefix}/sha256/{digits[:2]}/{digits}"


class Ours(Client):
    """This project's `ObjectStore`."""

    def __init__(self, where: Where) -> None:
        super().__init__(where)
        from devqubit.storage import create_store

        self._store = create_store(
            f"s3://{where.bucket}/{where.prefix}",
            endpoint_url=where.endpoint,
            region="us-east-1",
            max_concurrency=WIDTH,
        )

    def put_many(self, bodies: Sequence[bytes]) -> list[str]:
        return [_right(digest) for digest in self._store.put_many(bodies)]

    def get_many(self, names: Sequence[str]) -> list[bytes]:
        return [_right(body) for _, body in self._store.get_many(names)]

    def names(self) -> list[str]:
        return list(self._store.list_digests())

    def exists_many(self, digests: Sequence[str]) -> list[bool]:
        return [_right(there) for _, there in self._store.exists_many(digests)]

    def put_file(self, path: str) -> str:
        return self._store.put_file(path)

    def get_file(self, digest: str, path: str) -> None:
        self._store.get_file(digest, path)

    def read_part(self, digest: str, start: int, size: int) -> bytes:
        with self._store.open(digest) as file:
            file.seek(start)
            return file.read(size)


class Boto3(Client):
    """boto3 with its defaults, its calls made in a pool of threads of the same width."""

    settings: Mapping[str, Any] = {}

    def __init__(self, where: Where) -> None:
        super().__init__(where)
        import boto3
        from botocore.config import Config

        config = Config(max_pool_connections=WIDTH, **self.settings)
        self._s3 = boto3.client("s3", endpoint_url=where.endpoint, config=config)

    def put_many(self, bodies: Sequence[bytes]) -> list[str]:
        keys = self._new_keys(bodies)

        def put(key: str, body: bytes) -> None:
            self._s3.put_object(Bucket=self._where.bucket, Key=key, Body=body)

        with ThreadPoolExecutor(WIDTH) as pool:
            list(pool.map(put, keys, bodies))
        return keys

    def get_many(self, names: Sequence[str]) -> list[bytes]:
        def get(key: str) -> bytes:
            body: bytes = self._s3.get_object(Bucket=self._where.bucket, Key=key)["Body"].read()
            return body

        return _in_threads(get, names)

    def names(self) -> list[str]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(
            Bucket=self._where.bucket, Prefix=f"{self._where.prefix}/"
        )
        return [item["Key"] for page in pages for item in page.get("Contents", ())]

    def exists_many(self, digests: Sequence[str]) -> list[bool]:
        from botocore.exceptions import ClientError

        def exists(digest: str) -> bool:
            try:
                self._s3.head_object(Bucket=self._where.bucket, Key=self._key(digest))
            except ClientError:
                return False
            return True

        return _in_threads(exists, digests)

    def put_file(self, path: str) -> str:
        digest = _digest(path)
        self._s3.upload_file(path, self._where.bucket, self._key(digest))
        return digest

    def get_file(self, digest: str, path: str) -> None:
        self._s3.download_file(self._where.bucket, self._key(digest), path)
        _verify(_digest(path), digest)

    def read_part(self, digest: str, start: int, size: int) -> bytes:
        part = f"bytes={start}-{start + size - 1}"
        key = self._key(digest)
        answer = self._s3.get_object(Bucket=self._where.bucket, Key=key, Range=part)
        body: bytes = answer["Body"].read()
        return body


class LeanBoto3(Boto3):
    """boto3 told to send no CRC32, as this project tells it on servers that are not AWS."""

    settings: Mapping[str, Any] = {
        "request_checksum_calculation": "when_required",
        "response_checksum_validation": "when_required",
    }


class Obstore(Client):
    """obstore, a client written in Rust, in a pool of threads of the same width."""

    def __init__(self, where: Where) -> None:
        super().__init__(where)
        # By name, because the checkers of types have no rivals installed.
        self._obstore = import_module("obstore")
        provider = import_module("obstore.auth.boto3").Boto3CredentialProvider
        self._s3 = import_module("obstore.store").S3Store(
            where.bucket,
            endpoint=where.endpoint,
            region="us-east-1",
            credential_provider=provider(),
            client_options={"allow_http": True},
        )

    def put_many(self, bodies: Sequence[bytes]) -> list[str]:
        keys = self._new_keys(bodies)

        def put(key: str, body: bytes) -> None:
            self._obstore.put(self._s3, key, body)

        with ThreadPoolExecutor(WIDTH) as pool:
            list(pool.map(put, keys, bodies))
        return keys

    def get_many(self, names: Sequence[str]) -> list[bytes]:
        return _in_threads(lambda key: bytes(self._obstore.get(self._s3, key).bytes()), names)

    def names(self) -> list[str]:
        pages = self._obstore.list(self._s3, f"{self._where.prefix}/", chunk_size=1000)
        return [item["path"] for page in pages for item in page]

    def exists_many(self, digests: Sequence[str]) -> list[bool]:
        def exists(digest: str) -> bool:
            try:
                self._obstore.head(self._s3, self._key(digest))
            except FileNotFoundError:
                return False
            return True

        return _in_threads(exists, digests)

    def put_file(self, path: str) -> str:
        digest = _digest(path)
        with open(path, "rb") as file:
            self._obstore.put(self._s3, self._key(digest), file)
        return digest

    def get_file(self, digest: str, path: str) -> None:
        found = hashlib.sha256()
        answer = self._obstore.get(self._s3, self._key(digest))
        with open(path, "wb") as file:
            for piece in answer.stream(min_chunk_size=_PIECE):
                found.update(piece)
                file.write(piece)
        _verify("sha256:" + found.hexdigest(), digest)

    def read_part(self, digest: str, start: int, size: int) -> bytes:
        file = self._obstore.open_reader(self._s3, self._key(digest))
        file.seek(start)
        return bytes(file.read(size))


class S3fs(Client):
    """The file system of fsspec for S3."""

    def __init__(self, where: Where) -> None:
        super().__init__(where)
        self._fs = import_module("s3fs").S3FileSystem(
            endpoint_url=where.endpoint,
            config_kwargs={"max_pool_connections": WIDTH},
            use_listings_cache=False,
        )

    def put_many(self, bodies: Sequence[bytes]) -> list[str]:
        paths = [f"{self._where.bucket}/{key}" for key in self._new_keys(bodies)]
        self._fs.pipe(dict(zip(paths, bodies, strict=True)), batch_size=WIDTH)
        return paths

    def get_many(self, names: Sequence[str]) -> list[bytes]:
        found = self._fs.cat(names, batch_size=WIDTH)
        return [found[name] for name in names]

    def names(self) -> list[str]:
        return list(self._fs.find(f"{self._where.bucket}/{self._where.prefix}"))

    def exists_many(self, digests: Sequence[str]) -> list[bool]:
        return [self._fs.exists(self._path(digest)) for digest in digests]

    def put_file(self, path: str) -> str:
        digest = _digest(path)
        self._fs.put_file(path, self._path(digest))
        return digest

    def get_file(self, digest: str, path: str) -> None:
        self._fs.get_file(self._path(digest), path)
        _verify(_digest(path), digest)

    def read_part(self, digest: str, start: int, size: int) -> bytes:
        with self._fs.open(self._path(digest)) as file:
            file.seek(start)
            return bytes(file.read(size))

    def _path(self, digest: str) -> str:
        return f"{self._where.bucket}/{self._key(digest)}"


class Engine(Client):
    """`S3Store` of devqubit-engine 0.1.12, which puts and gets one at a time, and bytes only."""

    def __init__(self, where: Where) -> None:
        super().__init__(where)
        module = import_module("devqubit_engine.storage.backends.s3")
        self._store = module.S3Store(
            where.bucket, where.prefix, region="us-east-1", endpoint_url=where.endpoint
        )

    def put_many(self, bodies: Sequence[bytes]) -> list[str]:
        return [self._store.put_bytes(body) for body in bodies]

    def get_many(self, names: Sequence[str]) -> list[bytes]:
        return [self._store.get_bytes(name) for name in names]

    def names(self) -> list[str]:
        return list(self._store.list_digests())

    def exists_many(self, digests: Sequence[str]) -> list[bool]:
        return [self._store.exists(digest) for digest in digests]

    def put_file(self, path: str) -> str:
        with open(path, "rb") as file:
            return str(self._store.put_bytes(file.read()))

    def get_file(self, digest: str, path: str) -> None:
        with open(path, "wb") as file:
            file.write(self._store.get_bytes(digest))

    def read_part(self, digest: str, start: int, size: int) -> bytes:
        return bytes(self._store.get_bytes(digest)[start : start + size])


CLIENTS: Final[Mapping[str, type[Client]]] = {
    client.__name__: client for client in (Ours, Boto3, LeanBoto3, Obstore, S3fs, Engine)
}
"""By the names that they have on a command line."""


def _in_threads(call: Callable[[T], R], items: Iterable[T]) -> list[R]:
    with ThreadPoolExecutor(WIDTH) as pool:
        return list(pool.map(call, items))


def _right(outcome: T | Exception) -> T:
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def _digest(path: str) -> str:
    with open(path, "rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def _verify(actual: str, digest: str) -> None:
    if actual != digest:
        raise ValueError(f"{digest} was read as {actual}: nothing to measure here")
