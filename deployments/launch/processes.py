"""Child processes that cannot outlive the launcher: a death signal from the kernel, and an orderly stop.

The death signal exists on Linux only; elsewhere a launcher killed with SIGKILL leaves its children, which the next
start finds by their pid files.
"""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import psutil

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def death_signal(number: signal.Signals) -> Callable[[], None] | None:
    """Return a `preexec_fn` that makes the kernel send `number` when the parent's spawning *thread* ends.

    So children are spawned from the main thread. None where the kernel has no such thing.
    """
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None, use_errno=True)  # loaded before the fork: the child may not allocate freely
    parent = os.getpid()

    def arm() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        if os.getppid() != parent:  # the parent died between fork and prctl
            os._exit(1)

    return arm


def spawn(
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    output: IO[bytes],
    cwd: Path | None = None,
    user: str | None = None,
    on_parent_death: signal.Signals = signal.SIGTERM,
) -> subprocess.Popen[bytes]:
    """Start a child in a session of its own, so that the terminal's Ctrl-C reaches the launcher alone."""
    return subprocess.Popen(  # noqa: S603 - the command is ours, never a user's text
        list(command),
        env=dict(env),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        user=user,
        group=None if user is None else primary_group(user),
        extra_groups=None if user is None else [],
        preexec_fn=death_signal(on_parent_death),
    )


def run(
    command: Sequence[str], *, env: Mapping[str, str], cwd: Path | None = None, user: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end and return what it said; a non-zero status is for the caller to judge."""
    return subprocess.run(  # noqa: S603 - the command is ours, never a user's text
        list(command),
        env=dict(env),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        user=user,
        group=None if user is None else primary_group(user),
        extra_groups=None if user is None else [],
    )


def primary_group(user: str) -> int:
    """Return the user's primary group id. Unix only, hence the late import."""
    import pwd

    return pwd.getpwnam(user).pw_gid


def stop(pid: int, *, first: signal.Signals = signal.SIGTERM, grace_s: float = 10.0) -> None:
    """Signal one process, wait up to `grace_s`, then kill it. A process that is already gone is fine."""
    try:
        process = psutil.Process(pid)
        process.send_signal(first)
        process.wait(grace_s)
    except psutil.TimeoutExpired:
        process.kill()
        process.wait(grace_s)
    except psutil.NoSuchProcess:
        return


def send(pid: int, number: signal.Signals) -> None:
    """Signal one process; one that is already gone is fine."""
    try:
        psutil.Process(pid).send_signal(number)
    except psutil.NoSuchProcess:
        return


def name_of(pid: int) -> str:
    """Return the name of a process's program, an empty string when there is no such process."""
    try:
        return str(psutil.Process(pid).name())
    except psutil.NoSuchProcess:
        return ""


def is_alive(pid: int) -> bool:
    """Whether the process exists and has not ended; one that ended and was not waited for does not count."""
    try:
        return _is_live(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return False


def tail(path: Path, max_bytes: int = 2000) -> str:
    """Return the last lines of a log for an error message, or an empty string where there is none."""
    try:
        return path.read_bytes()[-max_bytes:].decode(errors="replace")
    except OSError:
        return ""


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent dies, so that none escapes `end_descendants`. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def descendants_named(*names: str) -> list[int]:
    """Return the process ids of our descendants that run one of these programs."""
    return [process.pid for process in psutil.Process().children(recursive=True) if name_of(process.pid) in names]


def end_descendants(grace_s: float = 3.0) -> int:
    """Terminate whatever we still have below us, kill what does not listen, and return how many there were."""
    left = [p for p in psutil.Process().children(recursive=True) if _is_live(p)]
    for process in left:
        send(process.pid, signal.SIGTERM)
    _, deaf = psutil.wait_procs(left, timeout=grace_s)
    for process in deaf:
        send(process.pid, signal.SIGKILL)
    psutil.wait_procs(deaf, timeout=grace_s)
    return len(left)


def pids_named(name: str) -> list[int]:
    """Return the processes of this machine that run a program of this name, other users' included."""
    return [process.pid for process in psutil.process_iter(["name"]) if process.info["name"] == name]


def _is_live(process: Any) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
