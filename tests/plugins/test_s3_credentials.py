"""S3: where credentials come from, and what happens when there are none or wrong ones."""

from __future__ import annotations

import io
import json
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from devqubit.errors import AccessDeniedError, CredentialsError, StorageError
from devqubit.plugin import ABSENT, Bucket, open_bucket
from tests.servers.relay import Answer, Relay, Rule
from tests.servers.s3 import S3Server
from tests.servers.s3_issuer import PROFILE, CredentialIssuer

CONFIG = """
[profile lab]
aws_access_key_id = LABKEY
aws_secret_access_key = secret
region = eu-north-1

[profile other]
aws_access_key_id = OTHERKEY
aws_secret_access_key = secret

[profile empty]
region = eu-north-1
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration file with profiles."""
    path = tmp_path / "config"
    path.write_text(CONFIG)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(path))


@pytest.fixture
def place(relay: Relay, s3_bucket: str) -> str:
    """A place behind the relay, without a region."""
    return f"s3://{s3_bucket}/x?endpoint_url={relay.endpoint}"


def signed_by(relay: Relay, bucket: Bucket) -> str:
    """The key id and the region with which a request is signed."""
    list(bucket.list())
    signature = relay.requests[-1].headers["authorization"]
    key, _, region, _, _ = signature.partition("Credential=")[2].partition(",")[0].split("/")
    return f"{key} {region}"


