"""A bucket of S3, or of a server that speaks its protocol, as a `devqubit.plugin.Bucket`."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, BinaryIO, Final

from botocore.exceptions import IncompleteReadError

from devqubit.errors import (
    AccessDeniedError,
    BackendError,
    BlobNotFoundError,
    ConflictError,
    StorageError,
    UnsupportedError,
)
from devqubit.plugin import (
    ABSENT,
    WRITE_ID,
    Absent,
    Blob,
    BlobInfo,
    Bucket,
    Capabilities,
    ConditionalRequests,
    OpenRequest,
    RangeError,
    Retry,
    State,
    Version,
    delete_batches,
    each,
    read_range,
)
from devqubit_s3._client import Connector, custom_endpoint, identity
from devqubit_s3._errors import translated

__all__ = ["S3Bucket"]

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
_MAX_PARTS: Final = 10_000
_PART_SIZE: Final = 8 * 1024 * 1024
_PARTS_IN_FLIGHT: Final = 4
_DELETE_BATCH: Final = 1_000
_BATCHES_IN_FLIGHT: Final = 4


class S3Bucket(Bucket):
    """Blobs as objects under a prefix; a version is the object's ETag without its quotes.

    Args:
        request: The URL and its options.
    """

    def __init__(self, request: OpenRequest) -> None:
        options = request.options
        self.location = request.location
        self.max_concurrency = int(options.get("max_concurrency", self.max_concurrency))
        self._request = request
        self._retry = Retry.of(options)
        self._conditional = ConditionalRequests(self._retry)
        self._prefix = request.key_prefix
        payer = {"RequestPayer": "requester"} if options.get("requester_pays") else {}
        self._target: dict[str, Any] = {"Bucket": request.bucket, **payer}
        self._stored = {
            name: options[option]
            for name, option in (
                ("StorageClass", "storage_class"),
                ("ServerSideEncryption", "sse"),
                ("SSEKMSKeyId", "sse_kms_key_id"),
            )
            if option in options
        }
        self._quoted_etags: bool | None = None  # not known yet
        self._bucket_seen = False
        self._connector = Connector(request, self._retry, self.max_concurrency)
        endpoint = custom_endpoint(self._connector.get())
        if endpoint:
            self.location = request.location_with(endpoint_url=endpoint)
            self.capabilities = Capabilities(unproven=True)

    def read(self, key: str, *, start: int = 0, length: int | None = None) -> Blob:
        whole = start == 0 and length is None
        ranged = {} if whole else {"Range": f"bytes={start}-{_last(start, length)}"}

        def attempt(_: int) -> Blob:
            with translated(self.location, key):
                answer = self._connector.send("get_object", **self._object(key), **ranged)
                version = self._version(answer)
                self._conditional.seen(key, version, _write_ids(answer))
                if whole or "ContentRange" in answer:
                    return Blob(answer["Body"].read(), version)
                return Blob(_part(answer, start, length), version)

        return read_range(self, key, start, length, lambda: self._retry.call(attempt))

    def write(
        self, key: str, data: bytes, *, if_version: Version | Absent | None = None
    ) -> Version:
        if if_version is None:
            return self._version(self._call("put_object", key, Body=data, **self._stored))

        def send(write_ids: str) -> Version:
            arguments = {"Body": data, "Metadata": {WRITE_ID: write_ids}, **self._stored}
            return self._version(self._send_if("put_object", key, if_version, arguments))

        return self._conditional.write(key, if_version, send, lambda: self._state(key))

    def stat(self, key: str) -> BlobInfo:
        return self._head(key)[0]

    def delete(self, key: str, *, if_version: Version | None = None) -> bool:
        try:
            there = self.stat(key)
        except BlobNotFoundError:
            return False
        if if_version is None:
            self._call("delete_object", key)
            return True
        if there.version != if_version:  # also for servers that ignore the condition
            raise ConflictError(
                f"{key!r} was changed by somebody else", expected=if_version, actual=there.version
            )

        def send() -> None:
            self._send_if("delete_object", key, if_version, {})

        return self._conditional.delete(key, if_version, send, lambda: self._state(key))

    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[BlobInfo]:
        asked = {"Prefix": self._prefix + prefix}
        if start_after:
            asked["StartAfter"] = self._prefix + start_after
        first: Sequence[Any] = ()
        while True:
            page = self._call("list_objects_v2", **asked)
            more, items = self._required(page, "IsTruncated"), page.get("Contents", [])
            token = page.get("NextContinuationToken")
            again = token == asked.get("ContinuationToken") or (items and items[:1] == first)
            if more and (not token or again):
                raise BackendError(f"{self.location}: the server does not say how the list goes on")
            for item in items:
                key = item["Key"][len(self._prefix) :]
                # Some servers ignore StartAfter; consoles make "folders" that end in a slash.
                if key > start_after and not key.endswith("/"):
                    yield BlobInfo(key, item["Size"], self._version(item), item["LastModified"])
            if not more:
                return
            asked["ContinuationToken"], first = token, items[:1]

    def delete_many(self, keys: Iterable[str]) -> Iterator[tuple[str, StorageError | None]]:
        return delete_batches(
            keys, self._delete_batch, size=_DELETE_BATCH, width=_BATCHES_IN_FLIGHT
        )

    def upload(self, key: str, fileobj: BinaryIO, size: int) -> Version:
        if size <= _PART_SIZE:
            return super().upload(key, fileobj, size)
        write_id = secrets.token_hex(4)
        stored = {"Metadata": {WRITE_ID: write_id}, **self._stored}
        created = self._call("create_multipart_upload", key, **stored)
        upload_id = self._required(created, "UploadId")
        try:
            parts = self._upload_parts(key, upload_id, fileobj, size)
            return self._complete(key, upload_id, parts, write_id)
        except BaseException:
            with suppress(StorageError):  # the first error says more
                self._call("abort_multipart_upload", key, UploadId=upload_id)
            raise

    def presigned_url(self, key: str, *, expires: int) -> str:
        if self._request.options.get("anonymous"):
            raise UnsupportedError(
                f"{self.location}: a link is signed, and anonymous=true signs nothing: leave it out"
            )
        with translated(self.location, key):
            asked = {"Params": self._object(key), "ExpiresIn": expires}
            return str(self._connector.get().generate_presigned_url("get_object", **asked))

    def sweep(self, before: datetime) -> int:
        swept, asked = 0, {"Prefix": self._prefix}
        while True:
            page = self._call("list_multipart_uploads", **asked)
            for upload in page.get("Uploads", ()):
                if upload["Initiated"] < before:
                    key = upload["Key"][len(self._prefix) :]
                    self._call("abort_multipart_upload", key, UploadId=upload["UploadId"])
                    swept += 1
            if not page.get("IsTruncated"):
                return swept
            asked["KeyMarker"] = page["NextKeyMarker"]
            asked["UploadIdMarker"] = page["NextUploadIdMarker"]

    def describe(self) -> Mapping[str, str]:
        found = {"identity": identity(self._request.options)}
        try:
            answer = self._call("get_bucket_versioning")
            found["versioning"] = answer.get("Status", "off")
        except StorageError as exc:
            found["versioning"] = f"not known: {exc}"
        return {**found, "conditional delete": self._conditional_delete()}

    def close(self) -> None:
        self._connector.close()

    def _conditional_delete(self) -> str:
        """What the server makes of If-Match on DELETE, tried where nothing is.

        `delete` compares versions itself, too, so that nobody could tell from it.
        """
        try:
            with translated(self.location):
                key = self._object(f"_doctor/{secrets.token_hex(8)}")
                self._connector.send("delete_object", **key, IfMatch=f'"{"0" * 32}"')
        except (BlobNotFoundError, ConflictError):
            return "honoured"
        except UnsupportedError:
            return "refused by the server: delete(if_version=) and prune do not work here"
        except StorageError as exc:
            return f"not known: {exc}"
        return "passed over by the server: versions are compared here, just before a delete"

    def _object(self, key: str) -> dict[str, Any]:
        return {**self._target, "Key": self._prefix + key}

    def _call(self, operation: str, key: str | None = None, **arguments: Any) -> Any:
        target = self._target if key is None else self._object(key)

        def attempt(_: int) -> Any:
            with translated(self.location, key or ""):
                return self._connector.send(operation, **target, **arguments)

        return self._retry.call(attempt)

    def _head(self, key: str) -> tuple[BlobInfo, str | None]:
        try:
            answer = self._call("head_object", key)
        except BlobNotFoundError:
            if not self._bucket_seen:
                self._explain(key)
            raise
        except (AccessDeniedError, BackendError):
            self._explain(key)
            # Credentials may have expired, which that GET was told, and renewed them.
            answer = self._call("head_object", key)
        self._bucket_seen = True
        version = self._version(answer)
        info = BlobInfo(key, answer["ContentLength"], version, answer["LastModified"])
        return info, _write_ids(answer)

    def _required(self, answer: Mapping[str, Any], field: str) -> Any:
        """What every S3 server says, but no web page that stands in its place."""
        if field not in answer:
            raise BackendError(
                f"{self.location}: what answers is no S3 server, it gives no {field}: check "
                "endpoint_url"
            )
        return answer[field]

    def _version(self, answer: Mapping[str, Any]) -> Version:
        # Servers differ in whether they quote it, and where.
        return Version(self._required(answer, "ETag").strip('"'))

    def _explain(self, key: str) -> None:
        """Raises what a failed HEAD meant: it has no body, as that of a GET has."""
        try:
            self._call("get_object", key, Range="bytes=0-0")
        except BlobNotFoundError:
            self._bucket_seen = True
        except RangeError:
            pass

    def _state(self, key: str) -> State:
        try:
            info, write_ids = self._head(key)
        except BlobNotFoundError:
            return ABSENT, None
        return info.version, write_ids

    def _send_if(
        self, operation: str, key: str, expected: Version | Absent, arguments: dict[str, Any]
    ) -> Any:
        """Sends one request with a condition, with its ETag in quotes as the standard has it.

        Some servers compare ETags without quotes. Until a condition has held, a refused
        one may mean that: then the blob has the very version that was asked for.
        """
        quoted = self._quoted_etags
        condition = {"IfNoneMatch": "*"} if expected is ABSENT else {"IfMatch": str(expected)}
        if expected is not ABSENT and quoted is not False:
            condition = {"IfMatch": f'"{expected}"'}
        try:
            with translated(self.location, key):
                asked = {**self._object(key), **condition, **arguments}
                answer = self._connector.send(operation, **asked)
        except ConflictError:
            if expected is ABSENT or quoted is not None or self._state(key)[0] != expected:
                raise
            self._quoted_etags = False
            return self._send_if(operation, key, expected, arguments)
        if expected is not ABSENT and quoted is None:
            self._quoted_etags = True
        return answer

    def _delete_batch(self, keys: tuple[str, ...]) -> dict[str, StorageError | None]:
        """Deletes keys in one request; those of which it does not say so, one by one."""
        names = {self._prefix + key: key for key in keys}
        try:
            objects = [{"Key": name} for name in names]
            answer = self._call("delete_objects", Delete={"Objects": objects})
        except (BackendError, UnsupportedError):
            answer = {}  # some servers have no batches, or want a checksum that boto3 gave up
        deleted = {item.get("Key") for item in answer.get("Deleted", ())}
        return dict(super().delete_many(k for name, k in names.items() if name not in deleted))

    def _complete(
        self, key: str, upload_id: str, parts: Sequence[dict[str, Any]], write_id: str
    ) -> Version:
        whole = {"UploadId": upload_id, "MultipartUpload": {"Parts": parts}}
        try:
            answer = self._call("complete_multipart_upload", key, **whole)
        except BackendError:
            # There may be no such upload since an attempt before completed it, unacknowledged.
            version, found_id = self._state(key)
            if version is ABSENT or found_id != write_id:
                raise
            return version
        # Ceph completes with an empty ETag.
        return self._version(answer) if answer.get("ETag") else self.stat(key).version

    def _upload_parts(
        self, key: str, upload_id: str, fileobj: BinaryIO, size: int
    ) -> Sequence[dict[str, Any]]:
        part_size = max(_PART_SIZE, -(-size // _MAX_PARTS))
        failed: list[BaseException] = []
        read: dict[int, bytes] = {}  # what is sent is held no longer

        def parts() -> Iterator[int]:
            for number, start in enumerate(range(0, size, part_size), 1):
                if failed:
                    return
                wanted = min(part_size, size - start)
                try:
                    read[number] = fileobj.read(wanted)
                    if len(read[number]) != wanted:
                        raise StorageError(f"{key!r}: the file has fewer than {size} bytes")
                except BaseException as exc:
                    failed.append(exc)
                    return
                yield number

        def send(number: int) -> dict[str, Any]:
            part = {"UploadId": upload_id, "PartNumber": number, "Body": read.pop(number)}
            answer = self._call("upload_part", key, **part)
            return {"PartNumber": number, "ETag": answer["ETag"]}

        done = []
        width = _PARTS_IN_FLIGHT
        for _, outcome in each(parts(), send, width=width, held=width + 1):
            if isinstance(outcome, StorageError):
                failed.append(outcome)
            else:
                done.append(outcome)
        # Only when no part is on its way any more can the upload be given up for good.
        if failed:
            raise failed[0]
        return done


def _write_ids(answer: Mapping[str, Any]) -> str | None:
    """The `WRITE_ID` of an answer: some servers change the case of names."""
    metadata = answer.get("Metadata", {})
    return next((metadata[name] for name in metadata if name.lower() == WRITE_ID), None)


def _part(answer: Any, start: int, length: int | None) -> bytes:
    """A part of the whole, which is what a server sends that does not know ranges."""
    body = answer["Body"]
    if length is None:
        return bytes(body.read()[start:])
    data = bytes(body.read(start + length))
    body.close()
    expected = min(start + length, answer.get("ContentLength", 0))
    if len(data) < expected:  # botocore notices only when it reads to the end
        raise IncompleteReadError(actual_bytes=len(data), expected_bytes=expected)
    return data[start:]


def _last(start: int, length: int | None) -> str:
    return "" if length is None else str(start + length - 1)
