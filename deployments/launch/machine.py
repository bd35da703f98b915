"""What this machine has: processors, memory, open files, free ports. A container's own limits count, not its host's."""

import os
import resource
import socket
from pathlib import Path

import psutil

_CGROUP = Path("/sys/fs/cgroup")


def cpu_count(cgroup: Path = _CGROUP) -> int:
    """Return how many processors we may use, at least one: affinity, then the container's quota."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
        limit = affinity if quota == "max" else max(1, int(quota) // int(period))
    except (OSError, ValueError):
        limit = affinity
    return max(1, min(affinity, limit))


def free_memory_bytes(cgroup: Path = _CGROUP) -> int:
    """Return the memory that can still be had: the machine's available memory or what the container has left."""
    available = int(psutil.virtual_memory().available)
    try:
        limit = int((cgroup / "memory.max").read_text())
        used = int((cgroup / "memory.current").read_text())
        stat = dict(line.split() for line in (cgroup / "memory.stat").read_text().splitlines())
        return min(available, limit - used + int(stat.get("inactive_file", 0)))
    except (OSError, ValueError):
        return available


def raise_open_file_limit(wanted: int) -> int:
    """Let us and our children open `wanted` files, or as many as we may; return the limit. Root may raise both limits."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    within = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    for limits in ((wanted, max(wanted, hard)), (within, hard)):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        except (OSError, ValueError):
            continue
        return limits[0]
    return soft


def port_is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether nobody listens on the port. Asked without SO_REUSEPORT, with which Serve would share it in silence."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """Return a port that is free right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
