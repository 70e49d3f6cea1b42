"""S3 servers that are not quite S3: what they do not know is made up for, or noticed."""

from __future__ import annotations

import io
import random
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from devqubit.errors import BackendError, ConflictError
from devqubit.plugin import ABSENT, Blob, Bucket, Version, open_bucket
from tests.servers.relay import Alter, Answer, Relay, Request, Rule

MIB = 1024 * 1024


def without_header(name: str) -> Alter:
    """What a server sees that does not know a header."""

    def change(request: Request) -> Request:
        return replace(request, headers={n: v for n, v in request.headers.items() if n != name})

    return Alter(change)


def without_parameter(name: str) -> Alter:
    """What a server sees that does not know a parameter of the query."""

    def change(request: Request) -> Request:
        return replace(request, target=re.sub(rf"&?\b{name}=[^&]*", "", request.target))

    return Alter(change)


@pytest.fixture
def _unquoted(refuse: Callable[..., None]) -> None:
    """The server compares ETags without quotes, as Ceph does."""
    refuse(
        412, "PreconditionFailed", where=lambda request: '"' in request.headers.get("if-match", "")
    )


@pytest.mark.usefixtures("_unquoted")
def test_unquoted_replace(relay: Relay, s3: Bucket) -> None:
    """A replacement works, and later ones ask no more than elsewhere."""
    version = s3.write("k", b"1")
    version = s3.write("k", b"2", if_version=version)
    relay.requests.clear()
    version = s3.write("k", b"3", if_version=version)
    assert [request.method for request in relay.requests] == ["PUT"]
    assert s3.read("k") == Blob(b"3", version)


@pytest.mark.usefixtures("_unquoted")
@pytest.mark.parametrize("known", [True, False])
def test_unquoted_conflict(s3: Bucket, known: bool) -> None:
    """A stale version is a conflict, whether it is known by then what the server is like."""
    stale = s3.write("k", b"1")
    current = s3.write("k", b"22")
    if known:
        s3.write("other", b"2", if_version=s3.write("other", b"1"))
    with pytest.raises(ConflictError) as caught:
        s3.write("k", b"3", if_version=stale)
    assert (caught.value.expected, caught.value.actual) == (stale, current)
    assert s3.read("k") == Blob(b"22", current)


@pytest.mark.usefixtures("_unquoted")
def test_unquoted_conflict_with_a_missing_blob(s3: Bucket) -> None:
    """A version of what is gone is a conflict, also where that is answered with 412."""
    version = s3.write("k", b"1")
    s3.delete("k")
    with pytest.raises(ConflictError) as caught:
        s3.write("k", b"2", if_version=version)
    assert caught.value.actual is ABSENT


@pytest.mark.usefixtures("_unquoted")
def test_unquoted_delete(s3: Bucket) -> None:
    """A conditional deletion works, and a stale one does not."""
    stale = s3.write("k", b"1")
    version = s3.write("k", b"22")
    with pytest.raises(ConflictError):
        s3.delete("k", if_version=stale)
    assert s3.delete("k", if_version=version)
    assert list(s3.list()) == []


def test_quoted_server_is_asked_once(relay: Relay, s3: Bucket) -> None:
    """Where quotes are right, a replacement is one request from the first."""
    version = s3.write("k", b"1")
    relay.requests.clear()
    s3.write("k", b"2", if_version=version)
    (put,) = relay.requests
    assert (put.method, put.headers["if-match"]) == ("PUT", f'"{version}"')


def test_delete_without_conditions(relay: Relay, s3: Bucket) -> None:
    """A stale deletion is a conflict where the server does not know conditions on DELETE."""
    relay.add(Rule(method="DELETE"), without_header("if-match"))
    stale = s3.write("k", b"1")
    s3.write("k", b"22")
    with pytest.raises(ConflictError):
        s3.delete("k", if_version=stale)
    assert s3.read("k").data == b"22"


def test_conditional_delete_is_told(relay: Relay, s3: Bucket, refuse: Callable[..., None]) -> None:
    """What a server makes of conditions on DELETE is told, and nothing is deleted to know it."""
    s3.write("k", b"1")

    def told() -> str:
        return s3.describe()["conditional delete"]

    assert told() == "honoured"
    relay.add(Rule(method="DELETE", turns={1}), without_header("if-match"))
    assert told().startswith("passed over")
    refuse(501, "NotImplemented", method="DELETE", turns={1})
    assert told().startswith("refused by the server")
    refuse(403, "AccessDenied", method="DELETE", turns={1})
    assert told().startswith("not known")
    assert [info.key for info in s3.list()] == ["k"]


@pytest.mark.parametrize(
    ("start", "length", "expected"),
    [(0, 4, b"0123"), (3, 4, b"3456"), (3, None, b"3456789"), (8, 9, b"89"), (10, 5, b"")],
)
def test_ranges_ignored(
    relay: Relay, s3: Bucket, start: int, length: int | None, expected: bytes
) -> None:
    """Of a server that always answers with everything, a range is still a range."""
    version = s3.write("digits", b"0123456789")
    relay.add(Rule(), without_header("range"))
    assert s3.read("digits", start=start, length=length) == Blob(expected, version)


