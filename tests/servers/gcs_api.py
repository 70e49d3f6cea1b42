"""The Cloud Storage JSON API: from a request to an answer, without a socket.

After https://cloud.google.com/storage/docs/json_api/v1: buckets and objects, uploads
in one piece, with a description and resumable, downloads, copies and batches.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from email.utils import format_datetime
from typing import Any, Final
from urllib.parse import quote, unquote

from tests.servers.gcs_objects import ApiError, NotModifiedError, Preconditions, StoredObject
from tests.servers.gcs_storage import Session, Storage
from tests.servers.gcs_wire import (
    Request,
    Response,
    batch_body,
    batch_calls,
    byte_range,
    checksums,
    error_response,
    json_response,
    related,
    selected,
    upload_range,
)

__all__ = ["StorageApi"]

BATCH_LIMIT: Final = 100

Handler = Callable[[Request, tuple[str, ...]], Response]

_BUCKET: Final = r"/storage/v1/b/([^/]+)"
_OBJECT: Final = _BUCKET + r"/o/([^/]+)"


class StorageApi:
    """Answers requests for one `Storage`.

    Args:
        storage: What it serves.
        endpoint: Its own address, which some answers repeat.
        refuse: Gives the answer to a call of a batch that is not to be executed.
    """

    def __init__(
        self, storage: Storage, endpoint: str, refuse: Callable[[Request], Response | None]
    ) -> None:
        self._storage = storage
        self._endpoint = endpoint
        self._refuse = refuse
        routes: list[tuple[str, str, Handler]] = [
            ("GET", "/storage/v1/b", self._list_buckets),
            ("POST", "/storage/v1/b", self._create_bucket),
            ("GET", _BUCKET, self._get_bucket),
            ("DELETE", _BUCKET, self._delete_bucket),
            ("GET", _BUCKET + "/o", self._list),
            ("GET", "/download" + _OBJECT, self._download),
            ("GET", _OBJECT, self._get),
            ("PATCH", _OBJECT, self._patch),
            ("PUT", _OBJECT, self._patch),
            ("DELETE", _OBJECT, self._delete),
            ("POST", _OBJECT + r"/(rewrite|copy)To/b/([^/]+)/o/([^/]+)", self._copy),
            ("POST", _OBJECT + "/compose", self._compose),
            ("POST", "/upload" + _BUCKET + "/o", self._upload),
            ("PUT", "/upload" + _BUCKET + "/o", self._continue),
            ("DELETE", "/upload" + _BUCKET + "/o", self._cancel),
            ("POST", "/batch/storage/v1", self._batch),
        ]
        self._routes = [(method, re.compile(path), handler) for method, path, handler in routes]

    def handle(self, request: Request) -> Response:
        """Answers a request; whatever the service refuses is an answer too."""
        try:
            handler, names = self._route(request)
            return handler(request, names)
        except ApiError as exc:
            return error_response(exc, plain=request.wants_media)
        except NotModifiedError:
            return Response(304)

    def _route(self, request: Request) -> tuple[Handler, tuple[str, ...]]:
        for method, path, handler in self._routes:
            match = path.fullmatch(request.path)
            if match and method == request.method:
                try:
                    return handler, tuple(unquote(g, errors="strict") for g in match.groups())
                except UnicodeDecodeError:
                    raise ApiError(400, "Names are UTF-8.", "invalid") from None
        raise ApiError(404, "Not Found", "notFound")

    def _list_buckets(self, request: Request, names: tuple[str, ...]) -> Response:
        found = self._storage.buckets()
        prefix = request.query.get("prefix", "")
        items = [_bucket(name, made) for name, made in found.items() if name.startswith(prefix)]
        return json_response({"kind": "storage#buckets", "items": items})

    def _create_bucket(self, request: Request, names: tuple[str, ...]) -> Response:
        name = str(request.json().get("name", ""))
        if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]", name):
            raise ApiError(400, f"Invalid bucket name: '{name}'", "invalid")
        self._storage.create_bucket(name)
        return self._get_bucket(request, (name,))

    def _get_bucket(self, request: Request, names: tuple[str, ...]) -> Response:
        return self._answer(request, _bucket(names[0], self._storage.created(names[0])))

    def _delete_bucket(self, request: Request, names: tuple[str, ...]) -> Response:
        self._storage.delete_bucket(names[0])
        return Response(204)

    def _list(self, request: Request, names: tuple[str, ...]) -> Response:
        page = self._storage.page(names[0], request.query)
        document = {
            "kind": "storage#objects",
            "nextPageToken": page.next_token,
            "prefixes": page.prefixes,
            "items": [self._resource(names[0], item) for item in page.items],
        }
        # What is empty is left out.
        return self._answer(request, {key: value for key, value in document.items() if value})

    def _get(self, request: Request, names: tuple[str, ...]) -> Response:
        if request.wants_media:
            return self._download(request, names)
        found = self._storage.get(names[0], names[1], request.query)
        return self._answer(request, self._resource(names[0], found))

    def _download(self, request: Request, names: tuple[str, ...]) -> Response:
        found = self._storage.get(names[0], names[1], request.query)
        headers, data = _media_headers(found), found.data
        wanted = byte_range(request.headers.get("range", ""), len(data))
        if wanted is None:
            return Response(200, data, headers)
        start, end = wanted
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(data)}"
        return Response(206, data[start:end], headers)

    def _patch(self, request: Request, names: tuple[str, ...]) -> Response:
        changed = self._storage.patch(names[0], names[1], request.query, request.json())
        return self._answer(request, self._resource(names[0], changed))

    def _delete(self, request: Request, names: tuple[str, ...]) -> Response:
        self._storage.delete(names[0], names[1], request.query)
        return Response(204)

    def _copy(self, request: Request, names: tuple[str, ...]) -> Response:
        bucket, name, verb, *_ = names
        target = (names[3], names[4])
        new = self._storage.copy((bucket, name), target, request.query, request.json())
        resource = self._resource(target[0], new)
        if verb == "copy":
            return self._answer(request, resource)
        size = str(len(new.data))
        done = {"totalBytesRewritten": size, "objectSize": size, "done": True}
        return self._answer(
            request, {"kind": "storage#rewriteResponse", **done, "resource": resource}
        )

    def _compose(self, request: Request, names: tuple[str, ...]) -> Response:
        asked = request.json()
        sources, properties = asked.get("sourceObjects", []), asked.get("destination", {})
        new = self._storage.compose((names[0], names[1]), sources, request.query, properties)
        return self._answer(request, self._resource(names[0], new))

    def _upload(self, request: Request, names: tuple[str, ...]) -> Response:
        kind = request.query.get("uploadType")
        if kind == "resumable":
            return self._start(request, names[0])
        if kind == "multipart":
            described, data = related(request)
        else:
            described, data = {"contentType": request.headers.get("content-type")}, request.body
        name, properties = _described(request, described)
        new = self._storage.insert(
            names[0],
            name,
            data,
            properties,
            Preconditions.of(request.query),
            checksums(request.headers, described),
        )
        return self._answer(request, self._resource(names[0], new))

    def _start(self, request: Request, bucket: str) -> Response:
        described = request.json()
        described.setdefault("contentType", request.headers.get("x-upload-content-type"))
        name, properties = _described(request, described)
        claimed = checksums(request.headers, described)
        new = Session(bucket, name, properties, Preconditions.of(request.query), claimed)
        self._storage.start_session(new)
        path = f"/upload/storage/v1/b/{quote(bucket)}/o?uploadType=resumable&upload_id={new.id}"
        return Response(200, headers={"Location": self._endpoint + path})

    def _continue(self, request: Request, names: tuple[str, ...]) -> Response:
        session = self._storage.session(request.query.get("upload_id", ""))
        start, total = upload_range(request.headers.get("content-range"), len(request.body))
        session.checksums |= checksums(request.headers, {})
        done = self._storage.continue_session(session, start, request.body, total)
        if done is not None:
            return json_response(self._resource(names[0], done))
        # Where nothing is kept yet, there is no Range.
        kept = {"Range": f"bytes=0-{len(session.data) - 1}"} if session.data else {}
        return Response(308, headers={"X-GUploader-UploadID": session.id, **kept})

    def _cancel(self, request: Request, names: tuple[str, ...]) -> Response:
        self._storage.cancel_session(request.query.get("upload_id", ""))
        return Response(499)

    def _batch(self, request: Request, names: tuple[str, ...]) -> Response:
        calls = batch_calls(request)
        if not 1 <= len(calls) <= BATCH_LIMIT:
            raise ApiError(400, f"A batch has 1 to {BATCH_LIMIT} calls.", "badRequest")
        return batch_body(
            [(identity, self._refuse(call) or self.handle(call)) for identity, call in calls]
        )

    def _answer(self, request: Request, document: dict[str, Any]) -> Response:
        fields = request.query.get("fields")
        return json_response(selected(document, fields) if fields else document)

    def _resource(self, bucket: str, found: StoredObject) -> dict[str, Any]:
        """The description of an object; its numbers are text, as the service gives them."""
        place = f"/storage/v1/b/{quote(bucket)}/o/{quote(found.name, safe='')}"
        media = f"/download{place}?generation={found.generation}&alt=media"
        document = {
            **found.properties,
            "kind": "storage#object",
            "id": f"{bucket}/{found.name}/{found.generation}",
            "selfLink": self._endpoint + place,
            "mediaLink": self._endpoint + media,
            "name": found.name,
            "bucket": bucket,
            "generation": str(found.generation),
            "metageneration": str(found.metageneration),
            "storageClass": found.properties.get("storageClass", "STANDARD"),
            "size": str(len(found.data)),
            "crc32c": found.crc32c,
            "etag": found.etag,
            "timeCreated": _time(found.created),
            "updated": _time(found.updated),
        }
        return document if found.md5 is None else {**document, "md5Hash": found.md5}


def _described(request: Request, document: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The name of what is uploaded, and what is to be kept of its description."""
    kept = {key: value for key, value in document.items() if value is not None}
    if "kmsKeyName" in request.query:
        kept["kmsKeyName"] = request.query["kmsKeyName"] + "/cryptoKeyVersions/1"
    return str(document.get("name") or request.query.get("name", "")), kept


