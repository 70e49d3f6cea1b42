"""S3: options of a URL, keywords and the environment, as they arrive at the server."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import boto3
import botocore
import pytest

from devqubit import __version__
from devqubit.errors import InvalidOptionError
from devqubit.plugin import ABSENT, Bucket, open_bucket
from devqubit.storage import create_registry, create_store
from tests.servers.relay import Answer, Relay, Request, Rule

MIB = 1024 * 1024


def region_of(request: Request) -> str:
    """The region that a request is signed for."""
    return request.headers["authorization"].partition("Credential=")[2].split("/")[2]


@pytest.mark.parametrize("application", ["", "fridge-7"])
def test_user_agent(
    relay: Relay, s3_bucket: str, monkeypatch: pytest.MonkeyPatch, application: str
) -> None:
    """Access logs show devqubit, boto3, and the application's id that AWS's settings have."""
    monkeypatch.setenv("AWS_SDK_UA_APP_ID", application)
    open_bucket(f"s3://{s3_bucket}?endpoint_url={relay.endpoint}").write("a", b"")
    names = [part.partition("/") for part in relay.requests[-1].headers["user-agent"].split()]
    expected = [("devqubit", __version__), ("Boto3", boto3.__version__)]
    expected += [("Botocore", botocore.__version__)]
    expected += [("app", application)] if application else []
    assert [(name, version) for name, _, version in names][: len(expected)] == expected


@pytest.fixture
def _by_proxy(monkeypatch: pytest.MonkeyPatch, relay: Relay) -> None:
    """Every server, whatever its name, is the relay, which accepts anything."""
    monkeypatch.setenv("HTTP_PROXY", relay.endpoint)
    relay.add(Rule(), Answer(200, b"", {"ETag": '"e"'}))


def test_endpoint(
    relay: Relay, s3_endpoint: str, s3_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An endpoint of the URL, of a keyword and of the environment are one place."""
    by_url = open_bucket(f"s3://{s3_bucket}/x?endpoint_url={relay.endpoint}")
    by_slash = open_bucket(f"s3://{s3_bucket}/x?endpoint_url={relay.endpoint}/")
    by_keyword = open_bucket(f"s3://{s3_bucket}/x", {"endpoint_url": relay.endpoint})
    by_both = open_bucket(
        f"s3://{s3_bucket}/x?endpoint_url={s3_endpoint}", {"endpoint_url": relay.endpoint}
    )
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", relay.endpoint)
    by_environment = open_bucket(f"s3://{s3_bucket}/x")
    buckets = (by_url, by_slash, by_keyword, by_both, by_environment)
    for number, bucket in enumerate(buckets):
        bucket.write(f"{number}", b"")
    assert [request.path for request in relay.requests] == [
        f"/{s3_bucket}/x/{number}" for number in range(5)
    ]
    assert {bucket.location for bucket in buckets} == {
        f"s3://{s3_bucket}/x?endpoint_url={relay.endpoint}"
    }


