"""Objects of the Cloud Storage server: Google's own client finds them as the service has them."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import pytest
from google.api_core import exceptions as api
from google.cloud import storage

from tests.servers.gcs import GCSServer
from tests.servers.plain_http import PlainClient

ODD_NAMES = [
    "a space/b c",
    "percent%2Fand%25%",
    "plus+plus",
    "hash#question?amp&equals=",
    "nfc-\u00e9",
    "nfd-e\u0301",
    "\U0001f642",
    "..a/...",
    "semi;colon,comma'quote\"",
    "a//b/",
    "x" * 1024,
]


@pytest.mark.parametrize("data", [b"", b"x", bytes(range(256)), b"\r\n--==\r\n\0" * 1000])
def test_reads_what_was_written(bucket: storage.Bucket, data: bytes) -> None:
    """Any bytes come back, also those that look like the boundaries of a multipart body."""
    _write(bucket, "a", data)
    assert bucket.blob("a").download_as_bytes() == data


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names(server: GCSServer, bucket: storage.Bucket, name: str) -> None:
    """Names are kept as they are, whatever has to be escaped in a URL."""
    _write(bucket, name, b"1")
    assert list(server.objects("bucket")) == [name]
    assert bucket.blob(name).download_as_bytes() == b"1"
    assert [blob.name for blob in bucket.list_blobs(prefix=name)] == [name]
    bucket.delete_blob(name)
    assert list(server.objects("bucket")) == []


@pytest.mark.parametrize("name", ["x" * 1025, "é" * 513, "a\nb", "a\rb"])
def test_names_that_cannot_be(bucket: storage.Bucket, name: str) -> None:
    """Names over 1,024 bytes, and with line ends, are refused."""
    with pytest.raises(api.BadRequest):
        _write(bucket, name, b"1")


def test_description_of_an_object(bucket: storage.Bucket) -> None:
    """Size, checksums, times, metadata and storage class are those of what was written."""
    blob = bucket.blob("a")
    blob.metadata = {"k": "v"}
    blob.storage_class = "NEARLINE"
    blob.upload_from_string(b"hello", content_type="text/x")
    found = bucket.get_blob("a")
    assert (found.size, found.crc32c, found.md5_hash) == (
        5,
        "mnG7TA==",
        "XUFAKrxLKna5cZ2REBfFkg==",
    )
    assert (found.metadata, found.storage_class, found.content_type) == (
        {"k": "v"},
        "NEARLINE",
        "text/x",
    )
    assert found.time_created == found.updated == blob.time_created


def test_generations_only_grow(bucket: storage.Bucket) -> None:
    """Each write is a new, larger generation, with the metageneration 1 and another ETag."""
    blobs = [_write(bucket, "a", b"1") for _ in range(20)]
    generations = [blob.generation for blob in blobs]
    assert generations == sorted(set(generations))
    assert {blob.metageneration for blob in blobs} == {1}
    assert len({blob.etag for blob in blobs}) == 20


def test_media_headers(bucket: storage.Bucket, ask: PlainClient) -> None:
    """A download says in its headers of which generation it is, and its checksums."""
    blob = bucket.blob("a")
    blob.metadata = {"k": "v"}
    blob.upload_from_string(b"hello")
    answer = ask("GET", "/download" + _named("a") + "?alt=media")
    headers = answer.headers
    assert (answer.status, answer.body) == (200, b"hello")
    assert headers["X-Goog-Hash"] == "crc32c=mnG7TA==,md5=XUFAKrxLKna5cZ2REBfFkg=="
    assert headers["X-Goog-Generation"] == str(blob.generation)
    assert headers["X-Goog-Metageneration"] == "1"
    assert headers["X-Goog-Stored-Content-Length"] == "5"
    assert (headers["X-Goog-Meta-k"], headers["ETag"]) == ("v", blob.etag)


@pytest.mark.parametrize(
    ("asked", "status", "expected", "content_range"),
    [
        ("bytes=0-3", 206, b"0123", "bytes 0-3/10"),
        ("bytes=8-100", 206, b"89", "bytes 8-9/10"),
        ("bytes=4-", 206, b"456789", "bytes 4-9/10"),
        ("bytes=-3", 206, b"789", "bytes 7-9/10"),
        ("bytes=-30", 206, b"0123456789", "bytes 0-9/10"),
        ("bytes=10-", 416, b"Request range not satisfiable", None),
        ("bytes=-0", 416, b"Request range not satisfiable", None),
        ("lines=1-2", 200, b"0123456789", None),
    ],
)
def test_ranges(
    server: GCSServer,
    ask: PlainClient,
    asked: str,
    status: int,
    expected: bytes,
    content_range: str | None,
) -> None:
    """A range gives its bytes and says which they are; one behind the end is refused."""
    server.plant("bucket", "digits", b"0123456789")
    got = ask("GET", _named("digits") + "?alt=media", Range=asked)
    assert (got.status, got.body, got.headers["Content-Range"]) == (status, expected, content_range)


def test_a_generation_that_is_gone(bucket: storage.Bucket) -> None:
    """A download of a generation that was replaced finds nothing."""
    first = _write(bucket, "a", b"1")
    second = _write(bucket, "a", b"2")
    assert bucket.blob("a", generation=second.generation).download_as_bytes() == b"2"
    with pytest.raises(api.NotFound):
        bucket.blob("a", generation=first.generation).download_as_bytes()


def test_preconditions_of_writes(bucket: storage.Bucket) -> None:
    """Generation 0 creates only, another one replaces only it, and a stale one is refused."""
    first = _write(bucket, "a", b"1", if_generation_match=0)
    for stale in (0, 1, first.generation + 1):
        with pytest.raises(api.PreconditionFailed):
            _write(bucket, "a", b"2", if_generation_match=stale)
    second = _write(bucket, "a", b"3", if_generation_match=first.generation)
    with pytest.raises(api.PreconditionFailed):
        _write(bucket, "b", b"4", if_generation_match=second.generation)
    with pytest.raises(api.PreconditionFailed):
        _write(bucket, "a", b"5", if_generation_not_match=second.generation)
    _write(bucket, "a", b"6", if_metageneration_match=1)
    assert bucket.blob("a").download_as_bytes() == b"6"


def test_preconditions_of_reads_and_deletes(bucket: storage.Bucket) -> None:
    """Reading, patching and deleting honour preconditions as writing does."""
    blob = _write(bucket, "a", b"1")
    wrong = {"if_generation_match": blob.generation + 1}
    for call in (
        bucket.blob("a").download_as_bytes,
        bucket.blob("a").reload,
        bucket.blob("a").patch,
        bucket.blob("a").delete,
    ):
        with pytest.raises(api.PreconditionFailed):
            call(**wrong)
    bucket.blob("a").delete(if_generation_match=blob.generation, if_metageneration_match=1)
    with pytest.raises(api.NotFound):
        bucket.blob("a").delete(if_generation_match=blob.generation)


@pytest.mark.parametrize("media", ["", "&alt=media"])
def test_not_modified(server: GCSServer, ask: PlainClient, media: str) -> None:
    """A read of another generation than the one that is there says 304, without a body."""
    generation = server.plant("bucket", "a", b"1").generation
    answer = ask("GET", _named("a") + f"?ifGenerationNotMatch={generation}{media}")
    assert (answer.status, answer.body) == (304, b"")
    assert ask("GET", _named("a") + "?ifGenerationNotMatch=1" + media).status == 200


def test_racing_creators(client: storage.Client) -> None:
    """Of 16 creators of one object, one wins, and its bytes are there."""
    bucket = client.bucket("bucket")
    start = threading.Barrier(16)

    def create(number: int) -> int | None:
        start.wait()
        try:
            _write(bucket, "contended", str(number).encode(), if_generation_match=0)
        except api.PreconditionFailed:
            return None
        return number

    with ThreadPoolExecutor(16) as pool:
        winners = [n for n in pool.map(create, range(16)) if n is not None]
    assert len(winners) == 1
    assert bucket.blob("contended").download_as_bytes() == str(winners[0]).encode()


def test_patch(bucket: storage.Bucket) -> None:
    """A patch changes and takes away metadata, and counts in the metageneration only."""
    blob = _write(bucket, "a", b"1")
    blob.metadata = {"x": "1", "y": "2"}
    blob.patch()
    blob.metadata = {"x": None, "z": "3"}
    blob.patch()
    found = bucket.get_blob("a")
    assert (found.metadata, found.metageneration) == ({"y": "2", "z": "3"}, 3)
    assert (found.generation, found.time_created) == (blob.generation, blob.time_created)


def test_damage(server: GCSServer, bucket: storage.Bucket) -> None:
    """A test can change an object, with its checksum or without."""
    found = server.plant("bucket", "a", b"right")
    found.data = b"wrong"
    assert bucket.blob("a").download_as_bytes() == b"wrong"
    found.claimed_crc32c = "AAAAAA=="
    with pytest.raises(storage.exceptions.DataCorruption):
        bucket.blob("a").download_as_bytes(checksum="crc32c")


def test_copies(bucket: storage.Bucket) -> None:
    """Copy and rewrite make a new object of the same bytes, under preconditions."""
    blob = _write(bucket, "a/1", b"1")
    bucket.copy_blob(blob, bucket, "b/1", if_generation_match=0)
    target = bucket.blob("c/1")
    assert target.rewrite(blob) == (None, 1, 1)
    with pytest.raises(api.PreconditionFailed):
        bucket.copy_blob(blob, bucket, "b/1", if_generation_match=0)
    with pytest.raises(api.PreconditionFailed):
        bucket.copy_blob(blob, bucket, "d", if_source_generation_match=1)
    assert [b.download_as_bytes() for b in bucket.list_blobs()] == [b"1"] * 3


def test_compose(bucket: storage.Bucket) -> None:
    """Objects are joined in the order given; the result has no MD5."""
    parts = [_write(bucket, name, name.encode()) for name in "xy"]
    whole = bucket.blob("whole")
    whole.compose(parts[::-1], if_source_generation_match=[p.generation for p in parts[::-1]])
    assert (whole.download_as_bytes(), whole.md5_hash) == (b"yx", None)


def test_missing_bucket_and_object(client: storage.Client) -> None:
    """A missing bucket and a missing object are told apart by the service's words."""
    for name, words in (("bucket", "No such object: bucket/a"), ("none", "The specified bucket")):
        blob = client.bucket(name).blob("a")
        for call in (blob.download_as_bytes, blob.reload, blob.delete):
            with pytest.raises(api.NotFound, match=words):
                call()
    with pytest.raises(api.NotFound, match="The specified bucket does not exist"):
        client.bucket("none").blob("a").upload_from_string(b"1")
    with pytest.raises(api.NotFound, match="The specified bucket does not exist"):
        list(client.list_blobs("none"))


def test_buckets(client: storage.Client) -> None:
    """Buckets are made once, listed, and deleted when they are empty."""
    made = client.create_bucket("another")
    with pytest.raises(api.Conflict):
        client.create_bucket("another")
    assert [bucket.name for bucket in client.list_buckets()] == ["another", "bucket"]
    _write(made, "a", b"1")
    with pytest.raises(api.Conflict):
        made.delete()
    made.delete_blob("a")
    made.delete()
    assert not made.exists()


def _write(bucket: storage.Bucket, name: str, data: bytes, **options: Any) -> storage.Blob:
    blob = bucket.blob(name)
    blob.upload_from_string(data, retry=None, **options)
    return blob


def _named(name: str) -> str:
    return f"/storage/v1/b/bucket/o/{quote(name, safe='')}"
