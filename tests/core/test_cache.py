"""The cache of a store: verified, bounded, shared by processes, and never in the way."""

from __future__ import annotations

import io
import logging
import os
import pickle
import random
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from devqubit.errors import (
    IntegrityError,
    InvalidDigestError,
    InvalidOptionError,
    ObjectNotFoundError,
)
from devqubit.plugin import open_bucket
from devqubit.storage import ObjectStore, create_store
from devqubit.storage._cache import ObjectCache, open_cache
from devqubit.storage._digest import digest_of, object_key

DATA = bytes(range(256)) * 16
DIGEST = digest_of(DATA)
KIB = 1024


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the cache is to be."""
    return tmp_path / "cache"


@pytest.fixture
def cache(folder: Path) -> ObjectCache:
    """A cache with room for all that a test needs."""
    return ObjectCache(str(folder), 1024 * KIB)


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Where the store is."""
    return f"file://{tmp_path}/store?durability=fast"


@pytest.fixture
def store(url: str, cache: ObjectCache) -> Iterator[ObjectStore]:
    """A store that reads through the cache."""
    with ObjectStore(open_bucket(url), cache) as store:
        yield store


def kept(folder: Path) -> dict[str, bytes]:
    """The objects that the files of a cache claim to be."""
    return {
        f"sha256:{path.name}": path.read_bytes() for path in folder.glob("sha256/??/" + "?" * 64)
    }


def entry(folder: Path, digest: str) -> Path:
    """The file of an object."""
    return folder / object_key(digest)


def taken(folder: Path) -> int:
    """Bytes that the files below the objects' folder take."""
    return sum(path.stat().st_size for path in (folder / "sha256").rglob("*") if path.is_file())


def numbered(number: int, size: int) -> tuple[str, bytes]:
    """One of many objects of a size."""
    data = number.to_bytes(8, "big").ljust(size, b"q")
    return digest_of(data), data


def test_second_read_asks_nothing(store: ObjectStore, url: str) -> None:
    """What was read once is read from the cache: also when the store has lost it."""
    digest = store.put_bytes(DATA)
    store.get_bytes(digest)
    open_bucket(url).delete(object_key(digest))
    assert store.get_bytes(digest) == DATA


def test_put_does_not_fill(store: ObjectStore, folder: Path) -> None:
    """What is put is not kept."""
    store.put_bytes(DATA)
    assert not folder.exists()


def test_delete_is_deleted_here_too(store: ObjectStore) -> None:
    """What was deleted through the store is not served from its cache."""
    digest = store.put_bytes(DATA)
    store.get_bytes(digest)
    store.delete(digest)
    with pytest.raises(ObjectNotFoundError):
        store.get_bytes(digest)


