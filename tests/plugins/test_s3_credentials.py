"""S3: where credentials come from, and what happens when there are none or wrong ones."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from devqubit.errors import AccessDeniedError, CredentialsError, StorageError
from devqubit.plugin import Bucket, open_bucket
from tests.servers.relay import Relay
from tests.servers.s3 import S3Server

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
