"""How much memory is used, read off a made-up /proc and /sys."""

import mmap
from pathlib import Path

import pytest

from services.resilience.memory import linux_memory_share

MACHINE_KIB = 8_000_000
V1 = {
    "sys/fs/cgroup/memory/memory.usage_in_bytes": "900000000\n",
    "sys/fs/cgroup/memory/memory.stat": "inactive_file 1\ntotal_inactive_file 400000000\n",
}
V2 = {
    "sys/fs/cgroup/memory.current": "900000000\n",
    "sys/fs/cgroup/memory.stat": "anon 5\ninactive_file 150000000\nactive_file 7\n",
}


def a_machine(root: Path, files: dict[str, str]) -> Path:
    """A file system with these files, of a machine of eight million KiB, on which this process has 1,000 pages."""
    machine = {
        "proc/meminfo": f"MemTotal:        {MACHINE_KIB} kB\nMemFree:  1 kB\n",
        "proc/self/statm": "765432 1000 399 5 0 123 0\n",
    }
    for name, text in (machine | files).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="ascii")
    return root


@pytest.mark.parametrize(
    ("files", "share"),
    [
        ({"sys/fs/cgroup/memory.max": "1000000000\n", **V2}, 0.75),
        ({"sys/fs/cgroup/memory/memory.limit_in_bytes": "1000000000\n", **V1}, 0.5),
    ],
    ids=["version 2", "version 1"],
)
def test_in_a_container_everything_in_it_counts(tmp_path: Path, files: dict[str, str], share: float) -> None:
    """The use of the control group, without the file pages that the kernel would take back first, against its limit."""
    memory_share = linux_memory_share(a_machine(tmp_path, files))
    assert memory_share is not None
    assert memory_share() == pytest.approx(share)


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"sys/fs/cgroup/memory.max": "max\n", **V2},
        {"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n", **V1},
    ],
    ids=["no groups", "version 2", "version 1"],
)
def test_without_a_limit_this_process_counts(tmp_path: Path, files: dict[str, str]) -> None:
    """Its resident pages against the machine's memory: others use the machine too."""
    memory_share = linux_memory_share(a_machine(tmp_path, files))
    assert memory_share is not None
    assert memory_share() == pytest.approx(1_000 * mmap.PAGESIZE / (MACHINE_KIB * 1_024))


def test_a_reading_that_fails_repeats_the_last(tmp_path: Path) -> None:
    """A process that has run out of file descriptors keeps the share that it knew."""
    memory_share = linux_memory_share(a_machine(tmp_path, {}))
    assert memory_share is not None
    before = memory_share()
    (tmp_path / "proc/self/statm").unlink()
    assert memory_share() == before > 0


def test_a_system_that_does_not_tell_has_no_share(tmp_path: Path) -> None:
    """Without /proc memory is not looked at."""
    assert linux_memory_share(tmp_path) is None


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="Linux only")
def test_this_machine_tells() -> None:
    """A real /proc gives a share between nothing and everything."""
    memory_share = linux_memory_share()
    assert memory_share is not None
    assert 0.0 < memory_share() < 1.0
