"""What a content-addressed store must do on every backend."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest

from devqubit.errors import IntegrityError, InvalidDigestError, ObjectNotFoundError
from devqubit.plugin import Bucket
from devqubit.storage import ObjectStore
from devqubit.testing._bulk import BulkChecks
from devqubit.testing._files import FileChecks

__all__ = ["ObjectStoreConformance"]

SIZES = [0, 1, 4096, 300_000]
BAD_DIGESTS = [
    "",
    "sha256:",
    "a" * 64,
    "sha256:" + "A" * 64,
    "sha256:" + "a" * 63,
    "sha256:" + "a" * 65,
    "sha256:" + "a" * 64 + "\n",
    "sha256:../../../etc/passwd",
    "sha256:" + "a" * 61 + "../",
    "md5:" + "a" * 64,
    "SHA256:" + "a" * 64,
    None,
]


class ObjectStoreConformance(BulkChecks, FileChecks):
    """Putting, getting, verifying, listing."""

    @pytest.fixture
    def store(self, bucket: Bucket) -> Iterator[ObjectStore]:
        """The store in the bucket."""
        with ObjectStore(bucket) as store:
            yield store

    @pytest.mark.parametrize("size", SIZES)
    def test_put_and_get(self, store: ObjectStore, bucket: Bucket, size: int) -> None:
        """Bytes are stored under their SHA-256, in the layout, and come back."""
        data = b"q" * size
        hexadecimal = hashlib.sha256(data).hexdigest()
        assert store.put_bytes(data) == f"sha256:{hexadecimal}"
        assert store.get_bytes(f"sha256:{hexadecimal}") == data
        assert bucket.read(f"sha256/{hexadecimal[:2]}/{hexadecimal}").data == data
        assert (store.exists(f"sha256:{hexadecimal}"), store.get_size(f"sha256:{hexadecimal}")) == (
            True,
            size,
        )

    @pytest.mark.parametrize("size", SIZES)
    def test_put_again_changes_nothing(self, store: ObjectStore, bucket: Bucket, size: int) -> None:
        """What is there is not written again."""
        store.put_bytes(b"q" * size)
        (before,) = bucket.list()
        store.put_bytes(bytearray(b"q" * size))
        assert list(bucket.list()) == [before]

    @pytest.mark.parametrize("size", SIZES[1:])
    def test_put_mends_a_wrong_size(self, store: ObjectStore, bucket: Bucket, size: int) -> None:
        """An object that is there with another size is replaced by a put."""
        digest = store.put_bytes(b"q" * size)
        (info,) = bucket.list()
        bucket.write(info.key, b"q" * (size - 1))
        store.put_bytes(b"q" * size)
        assert store.get_bytes(digest) == b"q" * size

    @pytest.mark.parametrize("damage", [b"", b"another", b"quantum!"])
    def test_damage_is_noticed(self, store: ObjectStore, bucket: Bucket, damage: bytes) -> None:
        """Wrong bytes are IntegrityError, and never returned."""
        digest = store.put_bytes(b"quantum?")
        (info,) = bucket.list()
        bucket.write(info.key, damage)
        with pytest.raises(IntegrityError) as caught:
            store.get_bytes(digest)
        actual = "sha256:" + hashlib.sha256(damage).hexdigest()
        assert (caught.value.digest, caught.value.actual) == (digest, actual)

    def test_missing(self, store: ObjectStore) -> None:
        """What is not there is ObjectNotFoundError, None or False, as the call says."""
        digest = "sha256:" + "0" * 64
        for call in (store.get_bytes, store.get_size):
            with pytest.raises(ObjectNotFoundError) as caught:
                call(digest)
            assert caught.value.digest == digest
        assert (store.get_bytes_or_none(digest), store.exists(digest), store.delete(digest)) == (
            None,
            False,
            False,
        )

    def test_delete(self, store: ObjectStore) -> None:
        """A deleted object is gone."""
        digest = store.put_bytes(b"x")
        assert (store.delete(digest), store.exists(digest), store.delete(digest)) == (
            True,
            False,
            False,
        )

    @pytest.mark.parametrize("digest", BAD_DIGESTS)
    def test_bad_digests(self, store: ObjectStore, digest: str) -> None:
        """Anything but a canonical digest is refused by every call."""
        calls = (
            store.get_bytes,
            store.get_bytes_or_none,
            store.exists,
            store.get_size,
            store.delete,
        )
        for call in calls:
            with pytest.raises(InvalidDigestError):
                call(digest)

    def test_list(self, store: ObjectStore, bucket: Bucket) -> None:
        """Listing gives every digest once, in order, and passes over foreign files."""
        digests = sorted(store.put_bytes(bytes([n])) for n in range(40))
        for key in (
            "sha256/readme.txt",
            "sha256/aa/" + "b" * 64,
            "sha256/ab/" + "AB" * 32,
            "sha256/zz/x",
            "runs/a.json",
        ):
            bucket.write(key, b"{}")
        assert list(store.list_digests()) == digests
        for length in range(7, 11):
            prefix = digests[5][:length]
            expected = [digest for digest in digests if digest.startswith(prefix)]
            assert list(store.list_digests(prefix)) == expected
        assert list(store.list_digests(digests[0])) == digests[:1]

    @pytest.mark.parametrize("prefix", ["a", "sha256", "sha256:AB", "sha256:../", "sha256:/"])
    def test_list_bad_prefix(self, store: ObjectStore, prefix: str) -> None:
        """A prefix that no digest has is refused at once, not an empty answer."""
        with pytest.raises(InvalidDigestError):
            store.list_digests(prefix)

    def test_text_is_refused(self, store: ObjectStore, bucket: Bucket) -> None:
        """Text is no bytes: it is refused, and nothing is stored."""
        with pytest.raises(TypeError, match="encode"):
            store.put_bytes("text")  # type: ignore[arg-type]  # that is the point
        assert list(bucket.list()) == []
