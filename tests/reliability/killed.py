"""What `test_kill` starts and kills: does one thing again and again, and says what is done."""

from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from devqubit.maintenance import collect_garbage, copy, open_place

__all__ = ["JOBS", "content", "main"]


def content(seed: int, number: int) -> bytes:
    """The bytes of an object, of 1 byte to 2 MiB, which anybody can make again."""
    size = (1, 300, 70_000, 700_000, 2 << 20)[number % 5]
    return random.Random(f"{seed} {number}").randbytes(size)


def put_file(url: str, seed: int) -> Iterator[str]:
    """Stores files, each acknowledged by its digest."""
    with open_place(url) as place, tempfile.TemporaryDirectory() as folder:
        for number in range(10_000):
            path = Path(folder, "file")
            path.write_bytes(content(seed, number))
            yield place.store.put_file(path)


def put_many(url: str, seed: int) -> Iterator[str]:
    """Stores many objects at a time, each acknowledged by its digest."""
    with open_place(url) as place:
        yield from map(str, place.store.put_many(content(seed, n) for n in range(10_000)))


def save(url: str, seed: int) -> Iterator[str]:
    """Saves runs, each acknowledged by its id."""
    with open_place(url) as place:
        for number in range(10_000):
            digest = place.store.put_bytes(content(seed, number % 50))
            place.registry.save({"run_id": f"{seed}-{number}", "ref": digest})
            yield f"run {seed}-{number}"


def update(url: str, seed: int) -> Iterator[str]:
    """Counts in one run, each step acknowledged by the number that was written."""
    with open_place(url) as place:
        if not place.registry.exists("counted"):
            place.registry.save({"run_id": "counted", "n": 0})
        while True:
            run = place.registry.update("counted", lambda run: run.update(n=run["n"] + 1))
            yield f"count {run.record['n']}"


def refresh(url: str, seed: int) -> Iterator[str]:
    """Makes the index anew, again and again, while runs come and go."""
    with open_place(url) as place:
        for number in range(10_000):
            place.registry.bucket.write(
                f"runs/{seed}-{number % 40}.json", b'{"run_id": "%d-%d"}' % (seed, number % 40)
            )
            place.registry.refresh()
            yield "refreshed"


def copied(url: str, seed: int) -> Iterator[str]:
    """Copies what is there to a place beside it."""
    yield "begun"
    with open_place(url) as source, open_place(beside(url)) as target:
        while True:
            copy(source, target)
            place = source.store.put_bytes(random.randbytes(1_000))
            source.registry.save({"run_id": random.randbytes(4).hex(), "ref": place})
            yield "copied"


def collected(url: str, seed: int) -> Iterator[str]:
    """Puts what nobody refers to, and collects garbage (which is too young to go)."""
    with open_place(url) as place:
        place.registry.save({"run_id": "one"})
        while True:
            place.store.put_bytes(random.randbytes(1_000))
            collect_garbage(place.store, place.registry, dry_run=False)
            yield "collected"


def deleted(url: str, seed: int) -> Iterator[str]:
    """Collects the garbage that is there."""
    yield "begun"
    with open_place(url) as place:
        collect_garbage(place.store, place.registry, dry_run=False)


def beside(url: str) -> str:
    """The place that copies go to."""
    before, mark, query = url.partition("?")
    return f"{before}-copy{mark}{query}"


JOBS: dict[str, Callable[[str, int], Iterator[str]]] = {
    job.__name__: job
    for job in (put_file, put_many, save, update, refresh, copied, collected, deleted)
}


def main() -> None:
    """Does a job, and says on the output what is done."""
    job, url, seed = sys.argv[1:]
    for done in JOBS[job](url, int(seed)):
        print(done, flush=True)


if __name__ == "__main__":
    main()
