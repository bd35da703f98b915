import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest

from deployments.launch import postgres
from deployments.launch.errors import LaunchFailed
from deployments.launch.postgres import EmbeddedPostgres, running_server

pytestmark = pytest.mark.postgres

_LAUNCHER = """
import sys, time
from pathlib import Path
from deployments.launch.postgres import EmbeddedPostgres
print(EmbeddedPostgres(data_dir=Path(sys.argv[1])).start(), flush=True)
time.sleep(600)
"""


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A data folder that root's server user can reach, unlike pytest's own temporary folders."""
    with tempfile.TemporaryDirectory(prefix="mainstay-pg-") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder) / "data"
        if (left := running_server(Path(folder) / "data")) is not None:
            os.kill(left[0], signal.SIGKILL)


async def _answer(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        value = await connection.fetchval("SELECT 42")
    finally:
        await connection.close()
    return int(value)


async def test_a_fresh_database_is_empty_and_usable(fresh_database_url: str) -> None:
    """Each test gets a database of its own, reached over a Unix socket with the URL as given."""
    connection = await asyncpg.connect(fresh_database_url)
    try:
        await connection.execute("CREATE TABLE t (id int)")
        assert await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 1
        assert await connection.fetchval("SHOW listen_addresses") == ""
    finally:
        await connection.close()


async def test_a_stopped_server_starts_again_at_the_same_address(data_dir: Path) -> None:
    """Replicas keep one URL for life, so a restart must not change it; stopping twice is fine."""
    server = EmbeddedPostgres(data_dir=data_dir)
    first = server.start()
    pid = running_server(data_dir)
    assert pid is not None
    server.stop()
    server.stop()
    assert not server.is_alive()
    assert running_server(data_dir) is None
    try:
        assert server.start() == first
        assert await _answer(first) == 42
    finally:
        server.stop()


def test_a_killed_server_starts_again_at_the_same_address(data_dir: Path) -> None:
    """A crash of Postgres is healed by its launcher, whose child it still is: a dead child is not taken for a server."""
    server = EmbeddedPostgres(data_dir=data_dir)
    url = server.start()
    running = running_server(data_dir)
    assert running is not None
    os.kill(running[0], signal.SIGKILL)
    os.waitid(os.P_PID, running[0], os.WEXITED | os.WNOWAIT)  # it has ended and nobody has asked how
    assert not server.is_alive()
    try:
        assert server.start() == url
        assert asyncio.run(_answer(url)) == 42
    finally:
        server.stop()


async def test_a_server_that_lost_its_launcher_is_taken_over(data_dir: Path) -> None:
    """A second start finds the running server, and its stop ends it."""
    owner = EmbeddedPostgres(data_dir=data_dir)
    url = owner.start()
    heir = EmbeddedPostgres(data_dir=data_dir)
    assert heir.start() == url
    assert await _answer(url) == 42
    heir.stop()
    assert not owner.is_alive()
    owner.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's death signal exists on Linux only")
def test_killing_the_launcher_stops_the_server(data_dir: Path) -> None:
    """After SIGKILL to its launcher no server stays behind."""
    command = [sys.executable, "-c", _LAUNCHER, str(data_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as launcher:
        assert launcher.stdout is not None
        assert launcher.stdout.readline().startswith("postgresql://")
        running = running_server(data_dir)
        assert running is not None
        server = psutil.Process(running[0])
        launcher.kill()
    server.wait(20)
    assert running_server(data_dir) is None


def test_folders_above_the_data_keep_their_modes(data_dir: Path) -> None:
    """Nothing above the data folder is opened to others, whoever starts it."""
    before = {folder: folder.stat().st_mode for folder in data_dir.parents}
    server = EmbeddedPostgres(data_dir=data_dir)
    server.start()
    server.stop()
    assert {folder: folder.stat().st_mode for folder in data_dir.parents} == before
    assert data_dir.stat().st_mode & 0o077 == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as another user")
def test_a_folder_that_the_server_cannot_enter_is_reported(tmp_path: Path) -> None:
    """Below a private folder root's server cannot work; the error says what to set, and nothing is opened."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(LaunchFailed, match="MAINSTAY_HOME"):
        EmbeddedPostgres(data_dir=closed / "data").start()
    assert closed.stat().st_mode & 0o777 == 0o700


def test_a_server_that_does_not_start_shows_its_reason(data_dir: Path) -> None:
    """Postgres's own last words are in the error, with the log's name."""
    server = EmbeddedPostgres(data_dir=data_dir, settings={"shared_buffers": "nonsense"})
    with pytest.raises(LaunchFailed, match=r"Postgres stopped while starting.*shared_buffers.*data\.log"):
        server.start()
    server.stop()


def test_a_stale_pid_file_is_no_server(data_dir: Path) -> None:
    """A pid that now belongs to another program is not taken for Postgres."""
    data_dir.mkdir()
    lines = [str(os.getpid()), str(data_dir), "0", "5432", "/sock", "", "0 0", "ready"]
    (data_dir / "postmaster.pid").write_text("\n".join(lines))
    assert running_server(data_dir) is None


def test_the_socket_path_fits_the_kernels_limit(data_dir: Path) -> None:
    """Under a long data path the socket moves to the temporary folder."""
    long = data_dir.parent / ("x" * 90) / "data"
    long.parent.mkdir()
    folder = postgres._socket_dir(long, None)
    assert len(os.fsencode(folder)) <= 90
    folder.rmdir()
