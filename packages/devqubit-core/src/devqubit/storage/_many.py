"""What a store does with many objects: the calls. `_bulk` has how, loaded with the first one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Literal

from devqubit.errors import InvalidArgumentError, StorageError
from devqubit.storage._opened import Opened

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from devqubit.storage._bulk import Item
    from devqubit.storage._transfer import Progress

__all__ = ["ManyObjects"]


class ManyObjects(Opened):
    """The calls of `devqubit.storage.ObjectStore` that take many objects."""

    def put_many(
        self,
        items: Iterable[Item],
        *,
        errors: Literal["raise", "return"] = "raise",
        max_concurrency: int | None = None,
        executor: Executor | None = None,
        progress: Progress | None = None,
    ) -> Iterator[str | StorageError | OSError]:
        """Stores many objects, as `put_bytes` and `put_file` do, while it is iterated over.

        Args:
            items: Bytes, and paths of files (`pathlib.Path`; text is refused). The workers
                of an executor read the paths themselves.
            errors: `"raise"` raises what failed together, when all others are stored;
                `"return"` leaves it at yielding it.
            max_concurrency: This, and what is below, as for `get_many`.
            executor: Where it is done.
            progress: Is told what is done.

        Yields:
            Each item's digest, or the error that came of it, in the items' order.

        Raises:
            ExceptionGroup: Some items were not stored; it says how many and which.
            TypeError: An item is neither bytes nor a path; those before it are stored.
        """
        from devqubit.storage._bulk import PUT, bulk, raise_at_the_end

        if errors not in ("raise", "return"):
            raise InvalidArgumentError(f"'errors' must be 'raise' or 'return', not {errors!r}")
        outcomes = bulk(PUT, self, items, max_concurrency, executor, progress)
        return outcomes if errors == "return" else raise_at_the_end(outcomes)

    def get_many(
        self,
        digests: Iterable[str],
        *,
        max_concurrency: int | None = None,
        executor: Executor | None = None,
        progress: Progress | None = None,
    ) -> Iterator[tuple[str, bytes | StorageError]]:
        """Reads many objects and verifies each.

        They are read ahead of the consumer, so many that all requests are in use, and no
        more are held. If the consumer stops, or is interrupted, so does everything else.

        Args:
            digests: Taken as they are needed.
            max_concurrency: How many requests are in flight; by default as many as the
                bucket says (`max_concurrency` of its URL), and more need new connections.
            executor: A `concurrent.futures.Executor` on which it is done. It has up to 32
                tasks at a time, each of `max_concurrency` objects with as many requests,
                and opens the store by its URL where it is another process. Threads are
                given one object at a time.
            progress: Is called in the consumer's thread with the number of objects that
                are done, and with that of all, or None if `digests` has no length.

        Yields:
            Each digest with its bytes, or with the error of this one, in their order.

        Raises:
            InvalidDigestError: A digest is not canonical; when it is its turn.
        """
        from devqubit.storage._bulk import GET, bulk

        return bulk(GET, self, digests, max_concurrency, executor, progress)

    def get_sizes(
        self,
        digests: Iterable[str],
        *,
        max_concurrency: int | None = None,
        executor: Executor | None = None,
        progress: Progress | None = None,
    ) -> Iterator[tuple[str, int | StorageError]]:
        """The sizes of many objects in bytes, in few requests; arguments as of `get_many`.

        Pages of the store are listed instead of asking for each where that takes fewer
        requests. For that, digests are taken up to 10,000 at a time, or 100,000 if they
        are in a list, or the like, already.

        Yields:
            Each digest with its size, or with the error of this one, in their order.

        Raises:
            InvalidDigestError: A digest is not canonical; when it is its turn.
        """
        from devqubit.storage._bulk import SIZES, bulk

        return bulk(SIZES, self, digests, max_concurrency, executor, progress)

    def exists_many(
        self,
        digests: Iterable[str],
        *,
        max_concurrency: int | None = None,
        executor: Executor | None = None,
        progress: Progress | None = None,
    ) -> Iterator[tuple[str, bool | StorageError]]:
        """Whether many objects are there, in few requests; see `get_sizes`.

        Yields:
            Each digest with whether it is there, or with the error of this one.

        Raises:
            InvalidDigestError: A digest is not canonical; when it is its turn.
        """
        from devqubit.storage._bulk import EXISTS, bulk

        return bulk(EXISTS, self, digests, max_concurrency, executor, progress)

    def delete_many(
        self,
        digests: Iterable[str],
        *,
        max_concurrency: int | None = None,
        executor: Executor | None = None,
        progress: Progress | None = None,
    ) -> Iterator[tuple[str, StorageError | None]]:
        """Deletes many objects, also from the cache, while it is iterated over.

        Where the backend deletes many with one request, they are taken 1,000 at a time.
        Arguments are as of `get_many`.

        Yields:
            Each digest with None, also if it was not there, or with the error of this one.

        Raises:
            InvalidDigestError: A digest is not canonical; those before it are deleted.
        """
        from devqubit.storage._bulk import DELETE, bulk

        return bulk(DELETE, self, digests, max_concurrency, executor, progress)
