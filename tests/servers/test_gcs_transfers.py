"""Listings, uploads and batches of the Cloud Storage server."""

from __future__ import annotations

import base64
import io
from typing import Any
from urllib.parse import urlencode

import google_crc32c
import pytest
from google.api_core import exceptions as api
from google.cloud import storage

from tests.servers.gcs import GCSServer
from tests.servers.plain_http import PlainClient


def test_paging(server: GCSServer, ask: PlainClient) -> None:
    """2,500 names come in three pages, in the order of their bytes, none twice."""
    names = sorted(f"many/{number:04}" for number in range(2_500))
    for name in reversed(names):
        server.plant("bucket", name, b"")
    pages, token = [], ""
    while token is not None:
        query = urlencode({"prefix": "many/", "maxResults": 5_000, "pageToken": token})
        page = ask("GET", f"/storage/v1/b/bucket/o?{query}").json()
        pages.append([item["name"] for item in page["items"]])
        token = page.get("nextPageToken")
    assert [len(page) for page in pages] == [1_000, 1_000, 500]
    assert [name for page in pages for name in page] == names


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["a", "a/b", "a/c/d", "ab", "b", "é", "\U0001f642"]),
        ({"prefix": "a"}, ["a", "a/b", "a/c/d", "ab"]),
        ({"prefix": "a/"}, ["a/b", "a/c/d"]),
        ({"prefix": "zz"}, []),
        ({"start_offset": "a/b"}, ["a/b", "a/c/d", "ab", "b", "é", "\U0001f642"]),
        ({"start_offset": "a/b0", "end_offset": "b"}, ["a/c/d", "ab"]),
        ({"prefix": "a/", "start_offset": "a/c"}, ["a/c/d"]),
        ({"max_results": 2}, ["a", "a/b"]),
    ],
)
def test_listing(
    server: GCSServer, bucket: storage.Bucket, query: dict[str, Any], expected: list[str]
) -> None:
    """Prefix and offsets are literal; the start is in, the end is not."""
    for name in ["b", "\U0001f642", "a/c/d", "a", "é", "ab", "a/b"]:
        server.plant("bucket", name, b"")
    assert [blob.name for blob in bucket.list_blobs(**query)] == expected


@pytest.mark.parametrize("size", [1, 2, 100])
def test_listing_groups(server: GCSServer, bucket: storage.Bucket, size: int) -> None:
    """A delimiter folds names to groups, each named once, also across pages."""
    for name in ["a", "b/1", "b/2/x", "b/3", "c", "d/1"]:
        server.plant("bucket", name, b"")
    found = bucket.list_blobs(delimiter="/", page_size=size)
    assert ([blob.name for blob in found], found.prefixes) == (["a", "c"], {"b/", "d/"})


def test_fields(server: GCSServer, ask: PlainClient) -> None:
    """Only the fields that were asked for are given."""
    server.plant("bucket", "a", b"1")
    server.plant("bucket", "b", b"1")
    query = "fields=items(name,size),nextPageToken&maxResults=1"
    page = ask("GET", f"/storage/v1/b/bucket/o?{query}").json()
    assert (page["items"], sorted(page)) == (
        [{"name": "a", "size": "1"}],
        ["items", "nextPageToken"],
    )
    assert ask("GET", "/storage/v1/b/bucket/o/a?fields=size").json() == {"size": "1"}


def test_resumable_upload_in_chunks(server: GCSServer, bucket: storage.Bucket) -> None:
    """A file goes up in chunks and is seen only when it is whole."""
    data = bytes(range(256)) * 4096 * 9
    blob = bucket.blob("big", chunk_size=1024 * 1024)
    blob.upload_from_file(io.BytesIO(data), size=len(data), retry=None)
    assert server.objects("bucket")["big"].data == data
    assert [method for method, _ in server.requests if method == "PUT"] == ["PUT"] * 9


