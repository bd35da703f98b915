import resource
import socket
from pathlib import Path

from deployments.launch import machine


def _cgroup(tmp_path: Path, **files: str) -> Path:
    for name, text in files.items():
        (tmp_path / name.replace("_", ".", 1)).write_text(text)
    return tmp_path


def test_a_containers_quota_counts(tmp_path: Path) -> None:
    """Half a processor is one, never none, and no quota means what the scheduler allows."""
    assert machine.cpu_count(_cgroup(tmp_path, cpu_max="50000 100000\n")) == 1
    unlimited = machine.cpu_count(_cgroup(tmp_path, cpu_max="max 100000\n"))
    assert unlimited == machine.cpu_count(tmp_path / "absent") >= 1


def test_a_containers_memory_counts(tmp_path: Path) -> None:
    """What the container may still use, its file cache given back, is what is free."""
    folder = _cgroup(tmp_path, memory_max="1000", memory_current="900", memory_stat="anon 800\ninactive_file 50\n")
    assert machine.free_memory_bytes(folder) == 150
    assert machine.free_memory_bytes(tmp_path / "absent") > 1 << 20


def test_a_listening_port_is_not_free() -> None:
    """Also when its owner lets others share it, as Serve's proxy does."""
    with socket.socket() as owner:
        owner.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        owner.bind(("127.0.0.1", 0))
        owner.listen()
        port = owner.getsockname()[1]
        assert not machine.port_is_free(port)
    assert machine.port_is_free(machine.free_port())


def test_the_open_file_limit_is_raised() -> None:
    """The limit that we return is in force, also when more is wanted than anybody may have."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        assert machine.raise_open_file_limit(before[0] - 1) == before[0] - 1
        reached = machine.raise_open_file_limit(1 << 40)
        assert before[0] <= reached == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
