import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from deployments.launch import processes
from deployments.launch.errors import LaunchFailed, one_line

_PARENT = """
import sys, time
from deployments.launch import processes
with open({log!r}, "wb") as log:
    child = processes.spawn([sys.executable, "-c", "import time; time.sleep(600)"], env={{}}, output=log)
print(child.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's death signal exists on Linux only")
def test_a_child_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    """SIGKILL to the launcher, which can clean up nothing, still leaves no child behind."""
    script = _PARENT.format(log=str(tmp_path / "log"))
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
        parent.wait()
    assert _ended(child)


def test_a_child_does_not_hear_the_terminal(tmp_path: Path) -> None:
    """Children are in a session of their own, so Ctrl-C reaches only the launcher, which stops them in order."""
    with (tmp_path / "log").open("wb") as log:
        child = processes.spawn(["sleep", "600"], env={"PATH": "/usr/bin:/bin"}, output=log)
    try:
        assert psutil.Process(child.pid).terminal() is None
        assert _session_of(child.pid) == child.pid
    finally:
        processes.stop(child.pid)
        child.wait()


def test_stop_kills_what_ignores_the_signal(tmp_path: Path) -> None:
    """A process that ignores SIGTERM is killed after the grace."""
    script = "import signal, sys; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); signal.pause()"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "deaf\n"
        processes.stop(child.pid, grace_s=0.05)
        child.wait()
        assert not psutil.pid_exists(child.pid) or child.returncode is not None
    processes.stop(child.pid, first=signal.SIGINT)  # a process that is gone is fine


def test_an_error_is_one_line_with_a_remedy() -> None:
    """Whatever the cause brought along, the user reads one line that is not endless."""
    error = LaunchFailed("first\n  second\tthird", "do this")
    assert str(error) == "first second third: do this"
    assert len(one_line("x" * 1000)) == 400


def _ended(process: psutil.Process) -> bool:
    try:
        process.wait(10)
    except psutil.TimeoutExpired:
        process.kill()
        return False
    return True


def _session_of(pid: int) -> int:
    import os

    return os.getsid(pid)
