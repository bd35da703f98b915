"""How much of the memory is used, on Linux.

In a container with a memory limit everything counts that lives in it, because the kernel kills by their sum, and
Ray's own memory monitor looks at the same number (it kills workers at 95 %): what the control group uses without its
inactive file pages, which the kernel takes back first, as the kubelet counts a working set. Elsewhere, where others
use the machine too, only this process counts, against the whole machine.

Weakness: without a container, replicas that only together fill the machine are not seen; nor is the limit of a
control group that this process does not see as its root.
"""

import logging
import mmap
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    """Where a version of control groups keeps its numbers, in bytes."""

    limit: str
    used: str
    stat: str
    inactive: str


GROUPS = (
    _Group(
        limit="sys/fs/cgroup/memory.max",
        used="sys/fs/cgroup/memory.current",
        stat="sys/fs/cgroup/memory.stat",
        inactive="inactive_file",
    ),
    _Group(
        limit="sys/fs/cgroup/memory/memory.limit_in_bytes",
        used="sys/fs/cgroup/memory/memory.usage_in_bytes",
        stat="sys/fs/cgroup/memory/memory.stat",
        inactive="total_inactive_file",
    ),
)
"""Version 2 before version 1."""


class MemoryShare:
    """The used share of `limit_bytes`, 0 to 1 (a little more is possible, while the kernel takes pages back).

    A reading costs some tens of microseconds: small files that never wait for a disk. When it fails, as it does once
    a process has no file descriptor left, the last share is returned again.
    """

    def __init__(self, used_bytes: Callable[[], int], limit_bytes: int) -> None:
        self._used_bytes = used_bytes
        self._limit_bytes = limit_bytes
        self._last = 0.0

    def __call__(self) -> float:
        try:
            self._last = self._used_bytes() / self._limit_bytes
        except OSError:
            logger.warning("the used memory cannot be read; it is taken to be as before", exc_info=True)
        return self._last


def linux_memory_share(root: Path = Path("/")) -> MemoryShare | None:
    """Return what reads the used share of this process' memory, or None on a system that does not tell.

    The limit is read once: a container that is resized in place keeps its old one here.
    """
    try:
        machine_bytes = _number_after("MemTotal:", root / "proc/meminfo") * 1_024
    except OSError:
        return None
    for group in GROUPS:
        limit_bytes = _limit_of(group, root)
        if limit_bytes is not None and limit_bytes < machine_bytes:
            return MemoryShare(partial(_used_in, group, root), limit_bytes)
    return MemoryShare(partial(_used_here, root), machine_bytes)


def _limit_of(group: _Group, root: Path) -> int | None:
    try:
        text = (root / group.limit).read_text(encoding="ascii").strip()
    except OSError:
        return None
    # Version 2 writes "max" where there is no limit, version 1 a number near 2^63.
    return int(text) if text.isdecimal() else None


def _used_in(group: _Group, root: Path) -> int:
    used = int((root / group.used).read_text(encoding="ascii"))
    return used - _number_after(group.inactive, root / group.stat)


def _used_here(root: Path) -> int:
    """Return the resident size of this process: the second field of statm, in pages."""
    return int((root / "proc/self/statm").read_text(encoding="ascii").split()[1]) * mmap.PAGESIZE


def _number_after(name: str, path: Path) -> int:
    """Return the number that follows `name` at the beginning of a line, 0 where there is no such line."""
    for line in path.read_text(encoding="ascii").splitlines():
        fields = line.split()
        if fields and fields[0] == name:
            return int(fields[1])
    return 0
