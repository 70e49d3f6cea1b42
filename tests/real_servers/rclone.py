"""`rclone serve s3`: files as S3, without any condition. It shows what is noticed of that."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.real_servers._process import free_port, running, wait_until_it_listens

__all__ = ["rclone"]


@contextmanager
def rclone(folder: Path, program: str) -> Iterator[str]:
    """The endpoint of a server for the credentials of the tests.

    Args:
        folder: Where it keeps everything.
        program: The path of `rclone`.
    """
    port, log, files = free_port(), folder / "log", folder / "files"
    files.mkdir()
    options = ("--addr", f"127.0.0.1:{port}", "--auth-key", "testing,testing")
    quiet = ("--config", str(folder / "none.conf"), "--cache-dir", str(folder / "cache"))
    with running(program, "serve", "s3", *options, *quiet, str(files), log=log) as process:
        wait_until_it_listens(process, port, log)
        yield f"http://127.0.0.1:{port}"
