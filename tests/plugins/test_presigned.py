"""Links to objects: whoever has one reads the object, from S3 and Cloud Storage, for a time."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import parse_qs, quote, urlsplit
from urllib.request import Request, urlopen

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from devqubit.errors import (
    CredentialsError,
    InvalidArgumentError,
    InvalidDigestError,
    UnsupportedError,
)
from devqubit.storage import create_store
from devqubit.storage._digest import digest_of
from tests.servers.gcs import GCSServer
from tests.servers.gcs_auth import SERVICE_ACCOUNT
from tests.servers.gcs_iam import IamServer

DATA = bytes(range(256)) * 16
DIGEST = digest_of(DATA)
EMAIL = "lab@devqubit.iam.gserviceaccount.com"
WEEK = 7 * 24 * 3600
PREFIXES = ["", "x", "a b/c+d", "büro/μ", "100%/%41", "a&b=c#d?e~f'(!)*"]


def follow(link: str) -> bytes:
    """What a link gives somebody who has nothing but the link."""
    with urlopen(Request(link), timeout=30) as answer:
        data: bytes = answer.read()
        return data


def refused(link: str) -> int:
    """The status with which a link is refused."""
    with pytest.raises(HTTPError) as caught:
        follow(link)
    caught.value.close()
    return caught.value.code


def parameters(link: str) -> dict[str, str]:
    """The parameters of a link."""
    return {name: values[0] for name, values in parse_qs(urlsplit(link).query).items()}


def credentials_file(path: Path, document: dict[str, str]) -> str:
    """A file of credentials."""
    path.write_text(json.dumps(document))
    return str(path)


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def server(key: rsa.RSAPrivateKey) -> Iterator[GCSServer]:
    """A server that wants to know who asks, and knows the key of two service accounts."""
    numbers = key.public_key().public_numbers()
    with GCSServer(require_auth=True) as server:
        server.create_bucket("bucket")
        for email in (EMAIL, SERVICE_ACCOUNT):
            server.authority.trust(email, numbers.n, numbers.e)
        yield server


@pytest.fixture
def account(
    server: GCSServer, key: rsa.RSAPrivateKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service account, whose key file the environment names."""
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    document = {
        "type": "service_account",
        "project_id": "lab",
        "private_key_id": "1",
        "private_key": secret.decode(),
        "client_email": EMAIL,
        "token_uri": f"{server.endpoint}/token",
    }
    file = credentials_file(tmp_path / "account.json", document)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", file)
    # google-auth looks for restrictions at Google's in the background; not from here.
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")


def gcs_url(server: GCSServer, prefix: str = "x") -> str:
    return f"gs://bucket/{quote(prefix)}?endpoint_url={server.endpoint}&timeout=3"


@pytest.mark.parametrize("prefix", PREFIXES)
def test_s3_link(s3_endpoint: str, s3_bucket: str, prefix: str) -> None:
    """A link reads the object, whatever its prefix is, with a signature of version 4."""
    url = f"s3://{s3_bucket}/{quote(prefix)}?endpoint_url={s3_endpoint}"
    with create_store(url, region="us-east-1") as store:
        link = store.url(store.put_bytes(DATA), expires=60)
    assert follow(link) == DATA
    found = parameters(link)
    assert (found["X-Amz-Algorithm"], found["X-Amz-Expires"]) == ("AWS4-HMAC-SHA256", "60")
    assert found["X-Amz-SignedHeaders"] == "host"


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1"])
def test_s3_link_of_aws(region: str) -> None:
    """Links to AWS are of version 4 in every region, also where boto3 signs with version 2."""
    with create_store("s3://bucket/x", region=region) as store:
        link = store.url(DIGEST)
    found = parameters(link)
    assert found["X-Amz-Algorithm"] == "AWS4-HMAC-SHA256"
    assert f"/{region}/s3/aws4_request" in found["X-Amz-Credential"]
    assert urlsplit(link).scheme == "https"


