"""Storage URLs: what is understood, what is refused, what is never shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devqubit.errors import InvalidOptionError, InvalidURLError
from devqubit.storage._url import StorageURL, canonical_url, parse_url, redact

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("url", "bucket", "prefix", "parameters"),
    [
        ("s3://bucket", "bucket", "", {}),
        ("s3://bucket/", "bucket", "", {}),
        ("S3://bucket/a/b/", "bucket", "a/b", {}),
        ("s3://bucket/a b/é?x=1&y=a%26b", "bucket", "a b/é", {"x": "1", "y": "a&b"}),
        ("s3://bucket/100%25/a%20b", "bucket", "100%/a b", {}),
        ("s3://bucket/who@where", "bucket", "who@where", {}),
        ("s3://host:9000/p?e=http://h:1/", "host:9000", "p", {"e": "http://h:1/"}),
        ("s3://", "", "", {}),
        ("s3://bucket?x=", "bucket", "", {"x": ""}),
    ],
)
def test_parts(url: str, bucket: str, prefix: str, parameters: dict[str, str]) -> None:
    """Scheme, bucket, prefix and parameters are told apart, and escapes are undone."""
    assert parse_url(url) == StorageURL("s3", bucket, prefix, parameters)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("/data/x", "/data/x"),
        ("/data/50% and #1?", "/data/50% and #1?"),
        ("file:///data/a%20b", "/data/a b"),
        ("file:///data/a b", "/data/a b"),
        ("file:/data/x", "/data/x"),
        ("file://localhost/data", "/data"),
        ("file:///data/../etc/", "/etc"),
        (Path("/data/s3:x"), "/data/s3:x"),
    ],
)
def test_local_paths(url: str | Path, path: str) -> None:
    """A path is taken as it is, a file URL is unescaped."""
    assert parse_url(url) == StorageURL("file", "", path, {})


def test_relative_and_home_paths(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Relative paths start at the working folder, `~` at the user's home."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for url in ("./runs", "runs", "file://./runs"):
        assert parse_url(url).prefix == str(tmp_path / "runs")
    for url in ("~/x", "file://~/x"):
        assert parse_url(url).prefix == str(tmp_path / "home" / "x")


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("", "empty"),
        ("s3:/bucket/x", "write s3://bucket/prefix"),
        ("s3a:bucket", "lacks '//'"),
        (" s3://bucket", "does not start with a scheme"),
        ("s3 ://bucket", "does not start with a scheme"),
        ("s3://bucket/x#part", "fragment"),
        ("s3://bucket/%zz", "%25"),
        ("s3://bucket/%", "%25"),
        ("s3://bucket/%ff", "UTF-8"),
        ("s3://bucket/a//b", "empty, '.' or '..' part"),
        ("s3://bucket/../other", "empty, '.' or '..' part"),
        ("s3://bucket/a/%2e%2e/b", "empty, '.' or '..' part"),
        ("s3://bucket/a%00b", "control character"),
        ("s3://bucket/a\nb", "control character"),
        ("s3://bucket?region", "name=value"),
        ("s3://bucket?=x", "name=value"),
        ("s3://bucket?a=1&&b=2", "name=value"),
        ("s3://bucket?a=1&a=2", "'a' twice"),
        ("s3://[bucket/x", "not a URL"),
        ("file://host/x", "file:///host/x"),
        ("file://", "names no folder"),
        ("/data/\0", "NUL"),
    ],
)
def test_refused(url: str, hint: str) -> None:
    """What cannot be meant is refused, with what to write instead."""
    with pytest.raises(InvalidURLError, match=hint.replace("'", ".")) as caught:
        parse_url(url)
    assert isinstance(caught.value, ValueError)


def test_bytes_are_refused() -> None:
    """A URL is text."""
    with pytest.raises(InvalidURLError, match="bytes"):
        parse_url(b"/data")  # type: ignore[arg-type]  # that is the point


@pytest.mark.parametrize(
    "url",
    [
        f"s3://key:{SECRET}@bucket/x",
        f"s3://{SECRET}@bucket/x",
        f"s3://key:{SECRET}/more@bucket/x",
        f"s3://key:{SECRET}#more@bucket/x",
        f"s3://key:{SECRET}?more@bucket/x",
        f"s3://key:more@{SECRET}@bucket",
        f"s3://key:a%40{SECRET}@bucket/%zz",
        f"file://key:{SECRET}@host/x",
        f"s3a:/x?token={SECRET}",
        f"s3://bucket/x?token={SECRET}#f",
        f"s3://bucket/%zz?token={SECRET}",
        f"s3://bucket/x?token={SECRET}&token=2",
        f"s3://bucket/x#{SECRET}",
        f" s3://bucket/x?token={SECRET}",
    ],
)
def test_secrets_are_not_repeated(url: str) -> None:
    """Credentials and parameters are in no message, and credentials are refused."""
    with pytest.raises(InvalidURLError) as caught:
        parse_url(url)
    assert SECRET not in str(caught.value)
    assert SECRET not in redact(url)


def test_repr_has_no_parameters() -> None:
    """A parsed URL shows no parameter, which may be a secret."""
    assert SECRET not in repr(parse_url(f"s3://bucket/x?token={SECRET}"))


def test_canonical_url() -> None:
    """One place has one spelling, and it can be opened again."""
    url = canonical_url("s3", "bucket", "a b/50%", {"endpoint_url": "http://h:1/x&y"})
    assert url == "s3://bucket/a%20b/50%25?endpoint_url=http://h:1/x%26y"
    assert parse_url(url) == StorageURL(
        "s3", "bucket", "a b/50%", {"endpoint_url": "http://h:1/x&y"}
    )
    assert canonical_url("file", "", "/a", {}) == "file:///a"
    assert canonical_url("x", "a/b", "c", {}) == "x://a%2Fb/c"


@pytest.mark.parametrize(
    "address",
    [
        f"http://h:1/x?token={SECRET}",
        f"http://h:1/x#{SECRET}",
        f"http://key:{SECRET}@h:1",
        f"key:{SECRET}@h:1",
    ],
)
def test_address_with_a_secret(address: str) -> None:
    """What is part of a place is shown, so it may not have what could be a secret."""
    with pytest.raises(InvalidOptionError, match="'endpoint_url' is part of every") as caught:
        canonical_url("s3", "bucket", "", {"endpoint_url": address})
    assert SECRET not in str(caught.value)


@given(st.text(max_size=30), st.text(max_size=10))
def test_any_text_parses_or_is_refused(url: str, prefix: str) -> None:
    """No text raises anything but our error, and no prefix holds `..`."""
    for text in (url, f"s3://{url}", f"s3://b/{url}", f"file://{url}"):
        try:
            parsed = parse_url(text)
        except InvalidURLError:
            continue
        assert parsed.scheme == "file" or ".." not in parsed.prefix.split("/")