def test_damage_in_the_store_is_not_kept(store: ObjectStore, url: str, folder: Path) -> None:
    """Wrong bytes of the store are IntegrityError, and never get into the cache."""
    digest = store.put_bytes(DATA)
    open_bucket(url).write(object_key(digest), DATA[::-1])
    with pytest.raises(IntegrityError):
        store.get_bytes(digest)
    assert kept(folder) == {}


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damage=st.binary(max_size=64) | st.integers(0, 8 * len(DATA) - 1))
@example(damage=b"")
@example(damage=DATA[:-1])
@example(damage=DATA + b"\0")
def test_damaged_entry_is_read_again(store: ObjectStore, folder: Path, damage: bytes | int) -> None:
    """An entry with other bytes, or one wrong bit, is replaced by the store's, unseen."""
    digest = store.put_bytes(DATA)
    store.get_bytes(digest)
    if isinstance(damage, int):
        spoilt = bytearray(DATA)
        spoilt[damage // 8] ^= 1 << damage % 8
        damage = bytes(spoilt)
    entry(folder, digest).write_bytes(damage)
    assert (store.get_bytes(digest), kept(folder)) == (DATA, {digest: DATA})


def test_damaged_entry_is_deleted(cache: ObjectCache, folder: Path) -> None:
    """What does not hash does not stay."""
    cache.write(DIGEST, DATA)
    entry(folder, DIGEST).write_bytes(DATA[1:])
    assert (cache.read(DIGEST), kept(folder)) == (None, {})


def test_damaged_file(cache: ObjectCache, folder: Path) -> None:
    """A file that does not hash is not opened, and does not stay."""
    cache.write(DIGEST, DATA)
    entry(folder, DIGEST).write_bytes(DATA[1:])
    assert (cache.open(DIGEST), kept(folder)) == (None, {})


@pytest.mark.parametrize("first", ["get_bytes", "get_file"])
def test_files_of_a_store(tmp_path: Path, folder: Path, first: str) -> None:
    """What was read whole is there for get_file and open when the store is gone."""
    store = create_store(tmp_path / "store", cache=folder)
    digest = store.put_bytes(DATA)
    told: list[tuple[int, int | None]] = []
    if first == "get_bytes":
        store.get_bytes(digest)
    else:
        store.get_file(digest, tmp_path / "first")
    shutil.rmtree(tmp_path / "store")
    store.get_file(digest, tmp_path / "copy", progress=lambda *done: told.append(done))
    assert (tmp_path / "copy").read_bytes() == DATA
    assert told[-1] == (len(DATA), len(DATA))
    with store.open(digest) as file:
        assert (file.seek(1), file.read(2)) == (1, DATA[1:3])


def test_files(cache: ObjectCache) -> None:
    """What is in a file goes in whole, wherever the file stands, and comes out as a file."""
    source = io.BytesIO(DATA)
    source.seek(7)
    cache.write_file(DIGEST, source)
    file = cache.open(DIGEST)
    assert file is not None
    with file:
        assert file.read() == DATA


def test_nothing_there(cache: ObjectCache) -> None:
    """Of an object that is not here there are no bytes and no file, and deleting it is no error."""
    cache.delete(DIGEST)
    assert (cache.read(DIGEST), cache.open(DIGEST)) == (None, None)


@pytest.mark.parametrize("digest", ["", "sha256:../../x", DIGEST.upper(), DIGEST + "/.."])
def test_bad_digests(cache: ObjectCache, folder: Path, digest: str) -> None:
    """No digest leads out of the folder."""
    calls: list[Callable[[], object]] = [
        lambda: cache.read(digest),
        lambda: cache.open(digest),
        lambda: cache.delete(digest),
        lambda: cache.write(digest, DATA),
        lambda: cache.write_file(digest, io.BytesIO(DATA)),
    ]
    for call in calls:
        with pytest.raises(InvalidDigestError):
            call()
    assert not folder.exists()


@pytest.mark.parametrize("size", [1, 100, 3 * KIB])
def test_bounded(folder: Path, size: int) -> None:
    """However much is added, the files never take more than they may."""
    cache = ObjectCache(str(folder), 10 * KIB)
    for number in range(40 * KIB // size if size > 1 else 300):
        cache.write(*numbered(number, size))
        if number % 10 == 0:
            assert taken(folder) <= 10 * KIB
    assert taken(folder) <= 10 * KIB


def test_bounded_beyond_one_process(folder: Path) -> None:
    """Many short programs, each of which adds a little, do not together fill the disk."""
    random.seed(0)  # when each of them looks is left to chance
    for number in range(400):
        ObjectCache(str(folder), 100 * KIB).write(*numbered(number, KIB))
    assert taken(folder) <= 150 * KIB


def test_least_recently_used_goes_first(folder: Path) -> None:
    """What was read lately stays, what was not makes room."""
    cache = ObjectCache(str(folder), 100 * KIB)
    old = [numbered(number, KIB) for number in range(80)]
    for place, (digest, data) in enumerate(old):
        cache.write(digest, data)
        os.utime(entry(folder, digest), (place, place))
    for digest, data in old[:20]:
        assert cache.read(digest) == data
    for number in range(100, 130):
        cache.write(*numbered(number, KIB))
    left = [place for place, (digest, _) in enumerate(old) if digest in kept(folder)]
    assert left[:20] == list(range(20))
    assert left[20:] == list(range(80 - len(left[20:]), 80))
    assert len(left) < 80


def test_large_objects_are_not_kept(folder: Path) -> None:
    """An object over half of the size does not drive out all others."""
    cache = ObjectCache(str(folder), 100 * KIB)
    small, large = numbered(1, KIB), numbered(2, 51 * KIB)
    cache.write(*small)
    cache.write(*large)
    cache.write_file(large[0], io.BytesIO(large[1]))
    assert kept(folder) == {small[0]: small[1]}


def test_foreign_files_stay(folder: Path) -> None:
    """Making room deletes nothing that the cache did not write."""
    cache = ObjectCache(str(folder), 10 * KIB)
    digest, data = numbered(0, KIB)
    cache.write(digest, data)
    part = entry(folder, digest).parent
    foreign = [
        folder / "thesis.tex",
        folder / "sha256" / "thesis.tex",
        part / "thesis.tex",
        part / ("f" * 64 if part.name != "ff" else "e" * 64),
        part / (digest.removeprefix("sha256:") + ".bak"),
        part / "folder" / "thesis.tex",
    ]
    for path in foreign:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"mine")
        os.utime(path, (1, 1))
    link = part / (part.name + "0" * 62)
    link.symlink_to(foreign[0])
    for number in range(1, 60):
        cache.write(*numbered(number, KIB))
    assert digest not in kept(folder)
    assert [path.read_bytes() for path in [*foreign, link]] == [b"mine"] * 7


def test_abandoned_files_make_room(folder: Path) -> None:
    """What a process left behind that was killed is deleted a day later; what is written is not."""
    cache = ObjectCache(str(folder), 10 * KIB)
    cache.write(*numbered(0, KIB))
    path = entry(folder, numbered(0, KIB)[0])
    abandoned, written = (Path(f"{path}.{letter * 16}.tmp") for letter in "ab")
    abandoned.write_bytes(bytes(2 * KIB))
    os.utime(abandoned, (1, 1))
    written.write_bytes(bytes(2 * KIB))
    for number in range(1, 40):
        cache.write(*numbered(number, KIB))
    assert (abandoned.exists(), written.exists()) == (False, True)


def test_folder_may_be_deleted(cache: ObjectCache, folder: Path) -> None:
    """Whoever deletes the folder while it is used loses what it kept, and nothing else."""
    cache.write(DIGEST, DATA)
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()
    assert cache.read(DIGEST) is None
    cache.write(DIGEST, DATA)
    assert cache.read(DIGEST) == DATA


def test_folder_is_private_and_tagged(cache: ObjectCache, folder: Path) -> None:
    """Others on this machine do not read what came from a private bucket; backups pass it over."""
    cache.write(DIGEST, DATA)
    assert (folder / "CACHEDIR.TAG").read_text().startswith("Signature: 8a477f597d28d172789f0688")
    if os.name == "posix":
        assert folder.stat().st_mode & 0o777 == 0o700


def test_store_is_no_cache(store: ObjectStore, url: str, tmp_path: Path) -> None:
    """A folder that holds anything else, as a store does, is refused: its objects would go."""
    store.put_bytes(DATA)
    with pytest.raises(InvalidOptionError, match="is no cache"):
        create_store(url, cache=tmp_path / "store")


def test_file_is_no_cache(tmp_path: Path) -> None:
    """A file cannot be the folder."""
    file = tmp_path / "file"
    file.write_bytes(b"")
    with pytest.raises(InvalidOptionError, match="is a file"):
        create_store(tmp_path / "store", cache=file)


def test_cache_that_cannot_be_written(
    store: ObjectStore, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Where nothing can be kept, reads go on, and that is said once, for who looks for it."""
    folder.mkdir()
    (folder / "CACHEDIR.TAG").touch()
    (folder / "sha256").write_bytes(b"a file, which stands in the way of any user")
    digests = [store.put_bytes(data) for data in (b"1", b"2")]
    with caplog.at_level(logging.DEBUG, "devqubit.storage"):
        assert [store.get_bytes(digest) for digest in digests] == [b"1", b"2"]
    assert [(r.levelname, str(folder) in r.getMessage()) for r in caplog.records] == [
        ("DEBUG", True)
    ]


FULL_DISK = """
import resource, signal, sys
from devqubit.storage._cache import ObjectCache
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
cache = ObjectCache(sys.argv[1], 10**9)
cache.write(sys.argv[2], b"q" * 5000)
assert cache.read(sys.argv[2]) is None
"""


@pytest.mark.skipif(os.name != "posix", reason="a limit of files stands for a full disk")
def test_full_disk(folder: Path) -> None:
    """A write that ends in the middle is no error, and leaves nothing behind."""
    run(FULL_DISK, str(folder), digest_of(b"q" * 5000))
    assert taken(folder) == 0


def test_file_in_the_place_of_a_folder(cache: ObjectCache, folder: Path) -> None:
    """A folder where an entry should be is not there, and stays."""
    entry(folder, DIGEST).mkdir(parents=True)
    cache.write(DIGEST, DATA)
    assert (cache.read(DIGEST), entry(folder, DIGEST).is_dir()) == (None, True)


def test_pickle(cache: ObjectCache) -> None:
    """A cache goes to other processes with its store."""
    cache.write(DIGEST, DATA)
    assert pickle.loads(pickle.dumps(cache)).read(DIGEST) == DATA


def test_threads(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Many threads that read, write and make room at once get right bytes or none."""
    caplog.set_level(logging.DEBUG, "devqubit.storage")
    cache = ObjectCache(str(folder), 20 * KIB)
    objects = [numbered(number, KIB) for number in range(60)]
    start = threading.Barrier(8)

    def work(first: int) -> int:
        start.wait()
        wrong = 0
        for place in range(200):
            digest, data = objects[(first * 7 + place * 11) % len(objects)]
            found = cache.read(digest)
            wrong += found not in (None, data)
            if found is None:
                cache.write(digest, data)
        return wrong

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(work, range(8))) == 0
    assert "No such file" not in caplog.text  # that others delete, too, stops nobody
    assert kept(folder).items() <= dict(objects).items()


PROCESS = """
import random, sys
from devqubit.storage import create_store
store = create_store(sys.argv[1], cache=sys.argv[2], cache_size=int(sys.argv[3]))
digests = list(store.list_digests())
rng = random.Random(int(sys.argv[4]))
for _ in range(400):
    digest = rng.choice(digests)
    data = store.get_bytes(digest)
    assert data.startswith(b"object ")
    if rng.random() < 0.05:
        path = store._cache._path(digest)
        try:
            with open(path, "r+b") as file:
                file.write(b"damage")
        except OSError:
            pass
"""


def run(program: str, *arguments: str) -> None:
    """Runs a program to its end, in a process of its own."""
    subprocess.run([sys.executable, "-c", program, *arguments], check=True, timeout=120)


def test_processes(store: ObjectStore, url: str, folder: Path) -> None:
    """Processes that share a folder, make room and damage entries at once all read right bytes."""
    for number in range(80):
        store.put_bytes(f"object {number} ".encode().ljust(KIB, b"q"))
    size = 30 * KIB
    with ThreadPoolExecutor(3) as pool:
        done = [
            pool.submit(run, PROCESS, url, str(folder), str(size), str(seed)) for seed in range(3)
        ]
        for each in done:
            each.result()
    # What was added since each looked last: a twentieth of the size.
    assert taken(folder) <= size + 3 * (size // 20 + KIB)
    assert list(folder.rglob("*.tmp")) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (1, 1),
        (5_000_000_000, 5_000_000_000),
        ("1000", 1000),
        ("100B", 100),
        ("2 GB", 2_000_000_000),
        ("500MB", 500_000_000),
        ("1.5kB", 1500),
        ("2GiB", 2 * 1024**3),
        (" 0.5 tib ", 1024**4 // 2),
        ("3 g", 3_000_000_000),
    ],
)
def test_sizes(folder: Path, text: int | str, expected: int) -> None:
    """Sizes are bytes, or text with a decimal or a binary unit."""
    cache = open_cache(folder, text)
    assert cache is not None
    assert cache.max_bytes == expected


@pytest.mark.parametrize(
    "text",
    [
        0,
        -1,
        True,
        1.5,
        "",
        "GB",
        "-1 GB",
        "0 GB",
        "1e9",
        "2 XB",
        "2 GBB",
        "lots",
        "1" * 5000,
        "٣ GB",
    ],
)
def test_bad_sizes(tmp_path: Path, folder: Path, text: object) -> None:
    """What is no size is refused, with an example."""
    with pytest.raises(InvalidOptionError, match=r"cache_size.*such as '2 GB'"):
        create_store(tmp_path, cache=folder, cache_size=text)  # type: ignore[arg-type]  # the point


@pytest.mark.parametrize("place", ["", 7, b"/cache", "s3://bucket/cache", "a\0b"])
def test_bad_places(tmp_path: Path, place: object) -> None:
    """What is no folder is refused."""
    with pytest.raises(InvalidOptionError, match="cache"):
        create_store(tmp_path, cache=place)  # type: ignore[arg-type]  # that is the point


@pytest.mark.parametrize("cache", [None, False])
def test_size_without_cache(tmp_path: Path, cache: bool | None) -> None:
    """A size for no cache is a mistake."""
    with pytest.raises(InvalidOptionError, match="needs a cache"):
        create_store(tmp_path, cache=cache, cache_size="1 GB")


def test_true_is_the_users_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`cache=True` is where everything is that can be made again."""
    monkeypatch.setenv("DEVQUBIT_CACHE_DIR", str(tmp_path / "caches"))
    with create_store(tmp_path / "store", cache=True) as store:
        digest = store.put_bytes(DATA)
        store.get_bytes(digest)
    assert kept(tmp_path / "caches" / "objects") == {digest: DATA}


def test_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tilde is the user's home."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    cache = open_cache("~/kept", None)
    assert cache is not None
    assert Path(cache.folder) == tmp_path / "kept"


def test_no_parameter_of_a_url(tmp_path: Path) -> None:
    """A URL is shared with others, a folder of this machine is not: it cannot name one."""
    with pytest.raises(InvalidOptionError, match="takes no option 'cache'"):
        create_store(f"file://{tmp_path}?cache={tmp_path}/cache")


def test_no_cache_by_default() -> None:
    """Who asks for no cache has none."""
    assert open_cache(None, None) is None
    assert open_cache(False, None) is None
