"""What a Cloud Storage bucket asks of the service, how often, and how it moves many blobs."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from devqubit.errors import (
    BlobNotFoundError,
    BucketNotFoundError,
    ConflictError,
    StorageError,
    ThrottledError,
    UnreachableError,
)
from devqubit.plugin import ABSENT, Bucket, Version, open_bucket
from tests.servers.gcs import GCSServer

MIB = 1024 * 1024


@pytest.fixture
def url(gcs_server: GCSServer, gcs_bucket: str) -> str:
    """A bucket with the blob `a`."""
    gcs_server.plant(gcs_bucket, "a", b"1")
    return f"gs://{gcs_bucket}?endpoint_url={gcs_server.endpoint}&anonymous=true&timeout=5"


@pytest.fixture
def bucket(gcs_server: GCSServer, url: str) -> Iterator[Bucket]:
    """It opened, with nothing asked so far, where nothing fails any more."""
    bucket = open_bucket(url)
    gcs_server.requests.clear()
    yield bucket
    gcs_server.forgive()
    bucket.close()


def _asked(server: GCSServer) -> list[str]:
    """The requests so far: verb, kind and what is not the same in every run."""
    return [
        f"{method} {re.sub(r'/storage/v1/b/bucket-[0-9a-f]+', '', target)}"
        for method, target in server.requests
    ]


def _version(bucket: Bucket) -> Version:
    (info,) = bucket.list()
    return info.version


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda b: b.read("a"), "GET /download/o/a?alt=media"),
        (lambda b: b.read("a", start=0, length=1), "GET /download/o/a?alt=media"),
        (lambda b: b.download("a", io.BytesIO()), "GET /download/o/a?alt=media"),
        (lambda b: b.write("a", b"2"), "POST /upload/o?uploadType=multipart"),
        (
            lambda b: b.write("b", b"2", if_version=ABSENT),
            "POST /upload/o?uploadType=multipart&ifGenerationMatch=0",
        ),
        (
            lambda b: b.upload("a", io.BytesIO(bytes(MIB)), MIB),
            "POST /upload/o?uploadType=multipart",
        ),
        (lambda b: b.stat("a"), "GET /o/a?projection=noAcl&prettyPrint=false"),
        (lambda b: b.delete("a"), "DELETE /o/a?prettyPrint=false"),
        (lambda b: list(b.delete_many(["a"] * 100)), "POST /batch/storage/v1"),
    ],
)
def test_one_request(
    gcs_server: GCSServer, bucket: Bucket, call: Callable[[Bucket], object], expected: str
) -> None:
    """Each operation is one request: bytes come with their version, writes are in one piece."""
    call(bucket)
    assert _asked(gcs_server) == [expected]


def test_replacing_is_one_request(gcs_server: GCSServer, bucket: Bucket) -> None:
    """A replacement on a condition is one request."""
    version = _version(bucket)
    gcs_server.requests.clear()
    bucket.write("a", b"2", if_version=version)
    assert _asked(gcs_server) == [
        f"POST /upload/o?uploadType=multipart&ifGenerationMatch={version}"
    ]


def test_nothing_is_asked_in_the_background(gcs_server: GCSServer, bucket: Bucket) -> None:
    """The bucket itself is never asked for: the role for objects need not allow that."""
    bucket.write("b", b"1")
    bucket.read("b")
    with pytest.raises(BlobNotFoundError):
        bucket.read("missing")
    time.sleep(0.2)
    assert len(gcs_server.requests) == 3


def test_opening_asks_nothing(gcs_server: GCSServer, url: str) -> None:
    """Opening a bucket, and closing it twice, needs no server."""
    gcs_server.requests.clear()
    bucket = open_bucket(url)
    bucket.close()
    bucket.close()
    assert gcs_server.requests == []


def test_used_after_close(bucket: Bucket) -> None:
    """A bucket that was closed connects again when it is needed."""
    bucket.read("a")
    bucket.close()
    assert bucket.read("a").data == b"1"


def test_import_loads_no_sdk() -> None:
    """The plugin's module is imported without Google's, which take half a second."""
    program = (
        "import sys, devqubit_gcs; devqubit_gcs.devqubit_storage_backend(); "
        "print(*(m for m in ('google.auth', 'google.cloud.storage', 'requests', 'urllib3') "
        "if m in sys.modules))"
    )
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert loaded.stdout.split() == []


def test_pages_as_they_are_needed(gcs_server: GCSServer, gcs_bucket: str, bucket: Bucket) -> None:
    """2,100 keys are three pages with only what is needed; a page is asked for when it is."""
    keys = [f"many/{number:04}" for number in range(2_100)]
    for key in keys:
        gcs_server.plant(gcs_bucket, key, b"")
    listed = bucket.list("many/")
    assert next(listed).key == keys[0]
    assert len(gcs_server.requests) == 1
    assert [info.key for info in listed] == keys[1:]
    assert len(gcs_server.requests) == 3
    assert "fields=items%28name%2Csize%2Cgeneration%2CtimeCreated%29" in gcs_server.requests[0][1]


def test_listing_begins_behind_a_key(
    gcs_server: GCSServer, gcs_bucket: str, bucket: Bucket
) -> None:
    """The service is asked for what is behind `start_after`, not for all before it."""
    for number in range(1_500):
        gcs_server.plant(gcs_bucket, f"many/{number:04}", b"")
    gcs_server.requests.clear()
    assert len(list(bucket.list("many/", start_after="many/0999"))) == 500
    assert len(gcs_server.requests) == 1


def test_failing_page_is_asked_again(
    gcs_server: GCSServer, gcs_bucket: str, bucket: Bucket
) -> None:
    """A page that fails for a moment is asked for again, and no key is lost or doubled."""
    keys = [f"many/{number:04}" for number in range(1_500)]
    for key in keys:
        gcs_server.plant(gcs_bucket, key, b"")
    listed = bucket.list("many/")
    first = next(listed).key
    failure = gcs_server.fail_next(1, how="cut", path="pageToken")
    assert [first, *(info.key for info in listed)] == keys
    assert failure.times == 0


def test_folders_of_consoles_are_no_keys(
    gcs_server: GCSServer, gcs_bucket: str, bucket: Bucket
) -> None:
    """Objects whose names end in a slash, which web consoles make, are not listed."""
    gcs_server.plant(gcs_bucket, "folder/", b"")
    assert [info.key for info in bucket.list()] == ["a"]


def test_batches(gcs_server: GCSServer, gcs_bucket: str, bucket: Bucket) -> None:
    """250 keys are deleted in three requests, in order, and odd ones too."""
    keys = [f"odd/é +%#?{number}" for number in range(249)]
    for key in keys:
        gcs_server.plant(gcs_bucket, key, b"")
    outcomes = list(bucket.delete_many([*keys, "missing"]))
    assert outcomes == [(key, None) for key in [*keys, "missing"]]
    assert gcs_server.objects(gcs_bucket).keys() == {"a"}
    assert [target for _, target in gcs_server.requests] == ["/batch/storage/v1"] * 3


@pytest.mark.parametrize("how", ["close", "forget"])
def test_batch_is_sent_again(
    gcs_server: GCSServer, gcs_bucket: str, bucket: Bucket, how: Any
) -> None:
    """A batch whose answer was lost is sent again; what it did already is no error."""
    gcs_server.fail_next(1, how=how)
    assert list(bucket.delete_many(["a", "b"])) == [("a", None), ("b", None)]
    assert gcs_server.objects(gcs_bucket) == {}


def test_server_without_batches(gcs_server: GCSServer, gcs_bucket: str, bucket: Bucket) -> None:
    """Where there are no batches, keys are deleted one by one."""
    gcs_server.fail_next(100, 400, path="^/batch/")
    assert list(bucket.delete_many(["a", "b"])) == [("a", None), ("b", None)]
    assert gcs_server.objects(gcs_bucket) == {}


def test_batch_in_a_missing_bucket(gcs_server: GCSServer) -> None:
    """A batch that finds nothing finds out whether the bucket is there."""
    bucket = open_bucket(f"gs://none?endpoint_url={gcs_server.endpoint}&anonymous=true")
    gcs_server.fail_next(2, 404, batched=True)
    outcomes = dict(bucket.delete_many(["a", "b"]))
    assert [type(error) for error in outcomes.values()] == [BucketNotFoundError] * 2
    bucket.close()


def test_busy_within_a_batch(gcs_server: GCSServer, gcs_bucket: str, bucket: Bucket) -> None:
    """One call of a batch that was refused for the moment is done again alone."""
    gcs_server.fail_next(1, 429, path="/o/a[?]", batched=True)
    assert list(bucket.delete_many(["a", "b"])) == [("a", None), ("b", None)]
    assert gcs_server.objects(gcs_bucket) == {}
    assert _asked(gcs_server)[-1] == "DELETE /o/a?prettyPrint=false"


def test_batch_is_given_up(gcs_server: GCSServer, bucket: Bucket) -> None:
    """A batch that fails for good is the error of each of its keys."""
    impatient = open_bucket(bucket.location, {"anonymous": True, "max_attempts": 2})
    gcs_server.fail_next(100, 429)
    outcomes = dict(impatient.delete_many(["a", "b"]))
    assert [type(error) for error in outcomes.values()] == [ThrottledError, ThrottledError]
    impatient.close()


def test_large_upload_is_streamed(gcs_server: GCSServer, gcs_bucket: str, bucket: Bucket) -> None:
    """A large file goes up in chunks of 8 MiB, from where it stands, without seeking."""
    data = os.urandom(MIB) * 20 + b"end"

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def tell(self) -> int:
            raise OSError("a pipe has no position")

        def read(self, size: int | None = -1) -> bytes:
            sizes.append(size)
            return super().read(size)

    sizes: list[int | None] = []
    version = bucket.upload("big", Pipe(data), len(data))
    assert gcs_server.objects(gcs_bucket)["big"].data == data
    assert bucket.stat("big").version == version
    assert sizes == [8 * MIB, 8 * MIB, 4 * MIB + 3]
    assert [method for method, _ in gcs_server.requests] == ["POST", "PUT", "PUT", "PUT", "GET"]


def test_address_of_an_upload_is_secret() -> None:
    """Whoever knows an upload's address can go on with it: no message has it."""
    server = GCSServer().start()
    server.create_bucket("bucket")

    class LastWish(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            server.stop()
            return super().read(size)

    query = f"endpoint_url={server.endpoint}&anonymous=true&max_attempts=2"
    bucket = open_bucket(f"gs://bucket?{query}")
    with pytest.raises(UnreachableError, match="upload_id=…") as caught:
        bucket.upload("big", LastWish(bytes(9 * MIB)), 9 * MIB)
    assert re.search("upload_id=[^…]", str(caught.value)) is None
    bucket.close()


@pytest.mark.parametrize("how", ["refuse", "close", "forget"])
@pytest.mark.parametrize("chunk", [1, 2])
def test_large_upload_goes_on(
    gcs_server: GCSServer, gcs_bucket: str, bucket: Bucket, how: Any, chunk: int
) -> None:
    """An upload that breaks off goes on from what the service has, also at its end."""
    data = os.urandom(MIB) * 9
    start = {1: "bytes 0-", 2: "bytes 8388608-"}[chunk]
    gcs_server.fail_next(1, how=how, method="PUT", content_range=start)
    version = bucket.upload("big", io.BytesIO(data), len(data))
    stored = gcs_server.objects(gcs_bucket)["big"]
    assert (stored.data, str(stored.generation)) == (data, version)


def test_large_upload_kept_in_part(gcs_server: GCSServer, gcs_bucket: str, bucket: Bucket) -> None:
    """Where the service kept a part of a chunk, only the rest is sent again."""
    data = os.urandom(MIB) * 9
    failure = gcs_server.fail_next(1, how="keep part", method="PUT")
    bucket.upload("big", io.BytesIO(data), len(data))
    assert failure.times == 0
    assert gcs_server.objects(gcs_bucket)["big"].data == data


def test_large_upload_damaged_on_the_way(
    gcs_server: GCSServer, gcs_bucket: str, bucket: Bucket
) -> None:
    """What does not arrive as it was sent is refused, and nothing is seen of it."""
    gcs_server.fail_next(1, how="damage", method="PUT")
    with pytest.raises(StorageError, match="CRC32C"):
        bucket.upload("big", io.BytesIO(bytes(9 * MIB)), 9 * MIB)
    assert "big" not in gcs_server.objects(gcs_bucket)


@pytest.mark.parametrize("size", [16 * MIB, 9 * MIB])
def test_large_download(gcs_server: GCSServer, gcs_bucket: str, bucket: Bucket, size: int) -> None:
    """A large blob comes in chunks, each of the same version."""
    data = os.urandom(size)
    gcs_server.plant(gcs_bucket, "big", data)
    target = io.BytesIO()
    version = bucket.download("big", target)
    assert (target.getvalue(), version) == (data, bucket.stat("big").version)


@pytest.mark.parametrize("size", [0, 9 * MIB])
def test_replaced_while_it_is_downloaded(
    gcs_server: GCSServer, gcs_bucket: str, bucket: Bucket, size: int
) -> None:
    """A blob that is replaced while it is downloaded is a conflict, not a mixture."""
    gcs_server.plant(gcs_bucket, "big", bytes(9 * MIB))

    class Target(io.BytesIO):
        def write(self, data: Any) -> int:
            gcs_server.plant(gcs_bucket, "big", b"x" * size)
            return super().write(data)

    with pytest.raises(ConflictError, match="replaced while it was read"):
        bucket.download("big", Target())


def test_options_of_what_is_written(gcs_server: GCSServer, gcs_bucket: str, url: str) -> None:
    """Storage class and key are those of every object, small or large; the payer is named."""
    key = "projects/p/locations/l/keyRings/r/cryptoKeys/k"
    options = {"storage_class": "NEARLINE", "kms_key_name": key, "user_project": "payer"}
    bucket = open_bucket(url, options)
    bucket.write("small", b"1", if_version=ABSENT)
    bucket.upload("large", io.BytesIO(bytes(9 * MIB)), 9 * MIB)
    for name in ("small", "large"):
        stored = gcs_server.objects(gcs_bucket)[name].properties
        assert stored["storageClass"] == "NEARLINE"
        assert stored["kmsKeyName"].startswith(key)
    gcs_server.requests.clear()
    for call in (bucket.read, bucket.stat, bucket.delete, lambda _: list(bucket.list())):
        call("small")
    assert all("userProject=payer" in target for _, target in gcs_server.requests)
    bucket.close()


def test_connections_are_kept(gcs_server: GCSServer, url: str) -> None:
    """`max_concurrency` threads have a connection each, which are kept and used again."""
    bucket = open_bucket(url, {"max_concurrency": 24})
    before = gcs_server.connections
    for _ in range(3):
        start = threading.Barrier(24)

        def read(_: int, start: threading.Barrier = start) -> bytes:
            start.wait()
            return bucket.read("a").data

        with ThreadPoolExecutor(24) as pool:
            assert list(pool.map(read, range(24))) == [b"1"] * 24
    assert gcs_server.connections - before <= 24
    bucket.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_forked_child_connects_anew(gcs_server: GCSServer, bucket: Bucket) -> None:
    """A forked child has a connection of its own."""
    bucket.read("a")
    before = gcs_server.connections
    child = os.fork()
    if child == 0:
        signal.alarm(20)  # the end of a child that waits for ever
        os._exit(0 if bucket.read("a").data == b"1" else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert gcs_server.connections == before + 1
    assert bucket.read("a").data == b"1"
    assert gcs_server.connections == before + 1
