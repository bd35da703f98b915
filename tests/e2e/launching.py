"""A launcher in a process of its own, as `make serve` runs it, in front of simulated upstreams."""

import asyncio
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.serve_api import ServeApi, serve_api
from tests.e2e.inside.sitecustomize import TOOLS

ROOT = Path(__file__).parents[2]
START_TIMEOUT_S = 240.0
MODEL = "simulated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A running Mainstay as its users see it, and the folder it keeps its state in."""

    profile: str
    url: str
    api_key: str
    home: Path
    launcher: "subprocess.Popen[bytes]"
    environ: Mapping[str, str]

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.api_key}"}


def inside(tools: str) -> dict[str, str]:
    """Return the variables that have the processes of a launch run `inside/sitecustomize.py`, and know a module's tools."""
    return {"PYTHONPATH": str(Path(__file__).parent / "inside"), TOOLS: tools}


@asynccontextmanager
async def operated(served: Served) -> AsyncIterator[ServeApi]:
    """Open Serve's REST API of a launch."""
    token = await asyncio.to_thread((served.home / "ray-token").read_text)
    async with serve_api(f"http://127.0.0.1:{served.environ['MAINSTAY_DASHBOARD_PORT']}", token) as api:
        yield api


@contextmanager
def launched(profile: str, upstream_url: str, **environ: str) -> Iterator[Served]:
    """Start Mainstay, wait until it says that it is ready, and stop it with Ctrl-C in the end."""
    home = _make_home(profile)
    environ = {**launch_environ(home, profile, upstream_url), **environ}
    launcher = _launch(home, environ)
    try:
        ready = _wait_until_ready(launcher, home)
        yield Served(
            profile=profile,
            url=ready["url"],
            api_key=ready["api_key"],
            home=home,
            launcher=launcher,
            environ=environ,
        )
    finally:
        stop(launcher)
        shutil.rmtree(home)


def stop(launcher: "subprocess.Popen[bytes]") -> None:
    """Stop Mainstay with Ctrl-C; one that has ended already is fine."""
    launcher.send_signal(signal.SIGINT)
    launcher.wait(90)


def relaunch(served: Served) -> Served:
    """Stop Mainstay and start it again on the same home, under the same address. Whoever calls this stops the new one."""
    stop(served.launcher)
    launcher = _launch(served.home, served.environ)
    _wait_until_ready(launcher, served.home)
    return replace(served, launcher=launcher)


def launch_environ(home: Path, profile: str, upstream_url: str) -> dict[str, str]:
    """The environment of a launcher that serves the upstream's model beside whatever else runs on this machine."""
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "OPENAI_", "MAINSTAY_"))
    }
    return environ | {
        "PROFILE": profile,
        "MAINSTAY_HOME": str(home),
        "MAINSTAY_PORT": str(free_port()),
        "MAINSTAY_DASHBOARD_PORT": str(free_port()),
        "MAINSTAY_BESIDE_OTHER_RAY": "1",
        "MAINSTAY_CPUS": "4",
        "OPENAI_API_KEY": "sk-simulated",
        "OPENAI_BASE_URL": upstream_url,
        "OPENAI_MODEL": MODEL,
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
        "RAY_SERVE_HAPROXY_STATS_PORT": str(free_port()),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(free_port()),
        # Ray's own are the same for every cluster: the next one would start without, while the last one still ends.
        "AUTOSCALER_METRIC_PORT": str(free_port()),
        "DASHBOARD_METRIC_PORT": str(free_port()),
        # What Python gives back goes back to the system, so that the memory of a replica is what it holds.
        "MALLOC_ARENA_MAX": "2",
        "MALLOC_TRIM_THRESHOLD_": "131072",
    }


def _make_home(profile: str) -> Path:
    home = Path(tempfile.mkdtemp(prefix=f"mainstay-{profile}-"))
    home.chmod(0o711)  # root's Postgres runs as another user, which must be able to pass
    return home


def _launch(home: Path, environ: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    with (home / "launcher.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "deployments.launch", "serve"],
            cwd=ROOT,
            env=environ,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _wait_until_ready(launcher: "subprocess.Popen[bytes]", home: Path) -> dict[str, Any]:
    """Follow the launcher's output until it says that it is ready."""
    for line in _follow(launcher, home / "launcher.log"):
        if "Mainstay is ready" in line:
            return dict(json.loads((home / "ready.json").read_text()))
    pytest.fail(f"the launcher ended:\n{(home / 'launcher.log').read_text()}")


def _follow(launcher: "subprocess.Popen[bytes]", log: Path) -> Iterator[str]:
    deadline = time.monotonic() + START_TIMEOUT_S
    with log.open() as lines:
        while time.monotonic() < deadline:
            if line := lines.readline():
                yield line
            elif launcher.poll() is not None:
                yield from lines
                return
            else:
                time.sleep(0.1)


def free_port() -> int:
    """Return a port that nobody listens on, and that nobody is given by chance before it is used.

    So none of the kernel's own choice: Ray's processes take dozens of those while a cluster starts. Below them are Ray's
    workers (to 19999), and the ingress replicas (from 30000).
    """
    for port in random.sample(range(20_000, 30_000), 100):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")