def test_ranges_ignored_and_cut(relay: Relay, s3: Bucket) -> None:
    """An answer with everything that ends within the range is not taken for the range."""
    data = bytes(range(256))
    version = s3.write("k", data)
    whole = Answer(200, data, {"ETag": f'"{version}"'})
    relay.add(Rule(method="GET", turns={1}), replace(whole, cut=120))
    relay.add(Rule(method="GET"), whole)
    assert s3.read("k", start=100, length=50).data == data[100:150]


def test_ranges_ignored_in_a_download(relay: Relay, s3: Bucket) -> None:
    """A large blob comes whole from a server that does not know ranges."""
    data = random.Random(1).randbytes(8 * MIB + 5)
    version = s3.write("k", data)
    relay.add(Rule(), without_header("range"))
    target = io.BytesIO()
    assert s3.download("k", target) == version
    assert target.getvalue() == data


def test_start_after_ignored(relay: Relay, s3: Bucket) -> None:
    """Of a server that always lists from the beginning, only the keys behind one are given."""
    for key in ("a", "b/a", "b/b", "c"):
        s3.write(key, b"")
    relay.add(Rule(method="GET"), without_parameter("start-after"))
    assert [info.key for info in s3.list(start_after="b/a")] == ["b/b", "c"]
    assert "start-after" in relay.requests[-1].target


def page(*keys: str, token: str = "", truncated: bool = True) -> Answer:
    """A page of a list, in the words of the service."""
    items = "".join(
        f"<Contents><Key>x/{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
        f'<ETag>"e"</ETag><Size>1</Size></Contents>'
        for key in keys
    )
    end = f"<NextContinuationToken>{token}</NextContinuationToken>" if token else ""
    flag = str(truncated).lower()
    body = f"<ListBucketResult><IsTruncated>{flag}</IsTruncated>{items}{end}</ListBucketResult>"
    return Answer(200, body.encode())


@pytest.mark.parametrize(
    "answers",
    [
        [page("a", "b", token="t")],
        [page("a", "b", token="t"), page("c", token="t")],
        [page("a", "b", token="t1"), page("a", "b", token="t2")],
        [page(token="t")],
        [page("a", "b")],
        [page("a", "b", token="t"), page("c")],
    ],
    ids=["one page", "one token", "new tokens", "empty page", "no token", "no second token"],
)
def test_list_that_does_not_end(relay: Relay, s3: Bucket, answers: list[Answer]) -> None:
    """A list that repeats itself, or breaks off, is an error, and neither endless nor whole."""
    for answer in answers[:-1]:
        relay.add(Rule(turns={1}), answer)
    relay.add(Rule(), answers[-1])
    with pytest.raises(BackendError, match="how the list goes on"):
        list(s3.list())


def test_list_with_empty_pages(relay: Relay, s3: Bucket) -> None:
    """Pages without keys, which some servers give between others, do not end the list."""
    relay.add(Rule(turns={1}), page(token="1"))
    relay.add(Rule(turns={1}), page("a", token="2"))
    relay.add(Rule(turns={1}), page(token="3"))
    relay.add(Rule(), page("b", truncated=False))
    assert [info.key for info in s3.list()] == ["a", "b"]


def test_folders_of_consoles_are_no_keys(s3: Bucket, s3_bucket: str, plain_s3: Any) -> None:
    """Objects whose names end in a slash, which web consoles make, are not listed."""
    s3.write("folder/a", b"1")
    plain_s3.put_object(Bucket=s3_bucket, Key="x/folder/")
    assert [info.key for info in s3.list()] == ["folder/a"]


def test_completed_without_an_etag(relay: Relay, s3: Bucket) -> None:
    """A large upload has its version also where completing it tells none, as on Ceph."""
    done = b"<CompleteMultipartUploadResult><ETag></ETag></CompleteMultipartUploadResult>"

    def completed(request: Request) -> bool:
        return b"CompleteMultipartUpload" in request.body

    data = bytes(9 * MIB)
    expected = s3.upload("k", io.BytesIO(data), len(data))
    relay.add(Rule(where=completed), Answer(200, done))
    assert s3.upload("k", io.BytesIO(data), len(data)) == expected


def test_checksums_damaged_on_the_way(relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that does not match the checksum that AWS sends with it is read again."""
    # What boto3 takes for AWS, and gets to by a proxy.
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://s3.eu-west-3.amazonaws.com")
    monkeypatch.setenv("HTTP_PROXY", relay.endpoint)
    right = {"ETag": '"e"', "x-amz-checksum-crc32": "rfPzYw=="}
    relay.add(Rule(turns={1}), Answer(200, b"date", right))
    relay.add(Rule(), Answer(200, b"data", right))
    assert open_bucket("s3://bucket/x").read("k") == Blob(b"data", Version("e"))
    assert len(relay.requests) == 2