def test_resumable_upload_by_hand(server: GCSServer, ask: PlainClient) -> None:
    """An upload tells how far it is, passes over what it has, and ends when it is told to."""
    chunk, end = b"a" * 262_144, b"end"
    total = 2 * len(chunk) + len(end)
    target = "/upload/storage/v1/b/bucket/o?uploadType=resumable&name=n"
    session = _started(ask, target)

    def put(content_range: str, body: bytes = b"") -> tuple[int, str | None]:
        answer = ask("PUT", session, body, Content_Range=content_range)
        return answer.status, answer.headers["Range"]

    assert put(f"bytes */{total}") == (308, None)
    assert put("bytes 0-262143/*", chunk) == (308, "bytes=0-262143")
    assert put("bytes 0-262146/*", chunk + b"odd") == (308, "bytes=0-262143")
    assert put("bytes */*") == (308, "bytes=0-262143")
    assert put(f"bytes 600000-600002/{total}", end) == (400, None)
    assert put(f"bytes 262144-524287/{total}", chunk) == (308, "bytes=0-524287")
    assert "n" not in server.objects("bucket")
    assert put(f"bytes 524288-524290/{total}", end) == (200, None)
    assert put(f"bytes */{total}") == (200, None)
    assert server.objects("bucket")["n"].data == chunk + chunk + end


def test_resumable_upload_checks_its_precondition_at_the_end(
    server: GCSServer, ask: PlainClient
) -> None:
    """Who begins an upload first and ends it last does not win."""
    target = "/upload/storage/v1/b/bucket/o?uploadType=resumable&name=n&ifGenerationMatch=0"
    session = _started(ask, target)
    server.plant("bucket", "n", b"first")
    assert ask("PUT", session, b"second", Content_Range="bytes 0-5/6").status == 412
    assert ask("POST", target).status == 412
    assert server.objects("bucket")["n"].data == b"first"


def test_resumable_upload_given_up(ask: PlainClient) -> None:
    """An upload that was cancelled, or never was, cannot go on."""
    session = _started(ask, "/upload/storage/v1/b/bucket/o?uploadType=resumable&name=n")
    assert ask("DELETE", session).status == 499
    assert ask("PUT", session, b"1", Content_Range="bytes 0-0/1").status == 404


def test_simple_upload(server: GCSServer, ask: PlainClient) -> None:
    """Bytes alone can be uploaded."""
    target = "/upload/storage/v1/b/bucket/o?uploadType=media&name=a%2Fb+c%2B"
    answer = ask("POST", target, b"data", Content_Type="text/x")
    assert (answer.status, answer.json()["contentType"]) == (200, "text/x")
    assert server.objects("bucket")["a/b c+"].data == b"data"


@pytest.mark.parametrize("kind", ["crc32c", "md5"])
def test_wrong_checksum(server: GCSServer, ask: PlainClient, kind: str) -> None:
    """What does not match the client's checksum is refused and not stored."""
    target = "/upload/storage/v1/b/bucket/o?uploadType=media&name=a"
    answer = ask("POST", target, b"data", X_Goog_Hash=f"{kind}=AAAAAA==")
    assert (answer.status, answer.json()["error"]["errors"][0]["reason"]) == (400, "invalid")
    assert server.objects("bucket") == {}
    right = base64.b64encode(google_crc32c.value(b"data").to_bytes(4, "big")).decode()
    assert ask("POST", target, b"data", X_Goog_Hash=f"crc32c={right}").status == 200


def test_wrong_checksum_of_a_description(server: GCSServer, bucket: storage.Bucket) -> None:
    """A checksum in the description counts as well."""
    blob = bucket.blob("a")
    blob.md5_hash = "AAAA"
    with pytest.raises(api.BadRequest):
        blob.upload_from_string(b"data", checksum=None, retry=None)
    assert server.objects("bucket") == {}


def test_batch_of_deletes(server: GCSServer, client: storage.Client) -> None:
    """A batch answers each of its calls in their order, and is one request."""
    for name in ["a b", "c/é"]:
        server.plant("bucket", name, b"")
    batch = client.batch(raise_exception=False)
    answers: list[Any] = []
    finish = batch.finish
    batch.finish = lambda **options: answers.extend(finish(**options))
    with batch:
        for name in ["a b", "missing", "c/é"]:
            client.bucket("bucket").delete_blob(name)
    assert [answer.status_code for answer in answers] == [204, 404, 204]
    assert answers[1].json()["error"]["message"] == "No such object: bucket/missing"
    assert server.objects("bucket") == {}
    assert [target for _, target in server.requests if "/batch/" in target] == ["/batch/storage/v1"]


def test_batch_limit(client: storage.Client) -> None:
    """More than 100 calls in a batch are refused."""
    bucket, batch = client.bucket("bucket"), client.batch()
    with pytest.raises(api.BadRequest), batch:
        bucket.delete_blobs([str(number) for number in range(101)])


def _started(ask: PlainClient, target: str) -> str:
    """Begins a resumable upload; gives where it goes on."""
    location = ask("POST", target).headers["Location"]
    assert location is not None
    return location[location.index("/upload/") :]
