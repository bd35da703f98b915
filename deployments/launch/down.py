"""`make down`: stop the launcher of this home from another terminal, and what a killed one may have left."""

import signal
import time
from collections.abc import Callable

from deployments.launch import lock, processes
from deployments.launch.console import Console
from deployments.launch.errors import LaunchFailed
from deployments.launch.options import Options
from deployments.launch.postgres import running_server

_GRACE_S = 60.0


def down(
    options: Options,
    console: Console,
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Return when nothing runs any more. Raises LaunchFailed when the launcher does not end."""
    pid = lock.holder(options.lock_path)
    if pid is not None:
        console.say(f"Stopping Mainstay (process {pid})")
        processes.send(pid, signal.SIGTERM)
        deadline = clock() + _GRACE_S
        while lock.holder(options.lock_path) == pid or processes.is_alive(pid):
            if clock() > deadline:
                raise LaunchFailed(f"process {pid} did not end within {_GRACE_S:.0f} s", f"run `kill -9 {pid}`")
            sleep(0.1)
    if (orphan := running_server(options.postgres_dir)) is not None:
        console.say(f"Stopping the database that a killed launcher left (process {orphan[0]})")
        processes.stop(orphan[0], first=signal.SIGINT)
    elif pid is None:
        console.say(f"Mainstay is not running (data in {options.home})")
    options.ready_path.unlink(missing_ok=True)
