"""Which processes a server is made of, and how much CPU time they used."""

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")


def tree(roots: Iterable[int]) -> frozenset[int]:
    """The roots that live, and everything below them."""
    children: dict[int, list[int]] = {}
    for pid in _all_pids():
        children.setdefault(_parent(pid), []).append(pid)
    found: set[int] = set()
    todo = [pid for pid in roots if _PROC.joinpath(str(pid)).exists()]
    while todo:
        pid = todo.pop()
        if pid not in found:
            found.add(pid)
            todo.extend(children.get(pid, ()))
    return frozenset(found)


def marked(mark: str) -> frozenset[int]:
    """Processes with this text in their command line or environment: daemons that left their tree keep both."""
    needle = mark.encode()
    return frozenset(
        pid for pid in _all_pids() if any(needle in _read(_PROC / str(pid) / name) for name in ("cmdline", "environ"))
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuClocks:
    """CPU seconds, user and system, of some processes at one moment; of all threads, to the nanosecond."""

    seconds: dict[int, float]

    @classmethod
    def read(cls, pids: Iterable[int]) -> "CpuClocks":
        return cls(seconds={pid: seconds for pid in pids if (seconds := _cpu_s(pid)) is not None})

    def since(self, before: "CpuClocks") -> float:
        """Seconds used in between. A process born in between counts from zero; what one that has died used is lost."""
        return sum(seconds - before.seconds.get(pid, 0.0) for pid, seconds in self.seconds.items())


def _all_pids() -> list[int]:
    return [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()]


def _parent(pid: int) -> int:
    status = _read(_PROC / str(pid) / "stat")
    return int(status.rpartition(b")")[2].split()[1]) if status else 0


def _read(path: Path) -> bytes:
    """Nothing when the process has gone or is not ours."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return b""


def _cpu_s(pid: int) -> float | None:
    """Linux's CPU clock of another process (clock_getcpuclockid(3)); None when it has gone."""
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return None


def machine_cpu_s() -> float:
    """CPU seconds that all processes of the machine have used, interrupts included, since it started."""
    ticks = [int(field) for field in _read(_PROC / "stat").split(b"\n", 1)[0].split()[1:]]
    user, nice, system, _idle, _waiting, interrupts, soft_interrupts = ticks[:7]
    return (user + nice + system + interrupts + soft_interrupts) / os.sysconf("SC_CLK_TCK")