def aws_signature(link: str, secret: str) -> str:
    """The signature that a link must have: the test server takes any.

    After https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html.
    """
    url, found = urlsplit(link), parameters(link)
    query = "&".join(
        sorted(p for p in url.query.split("&") if not p.startswith("X-Amz-Signature="))
    )
    canonical = ["GET", url.path, query, f"host:{url.netloc}", "", "host", "UNSIGNED-PAYLOAD"]
    scope = found["X-Amz-Credential"].partition("/")[2]
    hashed = hashlib.sha256("\n".join(canonical).encode()).hexdigest()
    text = "\n".join(["AWS4-HMAC-SHA256", found["X-Amz-Date"], scope, hashed])
    key = f"AWS4{secret}".encode()
    for part in [*scope.split("/"), text]:
        key = hmac.digest(key, part.encode(), "sha256")
    return key.hex()


@pytest.mark.parametrize("prefix", PREFIXES)
def test_s3_link_says_who_pays(prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a requester-pays bucket the link itself says so, signed, and needs no header."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    url = f"s3://bucket/{quote(prefix)}?requester_pays=true&region=eu-central-1"
    with create_store(url) as store:
        link = store.url(DIGEST)
    found = parameters(link)
    assert found["x-amz-request-payer"] == "requester"
    assert found["X-Amz-Signature"] == aws_signature(link, "secret")


def test_s3_requester_pays_still_reads(s3_endpoint: str, s3_bucket: str) -> None:
    """Requests that are no links keep saying who pays in a header."""
    url = f"s3://{s3_bucket}/x?endpoint_url={s3_endpoint}&region=us-east-1&requester_pays=true"
    with create_store(url) as store:
        assert store.get_bytes(store.put_bytes(DATA)) == DATA


def test_s3_without_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without credentials the error says how to get some."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with (
        create_store("s3://bucket/x?region=us-east-1") as store,
        pytest.raises(CredentialsError, match="aws configure"),
    ):
        store.url(DIGEST)


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize("prefix", PREFIXES)
def test_gcs_link(server: GCSServer, prefix: str) -> None:
    """A link of a service account reads the object, whatever its prefix is, and needs no token."""
    with create_store(gcs_url(server, prefix)) as store:
        link = store.url(store.put_bytes(DATA), expires=60)
    server.authority.tokens.clear()
    assert follow(link) == DATA
    found = parameters(link)
    assert (found["X-Goog-Algorithm"], found["X-Goog-Expires"]) == ("GOOG4-RSA-SHA256", "60")


@pytest.mark.usefixtures("account")
def test_gcs_link_ends(server: GCSServer) -> None:
    """When its time is over, a link is refused."""
    with create_store(gcs_url(server)) as store:
        link = store.url(store.put_bytes(DATA), expires=WEEK)
    server.clock = lambda: datetime.now(UTC) + timedelta(seconds=WEEK - 60)
    assert follow(link) == DATA
    server.clock = lambda: datetime.now(UTC) + timedelta(seconds=WEEK)
    assert refused(link) == 400


@pytest.mark.usefixtures("account")
def test_gcs_link_is_for_one_object(server: GCSServer) -> None:
    """A link that somebody changed is refused: to another object, or to another time."""
    with create_store(gcs_url(server)) as store:
        other = store.put_bytes(b"other")
        link = store.url(store.put_bytes(DATA), expires=60)
    digits, others = DIGEST.removeprefix("sha256:"), other.removeprefix("sha256:")
    elsewhere = link.replace(f"{digits[:2]}/{digits}", f"{others[:2]}/{others}")
    longer = link.replace("X-Goog-Expires=60", "X-Goog-Expires=600")
    assert [refused(changed) for changed in (elsewhere, longer)] == [403, 403]


@pytest.mark.usefixtures("account")
def test_gcs_link_to_nothing(server: GCSServer) -> None:
    """Nobody is asked whether the object is there: who follows the link finds that out."""
    with create_store(gcs_url(server)) as store:
        link = store.url(DIGEST)
    assert [target for _, target in server.requests if target.startswith("/storage/")] == []
    assert refused(link) == 404


@pytest.mark.usefixtures("account")
def test_gcs_link_says_who_pays(server: GCSServer) -> None:
    """In a requester-pays bucket the link names the project that pays, and is signed with it."""
    with create_store(gcs_url(server), user_project="lab") as store:
        link = store.url(store.put_bytes(DATA))
    assert (follow(link), parameters(link)["userProject"]) == (DATA, "lab")


