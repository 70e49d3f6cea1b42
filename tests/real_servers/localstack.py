"""LocalStack's S3, of the servers that run on a laptop the one most like AWS."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.real_servers._process import free_port, running, wait_until_it_listens

__all__ = ["localstack"]


@contextmanager
def localstack(folder: Path, python: str) -> Iterator[str]:
    """The endpoint of a server that takes any credentials.

    Args:
        folder: Where it keeps everything but the objects, whose place is fixed in its code:
            `/tmp/localstack-s3-storage`.
        python: The interpreter of the environment with `localstack-core` in it.
    """
    port, log = free_port(), folder / "log"
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "SERVICES": "s3",
        "STRICT_SERVICE_LOADING": "1",
        "EAGER_SERVICE_LOADING": "1",
        "GATEWAY_LISTEN": f"127.0.0.1:{port}",
        "GATEWAY_SERVER": "hypercorn",  # the default one serves the whole network
        "FILESYSTEM_ROOT": str(folder / "root"),
        # Nothing is sent to anybody.
        "DISABLE_EVENTS": "1",
        "SKIP_SSL_CERT_DOWNLOAD": "1",
        "DNS_ADDRESS": "0",
        "OVERRIDE_IN_DOCKER": "0",
    }
    with running(python, "-m", "localstack.runtime.main", log=log, env=env) as process:
        wait_until_it_listens(process, port, log)
        yield f"http://127.0.0.1:{port}"
