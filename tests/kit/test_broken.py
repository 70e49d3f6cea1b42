"""The kit is tested by what it is for: each thing that is broken fails the test meant for it."""

from __future__ import annotations

import os

import pytest

from tests.kit import table
from tests.kit.broken_buckets import SCHEMES
from tests.kit.broken_plugins import PLUGINS

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the places of the suite are POSIX paths")


@pytest.mark.parametrize(("bucket", "test"), table.BUCKETS)
def test_broken_bucket_fails(bucket: str, test: str, outcomes: dict[str, str]) -> None:
    """A bucket with one thing wrong fails the test of that thing, which runs to its end."""
    assert outcomes[f"Test{bucket}{test}"] == "failed"


@pytest.mark.parametrize(("plugin", "test"), table.PLUGINS)
def test_broken_plugin_fails(plugin: str, test: str, outcomes: dict[str, str]) -> None:
    """A plugin with one thing wrong fails the test of that thing."""
    assert outcomes[f"Test{plugin}Plugin::{test}"] == "failed"


@pytest.mark.parametrize("name", table.RIGHT)
def test_right_one_passes(name: str, outcomes: dict[str, str]) -> None:
    """What is right passes, or is skipped for what it declares not to be capable of."""
    own = {test: outcome for test, outcome in outcomes.items() if test.startswith(f"{name}::")}
    assert own
    wrong = {t: o for t, o in own.items() if o != "passed" and not o.startswith("skipped")}
    assert wrong == {}


def test_everything_broken_is_in_the_table() -> None:
    """No broken bucket or plugin is left out of the run."""
    buckets = {bucket.__name__ for bucket in SCHEMES.values()}
    assert buckets - set(table.RIGHT_BUCKETS) == {bucket for bucket, _ in table.BUCKETS}
    assert set(PLUGINS) - {"Right"} == {plugin for plugin, _ in table.PLUGINS}


@pytest.mark.parametrize(
    ("test", "capability"),
    [
        ("Bucket::test_create_only_if_absent", "conditional_create"),
        ("Bucket::test_replace_only_a_version", "conditional_replace"),
        ("Bucket::test_delete_only_a_version", "conditional_delete"),
        ("Bucket::test_upload_streams", "persistent"),
        ("Race::test_racing_processes_create_once", "conditional_create"),
    ],
)
def test_skip_names_the_capability(test: str, capability: str, outcomes: dict[str, str]) -> None:
    """What a bucket declares not to be capable of is skipped, and the reason names it."""
    outcome = outcomes[f"TestPlainBucket{test}"]
    assert outcome.startswith("skipped")
    assert f"declares no {capability}" in outcome


def test_default_upload_is_skipped(outcomes: dict[str, str]) -> None:
    """A bucket that has the default upload, which holds the file, is not asked to stream one."""
    outcome = outcomes["TestDefaultUploadBucket::test_upload_streams"]
    assert outcome.startswith("skipped")
    assert "has no upload of its own" in outcome
