"""The Cloud Storage server of the tests, asked by Google's own client and by plain HTTP."""

from __future__ import annotations

import base64
import http.client
import io
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import google_crc32c
import pytest
from google.api_core import exceptions as api
from google.auth.credentials import AnonymousCredentials
from google.auth.transport.requests import Request
from google.cloud import storage
from google.oauth2 import service_account

from tests.servers.gcs import GCSServer

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

Ask = Callable[..., tuple[int, Mapping[str, str], bytes]]


@pytest.fixture
def server() -> Iterator[GCSServer]:
    with GCSServer() as server:
        server.create_bucket("bucket")
        yield server


@pytest.fixture
def client(server: GCSServer) -> Iterator[storage.Client]:
    """Google's client, without credentials and without retries of its own."""
    options = {"api_endpoint": server.endpoint}
    client = storage.Client("tests", credentials=AnonymousCredentials(), client_options=options)
    yield client
    client.close()


@pytest.fixture
def bucket(client: storage.Client) -> storage.Bucket:
    return client.bucket("bucket")


@pytest.fixture
def ask(server: GCSServer) -> Iterator[Ask]:
    """Sends one request; gives status, headers and body."""
    connection = http.client.HTTPConnection(urlsplit(server.endpoint).netloc, timeout=10)

    def ask(
        method: str, target: str, body: bytes = b"", **headers: str
    ) -> tuple[int, Mapping[str, str], bytes]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, target, body, named)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()

    yield ask
    connection.close()


def _write(bucket: storage.Bucket, name: str, data: bytes, **options: Any) -> storage.Blob:
    blob = bucket.blob(name)
    blob.upload_from_string(data, retry=None, **options)
    return blob


def _named(name: str) -> str:
    return f"/storage/v1/b/bucket/o/{quote(name, safe='')}"


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


def test_media_headers(bucket: storage.Bucket, ask: Ask) -> None:
    """A download says in its headers of which generation it is, and its checksums."""
    blob = bucket.blob("a")
    blob.metadata = {"k": "v"}
    blob.upload_from_string(b"hello")
    status, headers, body = ask("GET", "/download" + _named("a") + "?alt=media")
    assert (status, body) == (200, b"hello")
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
    ask: Ask,
    asked: str,
    status: int,
    expected: bytes,
    content_range: str | None,
) -> None:
    """A range gives its bytes and says which they are; one behind the end is refused."""
    server.plant("bucket", "digits", b"0123456789")
    got = ask("GET", _named("digits") + "?alt=media", Range=asked)
    assert (got[0], got[2], got[1].get("Content-Range")) == (status, expected, content_range)


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
def test_not_modified(server: GCSServer, ask: Ask, media: str) -> None:
    """A read of another generation than the one that is there says 304, without a body."""
    generation = server.plant("bucket", "a", b"1").generation
    answer = ask("GET", _named("a") + f"?ifGenerationNotMatch={generation}{media}")
    assert (answer[0], answer[2]) == (304, b"")
    assert ask("GET", _named("a") + "?ifGenerationNotMatch=1" + media)[0] == 200


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


def test_paging(server: GCSServer, ask: Ask) -> None:
    """2,500 names come in three pages, in the order of their bytes, none twice."""
    names = sorted(f"many/{number:04}" for number in range(2_500))
    for name in reversed(names):
        server.plant("bucket", name, b"")
    pages, token = [], ""
    while token is not None:
        query = urlencode({"prefix": "many/", "maxResults": 5_000, "pageToken": token})
        page = json.loads(ask("GET", f"/storage/v1/b/bucket/o?{query}")[2])
        pages.append([item["name"] for item in page["items"]])
        token = page.get("nextPageToken")
    assert [len(page) for page in pages] == [1_000, 1_000, 500]
    assert sum(pages, []) == names


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


def test_fields(server: GCSServer, ask: Ask) -> None:
    """Only the fields that were asked for are given."""
    server.plant("bucket", "a", b"1")
    server.plant("bucket", "b", b"1")
    query = "fields=items(name,size),nextPageToken&maxResults=1"
    page = json.loads(ask("GET", f"/storage/v1/b/bucket/o?{query}")[2])
    assert (page["items"], sorted(page)) == ([{"name": "a", "size": "1"}], ["items", "nextPageToken"])
    assert json.loads(ask("GET", _named("a") + "?fields=size")[2]) == {"size": "1"}


def test_resumable_upload_in_chunks(server: GCSServer, bucket: storage.Bucket) -> None:
    """A file goes up in chunks and is seen only when it is whole."""
    data = bytes(range(256)) * 4096 * 9
    blob = bucket.blob("big", chunk_size=1024 * 1024)
    blob.upload_from_file(io.BytesIO(data), size=len(data), retry=None)
    assert server.objects("bucket")["big"].data == data
    assert [method for method, _ in server.requests if method == "PUT"] == ["PUT"] * 9


