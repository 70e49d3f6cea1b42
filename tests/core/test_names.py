"""Names from people: bijective, in one segment, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devqubit.errors import InvalidNameError
from devqubit.storage._names import candidate_keys, name_key, names_of_key


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("01JD0", "runs/01JD0.json"),
        ("a b+c é🙂", "runs/a b+c é🙂.json"),
        ("a/b", "runs/a%2Fb.json"),
        ("a\\b", "runs/a%5Cb.json"),
        ("50%", "runs/50%25.json"),
        ("..", "runs/%2E..json"),
        (".git", "runs/%2Egit.json"),
        ("a.b", "runs/a.b.json"),
        ("a\0\x85", "runs/a%00%C2%85.json"),
    ],
)
def test_only_what_must_be_is_encoded(name: str, key: str) -> None:
    """Simple names look as they are; separators, percent, controls and dots do not."""
    assert name_key("runs", name) == key


def test_raw_names_are_candidates_where_they_are_safe() -> None:
    """The raw key of devqubit 0.1.12 is looked at unless it would leave the folder."""
    assert candidate_keys("runs", "a/b") == ["runs/a%2Fb.json", "runs/a/b.json"]
    assert candidate_keys("runs", "../b") == ["runs/%2E.%2Fb.json"]
    assert candidate_keys("runs", "plain") == ["runs/plain.json"]


@given(st.text(min_size=1, max_size=60))
def test_round_trip(name: str) -> None:
    """Every name that is accepted comes back from its key, which has one segment."""
    try:
        key = name_key("runs", name)
    except InvalidNameError:
        assert any(0xD800 <= ord(letter) < 0xE000 for letter in name) or len(name) > 40
        return
    assert key.count("/") == 1
    assert not key.startswith("runs/.")
    assert name in names_of_key("runs", key)


@given(st.text(min_size=1, max_size=8), st.text(min_size=1, max_size=8))
def test_two_names_never_meet(one: str, other: str) -> None:
    """Different names have different keys."""
    try:
        keys = {name_key("runs", one), name_key("runs", other)}
    except InvalidNameError:
        return
    assert len(keys) == len({one, other})


@pytest.mark.parametrize("key", ["runs/x.txt", "runs/.json", "other/x.json", "runs/../x.json"])
def test_foreign_keys_have_no_name(key: str) -> None:
    """A key that no name has is nobody's."""
    assert names_of_key("runs", key) == set()