BY_IAM = """
import sys
from devqubit.storage import create_store
with create_store(sys.argv[1]) as store:
    digest = store.put_bytes(bytes(range(256)) * 16)
    try:
        print(store.url(digest))
    except Exception as exc:
        print(type(exc).__name__, exc)
"""


def ask_iam(server: GCSServer, iam: IamServer) -> str:
    """What a process on a machine of Google's own is given as a link."""
    address = server.endpoint.removeprefix("http://")
    environment = {k: v for k, v in os.environ.items() if k != "NO_GCE_CHECK"}
    environment |= {"GCE_METADATA_HOST": address, "GCE_METADATA_IP": address}
    environment |= iam.environment
    return subprocess.run(
        [sys.executable, "-c", BY_IAM, gcs_url(server)],
        env=environment,
        check=True,
        timeout=120,
        capture_output=True,
        text=True,
    ).stdout.strip()


def test_gcs_link_by_iam(server: GCSServer, key: rsa.RSAPrivateKey, tmp_path: Path) -> None:
    """A machine of Google's own has no key: IAM signs for it, and the link works like any."""
    with IamServer(server.authority, key, tmp_path) as iam:
        link = ask_iam(server, iam)
    assert follow(link) == DATA
    assert parameters(link)["X-Goog-Credential"].startswith(f"{SERVICE_ACCOUNT}/")


def test_gcs_link_refused_by_iam(server: GCSServer, key: rsa.RSAPrivateKey, tmp_path: Path) -> None:
    """Where IAM may not sign, the error names the role that is missing."""
    with GCSServer() as elsewhere, IamServer(elsewhere.authority, key, tmp_path) as iam:
        said = ask_iam(server, iam)
    assert said.startswith("CredentialsError")
    assert "PERMISSION_DENIED" in said
    assert "Service Account Token Creator" in said


def test_gcs_user_cannot_sign(
    server: GCSServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The credentials of a user cannot sign, and the error says which can."""
    document = {
        "type": "authorized_user",
        "client_id": "1",
        "client_secret": "secret",
        "refresh_token": "secret",
    }
    file = credentials_file(tmp_path / "user.json", document)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", file)
    with (
        create_store(gcs_url(server), project="lab") as store,
        pytest.raises(CredentialsError, match="key file of a service account"),
    ):
        store.url(DIGEST)


@pytest.mark.parametrize(
    "url",
    [
        "s3://bucket/x?anonymous=true&region=us-east-1",
        "gs://bucket/x?anonymous=true",
    ],
)
def test_anonymous(url: str) -> None:
    """Who signs nothing makes no links, and is told so, not given a link that does not work."""
    with create_store(url) as store, pytest.raises(UnsupportedError, match="anonymous"):
        store.url(DIGEST)


def test_backend_without_links(tmp_path: Path) -> None:
    """A folder has no links."""
    with create_store(tmp_path) as store, pytest.raises(UnsupportedError, match=r"file://.*links"):
        store.url(store.put_bytes(DATA))


@pytest.mark.parametrize("expires", [0, -1, WEEK + 1, 10**30, 1.5, "60", True, None])
def test_bad_times(expires: object) -> None:
    """A link for no time, or for longer than the services allow, is refused."""
    with (
        create_store("s3://bucket/x?region=us-east-1") as store,
        pytest.raises(InvalidArgumentError, match="expires"),
    ):
        store.url(DIGEST, expires=expires)  # type: ignore[arg-type]  # that is the point


def test_bad_digest() -> None:
    """There are links to objects only."""
    with (
        create_store("s3://bucket/x?region=us-east-1") as store,
        pytest.raises(InvalidDigestError),
    ):
        store.url("sha256:../runs/a.json")


@pytest.mark.usefixtures("account")
def test_links_are_not_logged(server: GCSServer, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing that devqubit logs lets anybody read an object."""
    with caplog.at_level(logging.DEBUG):
        for url in (gcs_url(server), "s3://bucket/x?region=us-east-1"):
            with create_store(url) as store:
                link = store.url(DIGEST)
            assert link not in caplog.text
            assert link not in f"{store!r} {store.location}"
    assert [record for record in caplog.records if record.name.startswith("devqubit")] == []