def test_resumable_upload_by_hand(server: GCSServer, ask: Ask) -> None:
    """An upload tells how far it is, passes over what it has, and ends when it is told to."""
    chunk, end = b"a" * 262_144, b"end"
    total = 2 * len(chunk) + len(end)
    target = "/upload/storage/v1/b/bucket/o?uploadType=resumable&name=n"
    status, headers, _ = ask("POST", target)
    session = headers["Location"].removeprefix(server.endpoint)

    def put(content_range: str, body: bytes = b"") -> tuple[int, str | None]:
        status, headers, _ = ask("PUT", session, body, Content_Range=content_range)
        return status, headers.get("Range")

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


def test_resumable_upload_checks_its_precondition_at_the_end(server: GCSServer, ask: Ask) -> None:
    """Who begins an upload first and ends it last does not win."""
    target = "/upload/storage/v1/b/bucket/o?uploadType=resumable&name=n&ifGenerationMatch=0"
    _, headers, _ = ask("POST", target)
    server.plant("bucket", "n", b"first")
    session = headers["Location"].removeprefix(server.endpoint)
    assert ask("PUT", session, b"second", Content_Range="bytes 0-5/6")[0] == 412
    assert ask("POST", target)[0] == 412
    assert server.objects("bucket")["n"].data == b"first"


def test_resumable_upload_given_up(server: GCSServer, ask: Ask) -> None:
    """An upload that was cancelled, or never was, cannot go on."""
    _, headers, _ = ask("POST", "/upload/storage/v1/b/bucket/o?uploadType=resumable&name=n")
    session = headers["Location"].removeprefix(server.endpoint)
    assert ask("DELETE", session)[0] == 499
    assert ask("PUT", session, b"1", Content_Range="bytes 0-0/1")[0] == 404


def test_simple_upload(server: GCSServer, ask: Ask) -> None:
    """Bytes alone can be uploaded, also in chunks of unknown number."""
    target = "/upload/storage/v1/b/bucket/o?uploadType=media&name=a%2Fb+c%2B"
    status, _, body = ask("POST", target, b"data", Content_Type="text/x")
    assert (status, json.loads(body)["contentType"]) == (200, "text/x")
    assert server.objects("bucket")["a/b c+"].data == b"data"


@pytest.mark.parametrize("kind", ["crc32c", "md5"])
def test_wrong_checksum(server: GCSServer, ask: Ask, kind: str) -> None:
    """What does not match the client's checksum is refused and not stored."""
    target = "/upload/storage/v1/b/bucket/o?uploadType=media&name=a"
    status, _, body = ask("POST", target, b"data", X_Goog_Hash=f"{kind}=AAAAAA==")
    assert (status, json.loads(body)["error"]["errors"][0]["reason"]) == (400, "invalid")
    assert server.objects("bucket") == {}
    right = base64.b64encode(google_crc32c.value(b"data").to_bytes(4, "big")).decode()
    assert ask("POST", target, b"data", X_Goog_Hash=f"crc32c={right}")[0] == 200


def test_wrong_checksum_of_a_description(server: GCSServer, bucket: storage.Bucket) -> None:
    """A checksum in the description counts as well."""
    blob = bucket.blob("a")
    blob.md5_hash = "AAAA"
    with pytest.raises(api.BadRequest):
        blob.upload_from_string(b"data", checksum=None, retry=None)
    assert server.objects("bucket") == {}


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
    with pytest.raises(api.BadRequest), client.batch():
        for number in range(101):
            client.bucket("bucket").delete_blob(str(number))


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


@pytest.mark.parametrize(
    ("token", "status", "reason"),
    [(None, 401, "required"), ("wrong", 401, "authError"), ("bad", 403, "forbidden"), ("good", 200, "")],
)
def test_tokens(token: str | None, status: int, reason: str) -> None:
    """Without a token or with a wrong one it is 401, with one that may nothing 403."""
    with GCSServer(require_auth=True, tokens={"good": "owner", "bad": "denied"}) as server:
        server.create_bucket("bucket")
        connection = http.client.HTTPConnection(urlsplit(server.endpoint).netloc, timeout=10)
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        connection.request("GET", "/storage/v1/b/bucket/o", headers=headers)
        answer = connection.getresponse()
        document = json.loads(answer.read())
        connection.close()
    assert answer.status == status
    if reason:
        assert document["error"]["errors"][0]["reason"] == reason
        assert document["error"]["code"] == status


