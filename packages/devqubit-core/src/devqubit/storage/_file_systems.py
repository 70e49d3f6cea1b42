"""What file system a folder is on, where that decides how a file there can be shared."""

from __future__ import annotations

import os
from typing import Final

__all__ = ["shares_memory"]

_MOUNTS: Final = "/proc/self/mountinfo"

# Local ones that write a block where it was.
_IN_PLACE: Final = frozenset({"ext2", "ext3", "ext4", "jfs", "ramfs", "tmpfs", "xfs"})


def shares_memory(folder: str) -> bool:
    """Whether processes can share a file of a folder by mapping it into their memory.

    On a network, each machine has a memory of its own. Where a block that is written again
    takes new space, as on Btrfs, a process that writes to mapped memory when a disk or quota is
    full is killed by SIGBUS; no error can be caught. Linux alone tells which it is; elsewhere
    the answer is yes. Source: https://www.kernel.org/doc/html/latest/filesystems/proc.html#proc-pid-mountinfo-information-about-mounts

    Args:
        folder: A folder that is there.
    """
    try:
        with open(_MOUNTS, encoding="utf-8", errors="replace") as mounts:
            lines = [line.split(" ") for line in mounts]
    except OSError:
        return True
    device = os.stat(folder).st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    kinds = {line[line.index("-") + 1] for line in lines if line[2] == number}
    return bool(kinds) and kinds <= _IN_PLACE