def _media_headers(found: StoredObject) -> dict[str, str]:
    properties = found.properties
    sums = f"crc32c={found.crc32c}" + (f",md5={found.md5}" if found.md5 else "")
    headers = {
        "Content-Type": properties.get("contentType", "application/octet-stream"),
        "ETag": found.etag,
        "Last-Modified": format_datetime(found.created, usegmt=True),
        "X-Goog-Generation": str(found.generation),
        "X-Goog-Metageneration": str(found.metageneration),
        "X-Goog-Hash": sums,
        "X-Goog-Storage-Class": properties.get("storageClass", "STANDARD"),
        "X-Goog-Stored-Content-Encoding": properties.get("contentEncoding", "identity"),
        "X-Goog-Stored-Content-Length": str(len(found.data)),
    }
    if "contentEncoding" in properties:
        headers["Content-Encoding"] = properties["contentEncoding"]
    for name, value in properties.get("metadata", {}).items():
        headers[f"X-Goog-Meta-{name}"] = value
    return headers


def _bucket(name: str, created: datetime) -> dict[str, Any]:
    return {
        "kind": "storage#bucket",
        "id": name,
        "name": name,
        "projectNumber": "123456789012",
        "metageneration": "1",
        "location": "US",
        "locationType": "multi-region",
        "storageClass": "STANDARD",
        "timeCreated": _time(created),
        "updated": _time(created),
    }


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
