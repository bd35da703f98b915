"""One launcher per home folder: a lock that the kernel drops when its holder dies, and that names the holder."""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path

from deployments.launch.errors import LaunchFailed


@contextlib.contextmanager
def hold(path: Path) -> Iterator[None]:
    """Hold the lock inside the block. Raises LaunchFailed, naming the other launcher, when there is one."""
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LaunchFailed(
                f"Mainstay is running already (process {_pid(path)}, data in {path.parent})",
                "stop it with `make down`, or set MAINSTAY_HOME and MAINSTAY_PORT for a second one",
            ) from None
        file.truncate(0)
        file.write(json.dumps({"pid": os.getpid()}))
        file.flush()
        yield
        file.truncate(0)


def holder(path: Path) -> int | None:
    """Return the process id of the launcher that holds the lock, None when nobody does."""
    try:
        with path.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except BlockingIOError:
        return _pid(path)
    return None


def _pid(path: Path) -> int | None:
    try:
        return int(json.loads(path.read_text())["pid"])
    except (OSError, ValueError, KeyError):
        return None