@pytest.mark.parametrize("endpoint", ["http://h:1/?token=hunter2", "http://key:hunter2@h:1"])
def test_endpoint_with_a_secret(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint of the environment, too, is refused if it would show a secret."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
    with pytest.raises(InvalidOptionError, match="leave out") as caught:
        open_bucket("s3://bucket/x?region=us-east-1")
    assert "hunter2" not in str(caught.value)


def test_endpoint_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint of the environment that boto3 cannot use says where it is from."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "nothing")
    with pytest.raises(InvalidOptionError, match="check AWS_ENDPOINT_URL"):
        open_bucket("s3://bucket/x?region=us-east-1")


def test_location_opens_again(s3: Bucket) -> None:
    """A location is a URL of the same place, and has nothing that is not part of it."""
    s3.write("k", b"1")
    again = open_bucket(s3.location)
    assert (again.read("k").data, again.location) == (b"1", s3.location)


@pytest.mark.usefixtures("_by_proxy")
@pytest.mark.parametrize(
    ("option", "target"),
    [
        ("", "http://storage.test/bucket/x/k"),
        ("&addressing_style=path", "http://storage.test/bucket/x/k"),
        ("&addressing_style=virtual", "http://bucket.storage.test/x/k"),
    ],
)
def test_addressing(relay: Relay, option: str, target: str) -> None:
    """The bucket is in the path, or in the host name where that is asked for."""
    open_bucket(f"s3://bucket/x?endpoint_url=http://storage.test{option}").write("k", b"1")
    assert relay.requests[-1].target == target


def test_region(relay: Relay, s3_bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The region of a keyword wins over the URL's, and that over the environment's."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    place = f"s3://{s3_bucket}/x?endpoint_url={relay.endpoint}"
    list(open_bucket(place).list())
    list(open_bucket(place + "&region=eu-west-2").list())
    list(open_bucket(place + "&region=eu-west-2", {"region": "eu-west-3"}).list())
    regions = [region_of(request) for request in relay.requests]
    assert regions == ["eu-west-1", "eu-west-2", "eu-west-3"]


def test_options_of_stores_and_registries(relay: Relay, s3_bucket: str) -> None:
    """Keywords of create_store and create_registry are options of the backend."""
    with create_store(f"s3://{s3_bucket}/x", endpoint_url=relay.endpoint, region="r1") as store:
        store.put_bytes(b"1")
    with create_registry(f"s3://{s3_bucket}/x", endpoint_url=relay.endpoint, region="r2") as runs:
        runs.save({"run_id": "r"})
    assert [region_of(request) for request in relay.requests] == ["r1", "r2"]


@pytest.fixture
def everything(relay: Relay, s3_url: str) -> Callable[..., list[Request]]:
    """Does everything a bucket can do, with options, and gives the requests."""

    def do(**options: object) -> list[Request]:
        bucket = open_bucket(s3_url, options)
        version = bucket.write("k", b"1", if_version=ABSENT)
        version = bucket.write("k", b"2", if_version=version)
        bucket.upload("big", io.BytesIO(bytes(9 * MIB)), 9 * MIB)
        bucket.read("k", length=1)
        list(bucket.list())
        bucket.delete("k", if_version=version)
        list(bucket.delete_many(["big"]))
        return relay.requests

    return do


def test_no_checksums_for_other_servers(everything: Callable[..., list[Request]]) -> None:
    """Servers other than AWS get no trailing checksums, and no others where it can be helped."""
    requests = everything()
    assert not [name for request in requests for name in request.headers if "trailer" in name]
    with_checksum = {
        request.target.partition("?")[2]
        for request in requests
        if any(name.startswith("x-amz-checksum") for name in request.headers)
    }
    assert with_checksum <= {"delete"}


def test_bodies_are_sent_at_once(everything: Callable[..., list[Request]]) -> None:
    """No request asks for leave to send its body, which would take a round trip."""
    assert not [request for request in everything() if "expect" in request.headers]


@pytest.mark.usefixtures("_by_proxy")
def test_checksums_for_aws(relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS, also at an endpoint of its own, gets checksums, and is no part of the location."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://s3.eu-west-3.amazonaws.com")
    bucket = open_bucket("s3://bucket/x")
    bucket.write("k", b"1")
    assert "x-amz-checksum-crc32" in relay.requests[-1].headers
    assert bucket.location == "s3://bucket/x"


def test_options_of_what_is_written(everything: Callable[..., list[Request]]) -> None:
    """Storage class and encryption are those of every object, small or large."""
    requests = everything(storage_class="STANDARD_IA", sse="aws:kms", sse_kms_key_id="alias/lab")
    wanted = {
        "x-amz-storage-class": "STANDARD_IA",
        "x-amz-server-side-encryption": "aws:kms",
        "x-amz-server-side-encryption-aws-kms-key-id": "alias/lab",
    }
    objects = [
        request
        for request in requests
        if (request.method == "PUT" and "partNumber" not in request.target)
        or request.target.endswith("?uploads")
    ]
    assert len(objects) == 3
    assert [{name: r.headers.get(name) for name in wanted} for r in objects] == [wanted] * 3


@pytest.mark.parametrize("pays", [True, False])
def test_requester_pays(everything: Callable[..., list[Request]], pays: bool) -> None:
    """Who pays for requests says so in every one."""
    payers = {
        request.headers.get("x-amz-request-payer") for request in everything(requester_pays=pays)
    }
    assert payers == {"requester" if pays else None}


@pytest.mark.parametrize(
    ("path", "prefix"),
    [
        ("a%20b", "a b"),
        ("a b", "a b"),
        ("\u00e9/e\u0301", "\u00e9/e\u0301"),
        ("%C3%A9", "\u00e9"),
        ("a%252Fb", "a%2Fb"),
        ("100%25", "100%"),
        ("a+b", "a+b"),
        ("q%3Fr%23s&t=u", "q?r#s&t=u"),
        ("/deep/er/", "deep/er"),
        ("'\"<>$()[]{}|^`~", "'\"<>$()[]{}|^`~"),
    ],
)
def test_odd_prefixes(
    s3_endpoint: str, s3_bucket: str, plain_s3: Any, path: str, prefix: str
) -> None:
    """A prefix is in the bucket what it is in the URL, escapes undone once."""
    bucket = open_bucket(f"s3://{s3_bucket}/{path}?endpoint_url={s3_endpoint}")
    version = bucket.write("k k", b"1")
    found = plain_s3.list_objects_v2(Bucket=s3_bucket)["Contents"]
    assert [item["Key"] for item in found] == [f"{prefix}/k k"]
    assert [(info.key, info.version) for info in bucket.list("k")] == [("k k", version)]
    assert open_bucket(bucket.location).read("k k").version == version
    assert list(bucket.delete_many(["k k"])) == [("k k", None)]
    assert list(bucket.list()) == []
