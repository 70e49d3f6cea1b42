"""A Ceph cluster of one machine in memory, with its S3 gateway: a server as sites run it.

A monitor, an object store and the gateway run in the foreground, so that they end with us.
https://docs.ceph.com/en/pacific/rados/configuration/ has the settings.
"""

from __future__ import annotations

import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.real_servers._process import free_port, running, wait_until_it_listens

__all__ = ["Ceph", "ceph"]

_CONFIGURATION = """
[global]
fsid = {fsid}
mon initial members = a
mon host = v2:127.0.0.1:{monitor}/0
public network = 127.0.0.0/8
cluster network = 127.0.0.0/8
ms bind ipv6 = false
auth cluster required = none
auth service required = none
auth client required = none
run dir = {folder}
admin socket = {folder}/$name.socket
pid file = {folder}/$name.pid
log file = {folder}/$name.log
crash dir = {folder}
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pgp num = 8
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
osd max object name len = 2048
osd max object namespace len = 256
osd objectstore = memstore
memstore device bytes = 2147483648
mon allow pool size one = true
mon max pg per osd = 1000
mon data avail crit = 1
paxos propose interval = 0.05
paxos min wait = 0.01
mon client hunt interval = 0.5

[mon.a]
host = localhost
mon data = {folder}/monitor

[osd.0]
osd data = {folder}/store

[client.gateway]
auth client required = none
ms mon client mode = crc
rgw data = {folder}/gateway
rgw frontends = beast endpoint=127.0.0.1:{port} tcp_nodelay=1
"""
_START = 60.0


@dataclass(frozen=True)
class Ceph:
    """A cluster that runs.

    Attributes:
        endpoint: The address of its gateway.
        folder: Where it keeps everything.
    """

    endpoint: str
    folder: Path

    def add_user(self, name: str, access_key: str, secret: str) -> None:
        """Adds a user, who may make buckets of their own and look into nobody else's."""
        keys = (f"--access-key={access_key}", f"--secret-key={secret}")
        self._administer("user", "create", f"--uid={name}", f"--display-name={name}", *keys)

    def limit(self, name: str, size: int) -> None:
        """Gives a user a quota of bytes."""
        scope = ("--quota-scope=user", f"--uid={name}")
        self._administer("quota", "set", *scope, f"--max-size={size}")
        self._administer("quota", "enable", *scope)

    def _administer(self, *arguments: str) -> None:
        _call(self.folder, "radosgw-admin", "-n", "client.gateway", *arguments)


@contextmanager
def ceph(folder: Path) -> Iterator[Ceph]:
    """A cluster with the user `testing`, whose access key and secret are that word, too."""
    for part in ("monitor", "store", "gateway"):
        (folder / part).mkdir()
    port, monitor, fsid = free_port(), free_port(), str(uuid.uuid4())
    names = {"folder": folder, "port": port, "monitor": monitor, "fsid": fsid}
    (folder / "ceph.conf").write_text(_CONFIGURATION.format(**names))
    with ExitStack() as stack:
        _start_monitor(stack, folder, fsid, monitor)
        _start_store(stack, folder)
        gateway = _start(stack, folder, "radosgw", "-n", "client.gateway")
        wait_until_it_listens(gateway, port, folder / "radosgw.out")
        started = Ceph(f"http://127.0.0.1:{port}", folder)
        started.add_user("testing", "testing", "testing")
        yield started


def _start_monitor(stack: ExitStack, folder: Path, fsid: str, port: int) -> None:
    members = str(folder / "members")
    address = f"[v2:127.0.0.1:{port}]"
    create = ("--create", "--clobber", "--fsid", fsid, "--addv", "a", address, members)
    _call(folder, "monmaptool", *create)
    _call(folder, "ceph-mon", "-i", "a", "--mkfs", "--monmap", members)
    _start(stack, folder, "ceph-mon", "-i", "a")
    _wait_for(folder, ("mon", "stat"), "quorum")


def _start_store(stack: ExitStack, folder: Path) -> None:
    store = str(uuid.uuid4())
    _call(folder, "ceph", "osd", "new", store)
    _call(folder, "ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", store)
    where = ("root=default", "host=localhost")
    _call(folder, "ceph", "osd", "crush", "add", "osd.0", "1.0", *where)
    _start(stack, folder, "ceph-osd", "-i", "0")
    _wait_for(folder, ("osd", "stat"), "1 up")


def _wait_for(folder: Path, question: tuple[str, ...], wanted: str) -> None:
    deadline = time.monotonic() + _START
    while True:
        try:
            answer = _call(folder, "ceph", "--connect-timeout", "5", *question)
        except subprocess.CalledProcessError as exc:
            answer = exc.stderr
        if wanted in answer:
            return
        if time.monotonic() > deadline:
            raise RuntimeError(f"Ceph is not up: {answer}")
        time.sleep(0.1)


def _start(
    stack: ExitStack, folder: Path, program: str, *arguments: str
) -> subprocess.Popen[bytes]:
    log = folder / f"{program}.out"
    return stack.enter_context(running(program, *_configured(folder), "-f", *arguments, log=log))


def _call(folder: Path, program: str, *arguments: str) -> str:
    command = (program, *_configured(folder), *arguments)
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def _configured(folder: Path) -> tuple[str, str]:
    return "-c", str(folder / "ceph.conf")