@pytest.mark.parametrize("trusted", [True, False])
def test_service_account(rsa_key: tuple[str, int, int], trusted: bool) -> None:
    """A service account's signed request becomes a token; one signed with another key does not."""
    pem, modulus, exponent = rsa_key
    with GCSServer(require_auth=True) as server:
        server.create_bucket("bucket")
        server.authority.trust("me@example.com", modulus if trusted else modulus - 2, exponent)
        info = {
            "client_email": "me@example.com",
            "private_key": pem,
            "token_uri": server.endpoint + "/token",
        }
        credentials = service_account.Credentials.from_service_account_info(
            info, scopes=storage.Client.SCOPE
        )
        if not trusted:
            with pytest.raises(Exception, match="Invalid JWT Signature"):
                credentials.refresh(Request())
            return
        client = storage.Client(
            "tests", credentials=credentials, client_options={"api_endpoint": server.endpoint}
        )
        assert [bucket.name for bucket in client.list_buckets()] == ["bucket"]
        client.close()


@pytest.fixture(scope="session")
def rsa_key() -> tuple[str, int, int]:
    """An RSA key: as PEM, and its public numbers."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    numbers = key.public_key().public_numbers()
    return pem.decode(), numbers.n, numbers.e


@pytest.mark.parametrize(
    ("path", "status", "expected"),
    [
        ("/", 200, b"computeMetadata/\n"),
        ("/computeMetadata/v1/project/project-id", 200, b"devqubit-tests"),
        ("/computeMetadata/v1/universe/universe-domain", 200, b"googleapis.com"),
        ("/computeMetadata/v1/nothing", 404, b""),
    ],
)
def test_metadata_server(ask: Ask, path: str, status: int, expected: bytes) -> None:
    """The metadata server says what it is, and what google-auth asks it."""
    got, headers, body = ask("GET", path, Metadata_Flavor="Google")
    assert (got, body, headers["Metadata-Flavor"]) == (status, expected, "Google")


def test_metadata_server_gives_tokens(server: GCSServer, ask: Ask) -> None:
    """The metadata server gives a token of an owner, to those who send its header."""
    path = "/computeMetadata/v1/instance/service-accounts/default/"
    assert ask("GET", path + "token")[0] == 403
    token = json.loads(ask("GET", path + "token", Metadata_Flavor="Google")[2])["access_token"]
    assert server.authority.tokens[token] == "owner"
    info = json.loads(ask("GET", path + "?recursive=true", Metadata_Flavor="Google")[2])
    assert info["email"].endswith(".gserviceaccount.com")


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_refusals_on_demand(server: GCSServer, ask: Ask, status: int) -> None:
    """The next requests are refused as told, then it works again."""
    server.plant("bucket", "a", b"1")
    server.fail_next(2, status, headers={"Retry-After": "1"}, method="GET")
    answers = [ask("GET", _named("a")) for _ in range(3)]
    assert [answer[0] for answer in answers] == [status, status, 200]
    assert answers[0][1]["Retry-After"] == "1"
    assert json.loads(answers[0][2])["error"]["code"] == status


@pytest.mark.parametrize(("how", "executed"), [("forget", True), ("close", False)])
def test_connections_that_break(server: GCSServer, ask: Ask, how: Any, executed: bool) -> None:
    """A connection breaks before a request is executed, or after, without an answer."""
    server.fail_next(how=how, path="/upload/")
    with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
        ask("POST", "/upload/storage/v1/b/bucket/o?uploadType=media&name=a", b"1")
    assert ("a" in server.objects("bucket")) == executed


def test_bodies_that_break_off(server: GCSServer, ask: Ask) -> None:
    """A body ends in the middle, and its length says so."""
    server.plant("bucket", "a", b"0123456789")
    server.fail_next(how="cut")
    with pytest.raises(http.client.IncompleteRead) as caught:
        ask("GET", _named("a") + "?alt=media")
    assert caught.value.partial == b"01234"


def test_requests_are_recorded(server: GCSServer, ask: Ask) -> None:
    """Every request is recorded as it was sent, until the record is cleared."""
    ask("GET", "/storage/v1/b/bucket/o?prefix=a%2F")
    server.requests.clear()
    ask("GET", "/storage/v1/b/bucket/o?prefix=b%2F")
    assert server.requests == [("GET", "/storage/v1/b/bucket/o?prefix=b%2F")]


def test_emulator_variable(server: GCSServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Google's client finds the server by STORAGE_EMULATOR_HOST, and asks for no credentials."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.endpoint)
    client = storage.Client()
    assert [bucket.name for bucket in client.list_buckets()] == ["bucket"]
    client.close()


def test_stopped_server_is_gone(ask: Ask) -> None:
    """A server that was stopped answers no more, on old connections neither."""
    server = GCSServer().start()
    connection = http.client.HTTPConnection(urlsplit(server.endpoint).netloc, timeout=10)
    connection.request("GET", "/storage/v1/b")
    connection.getresponse().read()
    server.stop()
    with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
        connection.request("GET", "/storage/v1/b")
        connection.getresponse()
    connection.close()