def test_none_at_all(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """Without credentials nothing is sent, and the message says where they could come from."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    bucket = open_bucket(place)
    for call in (bucket.read, bucket.stat, bucket.delete, lambda key: list(bucket.list(key))):
        with pytest.raises(CredentialsError, match=r"aws configure.*AWS_PROFILE.*anonymous"):
            call("k")


def test_half_of_them(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """A key id without its secret is CredentialsError, at once."""
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(CredentialsError):
        open_bucket(place).read("k")


@pytest.mark.usefixtures("config")
def test_unknown_profile(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """A profile that is not there is named, whether by the URL or by AWS_PROFILE."""
    with pytest.raises(CredentialsError, match="nobody"):
        open_bucket(place + "&profile=nobody")
    monkeypatch.setenv("AWS_PROFILE", "somebody")
    with pytest.raises(CredentialsError, match="somebody"):
        open_bucket(place)


@pytest.mark.usefixtures("config")
def test_profile_without_credentials(place: str) -> None:
    """A profile that has none does not fall back to those of the environment."""
    with pytest.raises(CredentialsError):
        open_bucket(place + "&profile=empty").read("k")


@pytest.mark.usefixtures("config")
def test_profile_of_the_url(relay: Relay, place: str) -> None:
    """A profile signs with its own key and region, although the environment has a key."""
    assert signed_by(relay, open_bucket(place + "&profile=lab")) == "LABKEY eu-north-1"


@pytest.mark.usefixtures("config")
def test_profile_of_a_keyword(relay: Relay, place: str) -> None:
    """A profile as a keyword wins over the URL's."""
    bucket = open_bucket(place + "&profile=other", {"profile": "lab"})
    assert signed_by(relay, bucket) == "LABKEY eu-north-1"


@pytest.mark.usefixtures("config")
def test_profile_of_the_environment(
    relay: Relay, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AWS_PROFILE is used where the environment has no key."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_PROFILE", "lab")
    assert signed_by(relay, open_bucket(place)) == "LABKEY eu-north-1"


@pytest.mark.usefixtures("config")
def test_two_profiles_in_one_process(relay: Relay, place: str) -> None:
    """Buckets opened with different profiles keep each its own."""
    lab, other = (open_bucket(f"{place}&profile={name}") for name in ("lab", "other"))
    signatures = [signed_by(relay, bucket).split()[0] for bucket in (lab, other, lab)]
    assert signatures == ["LABKEY", "OTHERKEY", "LABKEY"]


@pytest.mark.parametrize("anonymous", [True, False])
def test_anonymous(relay: Relay, place: str, anonymous: bool) -> None:
    """An anonymous request carries no signature; others do."""
    bucket = open_bucket(place, {"anonymous": anonymous})
    bucket.write("k", b"1")
    list(bucket.list())
    signed = {"authorization" in request.headers for request in relay.requests}
    assert signed == {not anonymous}


def test_anonymous_needs_no_credentials(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """Whoever has no credentials reads a public bucket."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert list(open_bucket(place + "&anonymous=true").list()) == []


EXPIRED = b"<Error><Code>ExpiredToken</Code><Message>It has expired.</Message></Error>"


@pytest.fixture
def issuer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CredentialIssuer:
    """The profile whose credentials come from a program."""
    issuer = CredentialIssuer(tmp_path)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(issuer.config))
    return issuer


def expire(relay: Relay, token: str = "", status: int = 400) -> None:
    """From now on, the server refuses a token, or any."""
    relay.add(
        Rule(where=lambda request: token in request.headers.get("x-amz-security-token", "")),
        Answer(status, EXPIRED),
    )


CALLS: dict[str, Callable[[Bucket], object]] = {
    "read": lambda bucket: bucket.read("k").data,
    "range": lambda bucket: bucket.read("k", start=1, length=1).data,
    "write": lambda bucket: bucket.write("new", b"1"),
    "create": lambda bucket: bucket.write("new", b"1", if_version=ABSENT),
    "stat": lambda bucket: bucket.stat("k").size,
    "list": lambda bucket: [info.key for info in bucket.list()],
    "delete": lambda bucket: bucket.delete("k"),
    "delete_many": lambda bucket: list(bucket.delete_many(["k"])),
    "upload": lambda bucket: bucket.upload("new", io.BytesIO(bytes(9_000_000)), 9_000_000),
}


@pytest.mark.parametrize("status", [400, 403])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_expired_credentials_are_renewed(
    relay: Relay,
    place: str,
    issuer: CredentialIssuer,
    call: Callable[[Bucket], object],
    status: int,
) -> None:
    """Credentials that the server takes no more, long before their time, are asked for anew.

    It says so with status 400; the answer to a HEAD does not say why.
    """
    bucket = open_bucket(f"{place}&region=us-east-1&profile={PROFILE}")
    bucket.write("k", b"123")
    expected = call(bucket)
    bucket.write("k", b"123")
    bucket.delete("new")
    expire(relay, "token1", status)
    assert call(bucket) == expected
    assert issuer.issued == 2


def test_expired_credentials_in_files(
    relay: Relay, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Credentials that a tool wrote into a file are read from it anew once they have expired."""
    file = tmp_path / "credentials"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    lines = "[lab]\naws_access_key_id=K\naws_secret_access_key=s\naws_session_token="
    file.write_text(f"{lines}token1")
    bucket = open_bucket(f"{place}&region=us-east-1&profile=lab")
    bucket.write("k", b"1")
    expire(relay, "token1")
    file.write_text(f"{lines}token2")
    assert bucket.read("k").data == b"1"


@pytest.mark.parametrize("status", [400, 403])
def test_renewed_credentials_that_are_refused_too(
    relay: Relay, place: str, issuer: CredentialIssuer, status: int
) -> None:
    """A server that takes no credentials is asked twice, and the error says what it said."""
    bucket = open_bucket(f"{place}&region=us-east-1&profile={PROFILE}")
    expire(relay, status=status)
    with pytest.raises(CredentialsError, match="ExpiredToken"):
        bucket.read("k")
    assert (len(relay.requests), issuer.issued) == (2, 2)


def test_threads_renew_once(relay: Relay, place: str, issuer: CredentialIssuer) -> None:
    """Of 16 threads whose credentials expire at once, one renews them for all."""
    bucket = open_bucket(f"{place}&region=us-east-1&profile={PROFILE}")
    bucket.write("k", b"1")
    expire(relay, "token1")
    together = threading.Barrier(16)

    def read(_: int) -> bytes:
        together.wait()
        return bucket.read("k").data

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(read, range(16))) == [b"1"] * 16
    assert issuer.issued == 2


def test_issuer_of_expired_credentials(place: str, issuer: CredentialIssuer) -> None:
    """A source that gives what has expired already is CredentialsError, and says what to do."""
    issuer.expire_in(timedelta(hours=-1))
    bucket = open_bucket(f"{place}&region=us-east-1&profile={PROFILE}")
    with pytest.raises(CredentialsError, match=r"still expired.*Log in anew"):
        bucket.read("k")


@pytest.fixture(scope="module")
def guarded() -> Iterator[tuple[str, dict[str, dict[str, str]]]]:
    """A server that checks signatures and rights, and the keys of its users."""
    import boto3

    # A bucket, two users with a key each, and the rights of one of them.
    os.environ["INITIAL_NO_AUTH_ACTION_COUNT"] = "6"
    try:
        server = S3Server()
    finally:
        del os.environ["INITIAL_NO_AUTH_ACTION_COUNT"]
    with server:
        place: dict[str, Any] = {"endpoint_url": server.endpoint, "region_name": "us-east-1"}
        boto3.client("s3", **place).create_bucket(Bucket="guarded")
        iam = boto3.client("iam", **place)
        keys = {}
        for user in ("owner", "guest"):
            iam.create_user(UserName=user)
            keys[user] = iam.create_access_key(UserName=user)["AccessKey"]
        allowed = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
        iam.put_user_policy(UserName="owner", PolicyName="all", PolicyDocument=policy)
        yield server.endpoint, keys


@pytest.mark.parametrize(
    ("user", "change", "expected"),
    [
        ("owner", {}, None),
        ("owner", {"SecretAccessKey": "wrong"}, CredentialsError),
        ("owner", {"AccessKeyId": "AKIAWRONG"}, CredentialsError),
        ("guest", {}, AccessDeniedError),
    ],
    ids=["right", "wrong secret", "wrong key", "no rights"],
)
def test_server_that_checks(
    guarded: tuple[str, dict[str, dict[str, str]]],
    monkeypatch: pytest.MonkeyPatch,
    user: str,
    change: dict[str, str],
    expected: type[StorageError] | None,
) -> None:
    """Where signatures and rights are checked, wrong credentials and missing rights differ."""
    endpoint, keys = guarded
    key = {**keys[user], **change}
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
    bucket = open_bucket(f"s3://guarded/a b/é?endpoint_url={endpoint}&region=us-east-1")
    calls = (
        lambda: bucket.write("k +", b"1"),
        lambda: bucket.read("k +"),
        lambda: bucket.stat("k +"),
        lambda: list(bucket.list("k ")),
        lambda: bucket.delete("k +"),
    )
    assert [outcome(call) for call in calls] == [expected] * 5


def outcome(call: Callable[[], object]) -> type[StorageError] | None:
    """The class of the error that a call raises."""
    try:
        call()
    except StorageError as exc:
        return type(exc)
    return None
