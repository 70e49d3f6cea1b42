"""What a Cloud Storage service holds: buckets, objects and uploads under way.

Every change is made under one lock, so that of racing writers with the same
precondition exactly one wins.
"""

from __future__ import annotations

import base64
import secrets
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from tests.servers.gcs_objects import (
    WRITABLE,
    ApiError,
    Preconditions,
    Query,
    StoredObject,
    check_checksums,
    check_name,
    number,
)

__all__ = ["Page", "Session", "Storage"]

PAGE_LIMIT: Final = 1_000
CHUNK: Final = 256 * 1024
# Sorts behind every name of a group, so that a token names the group and all in it.
LAST: Final = "\U0010ffff"


@dataclass
class Session:
    """A resumable upload under way."""

    bucket: str
    name: str
    properties: dict[str, Any]
    preconditions: Preconditions
    checksums: dict[str, str]
    id: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    data: bytearray = field(default_factory=bytearray)
    finished: StoredObject | None = None


@dataclass(frozen=True)
class Page:
    """A page of a listing."""

    items: list[StoredObject]
    prefixes: list[str]
    next_token: str | None


@dataclass
class _Bucket:
    created: datetime
    objects: dict[str, StoredObject] = field(default_factory=dict)


class Storage:
    """The buckets of the service. Safe in threads."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._buckets: dict[str, _Bucket] = {}
        self._sessions: dict[str, Session] = {}
        self._last_generation = 0

    def create_bucket(self, name: str) -> None:
        """Makes an empty bucket, or raises 409."""
        with self.lock:
            if name in self._buckets:
                message = "Your previous request to create the named bucket succeeded and you "
                raise ApiError(409, message + "already own it.", "conflict")
            self._buckets[name] = _Bucket(_now())

    def delete_bucket(self, name: str) -> None:
        """Deletes a bucket, if it is empty."""
        with self.lock:
            if self.objects(name):
                raise ApiError(409, "The bucket you tried to delete is not empty.", "conflict")
            del self._buckets[name]

    def buckets(self) -> dict[str, datetime]:
        """Names and times of creation."""
        with self.lock:
            return {name: bucket.created for name, bucket in sorted(self._buckets.items())}

    def created(self, bucket: str) -> datetime:
        """When a bucket was made, or 404."""
        with self.lock:
            self.objects(bucket)
            return self._buckets[bucket].created

    def objects(self, bucket: str) -> dict[str, StoredObject]:
        """The objects of a bucket themselves, not a copy."""
        with self.lock:
            if bucket not in self._buckets:
                raise ApiError(404, "The specified bucket does not exist.", "notFound")
            return self._buckets[bucket].objects

    def get(
        self,
        bucket: str,
        name: str,
        query: Query,
        preconditions: Preconditions | None = None,
        *,
        reading: bool = True,
    ) -> StoredObject:
        """An object of which the preconditions hold.

        Args:
            bucket: Its bucket.
            name: Its name.
            query: `generation` asks for one state of it.
            preconditions: Those of the query by default.
            reading: Whether the request changes nothing.
        """
        wanted = number(query, "generation")
        with self.lock:
            found = self.objects(bucket).get(name)
            if found is None or wanted not in (None, found.generation):
                raise ApiError(404, f"No such object: {bucket}/{name}", "notFound")
            (preconditions or Preconditions.of(query)).check(found, reading=reading)
            return found

    def insert(
        self,
        bucket: str,
        name: str,
        data: bytes,
        properties: Mapping[str, Any],
        preconditions: Preconditions,
        checksums: Mapping[str, str] | None = None,
    ) -> StoredObject:
        """Writes an object whole, as a new generation.

        Args:
            bucket: Its bucket.
            name: Its name.
            data: Its bytes.
            properties: What else is known of it, by the names of the JSON API.
            preconditions: Checked against what is there, in the same moment.
            checksums: `crc32c` and `md5Hash` as the client computed them.
        """
        check_name(name)
        with self.lock:
            objects = self.objects(bucket)
            preconditions.check(objects.get(name))
            now = _now()
            kept = {key: properties[key] for key in (*WRITABLE, "kmsKeyName") if key in properties}
            new = StoredObject(name, data, self._next_generation(), now, now, properties=kept)
            check_checksums(new, checksums or {})
            objects[name] = new
            return new

    def patch(
        self, bucket: str, name: str, query: Query, changes: Mapping[str, Any]
    ) -> StoredObject:
        """Changes properties of an object; null takes one away."""
        with self.lock:
            found = self.get(bucket, name, query, reading=False)
            properties = dict(found.properties)
            for key in set(WRITABLE) & set(changes):
                properties[key] = _merged(properties.get(key), changes[key])
            new = replace(
                found,
                properties={key: value for key, value in properties.items() if value is not None},
                metageneration=found.metageneration + 1,
                updated=_now(),
            )
            self.objects(bucket)[name] = new
            return new

    def delete(self, bucket: str, name: str, query: Query) -> None:
        """Deletes an object."""
        with self.lock:
            self.get(bucket, name, query, reading=False)
            del self.objects(bucket)[name]

    def copy(
        self,
        source: tuple[str, str],
        target: tuple[str, str],
        query: Query,
        properties: Mapping[str, Any],
    ) -> StoredObject:
        """Copies an object; the properties replace the source's, if there are any."""
        with self.lock:
            given = query.get("sourceGeneration")
            asked = {"generation": given} if given else {}
            found = self.get(*source, asked, Preconditions.of(query, "ifSource"))
            kept = dict(properties) or found.properties
            return self.insert(*target, found.data, kept, Preconditions.of(query))

    def compose(
        self,
        target: tuple[str, str],
        sources: Iterable[Mapping[str, Any]],
        query: Query,
        properties: Mapping[str, Any],
    ) -> StoredObject:
        """Joins objects of a bucket into one, which has no MD5."""
        with self.lock:
            parts = []
            for source in sources:
                asked = {"generation": str(source["generation"])} if "generation" in source else {}
                expected = Preconditions.of(
                    {k: str(v) for k, v in source.get("objectPreconditions", {}).items()}
                )
                parts.append(self.get(target[0], source["name"], asked, expected).data)
            new = self.insert(*target, b"".join(parts), properties, Preconditions.of(query))
            new.composite = True
            return new

    def page(self, bucket: str, query: Query) -> Page:
        """A page of a listing, in the order of the names' bytes."""
        limit = min(number(query, "maxResults") or PAGE_LIMIT, PAGE_LIMIT)
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        start, end = query.get("startOffset", ""), query.get("endOffset")
        after = _token_name(query.get("pageToken", ""))
        items: list[StoredObject] = []
        prefixes: list[str] = []
        with self.lock:
            objects = self.objects(bucket)
            for name in sorted(objects):
                if not name.startswith(prefix) or name < start or (end and name >= end):
                    continue
                if name <= after:
                    continue
                if len(items) + len(prefixes) == limit:
                    return Page(items, prefixes, _token(after))
                cut = name.find(delimiter, len(prefix)) if delimiter else -1
                if cut < 0:
                    items.append(objects[name])
                    after = name
                else:
                    prefixes.append(name[: cut + len(delimiter)])
                    after = prefixes[-1] + LAST
        return Page(items, prefixes, None)

    def start_session(self, session: Session) -> None:
        """Begins a resumable upload; the preconditions are checked now and at its end."""
        check_name(session.name)
        with self.lock:
            session.preconditions.check(self.objects(session.bucket).get(session.name))
            self._sessions[session.id] = session

    def session(self, upload_id: str) -> Session:
        """A resumable upload, under way or finished."""
        with self.lock:
            if upload_id not in self._sessions:
                raise ApiError(404, "Not Found", "notFound")
            return self._sessions[upload_id]

    def cancel_session(self, upload_id: str) -> None:
        """Gives an upload up."""
        with self.lock:
            del self._sessions[self.session(upload_id).id]

    def continue_session(
        self, session: Session, start: int | None, data: bytes, total: int | None
    ) -> StoredObject | None:
        """Takes bytes of a resumable upload.

        Args:
            session: The upload.
            start: Where in the object they begin; what is known already is passed over.
                None if there are none, and the client only asks.
            data: The bytes.
            total: The object's size, None if the client does not know yet.

        Returns:
            The object once it is whole.
        """
        with self.lock:
            known = len(session.data)
            if session.finished is not None or (start is None and total != known):
                return session.finished
            if start is not None:
                if start > known or (total is None and len(data) < CHUNK):
                    raise ApiError(400, "Invalid request.", "badRequest")
                session.data += data[known - start :]
            if total is None or len(session.data) < total:
                # Only whole multiples are kept until the last bytes are there.
                del session.data[len(session.data) // CHUNK * CHUNK :]
                return None
            session.finished = self._finish(session)
            return session.finished

    def _finish(self, session: Session) -> StoredObject:
        return self.insert(
            session.bucket,
            session.name,
            bytes(session.data),
            session.properties,
            session.preconditions,
            session.checksums,
        )

    def _next_generation(self) -> int:
        self._last_generation = max(self._last_generation + 1, time.time_ns() // 1_000)
        return self._last_generation


def _merged(old: Any, new: Any) -> Any:
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    return {key: value for key, value in {**old, **new}.items() if value is not None}


def _token(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode()


def _token_name(token: str) -> str:
    try:
        return base64.urlsafe_b64decode(token.encode()).decode()
    except ValueError:
        raise ApiError(400, "Invalid page token.", "invalid", "pageToken") from None


def _now() -> datetime:
    return datetime.now(UTC)
