"""Names that Azure has in another way than devqubit."""

from __future__ import annotations

import pytest

from devqubit.errors import BlobNotFoundError, InvalidKeyError
from devqubit.plugin import Bucket

IMPOSSIBLE = ["back\\slash", "control\x01", "k" * 1025]


@pytest.mark.parametrize("key", IMPOSSIBLE)
def test_impossible_names_are_refused(bucket: Bucket, key: str) -> None:
    """What Azure would store under another name, or not list, is not written."""
    with pytest.raises(InvalidKeyError):
        bucket.write(key, b"1")
    assert list(bucket.list()) == []


@pytest.mark.parametrize("key", IMPOSSIBLE)
def test_nothing_has_an_impossible_name(bucket: Bucket, key: str) -> None:
    """Looking for it finds nothing, also not what has a similar name."""
    bucket.write("back/slash", b"1")
    with pytest.raises(BlobNotFoundError):
        bucket.read(key)
    assert (bucket.delete(key), list(bucket.delete_many([key, "x"]))) == (
        False,
        [(key, None), ("x", None)],
    )
    assert bucket.read("back/slash").data == b"1"


def test_list_in_the_order_of_bytes(bucket: Bucket) -> None:
    """Emoji come behind full-width letters, at any depth, as their UTF-8 bytes do."""
    letters = ["a", "\uff21", "\U0001f642"]
    keys = [first + second + third for first in letters for second in letters for third in letters]
    assert all(isinstance(version, str) for _, version in bucket.write_many((k, b"") for k in keys))
    assert [info.key for info in bucket.list()] == sorted(keys, key=str.encode)
    assert [info.key for info in bucket.list(start_after="\uff21a")] == sorted(keys)[9:]
