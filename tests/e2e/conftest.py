"""One launcher per profile and session, in front of one simulated upstream: what a user runs, on real sockets."""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from benchmarks.upstream import Upstream

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

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.api_key}"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test of this folder needs the cluster; those of one profile run together."""
    here = Path(__file__).parent
    mine = [item for item in items if here in item.path.parents]
    for item in mine:
        item.add_marker(pytest.mark.ray)
        item.add_marker(pytest.mark.timeout(START_TIMEOUT_S + 60))
        item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest.fixture(scope="session")
def upstream_port() -> int:
    return free_port()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def running_upstream(upstream_port: int) -> AsyncIterator[Upstream]:
    async with Upstream(port=upstream_port, models=(MODEL,)) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def upstream(running_upstream: Upstream) -> Upstream:
    """The upstream with nothing seen yet."""
    await running_upstream.seen.until(lambda seen: seen.open == 0)
    running_upstream.seen.clear()
    return running_upstream


@pytest_asyncio.fixture(scope="session", params=["plain", "production"], loop_scope="session")
async def served(request: pytest.FixtureRequest, running_upstream: Upstream) -> AsyncIterator[Served]:
    """Mainstay in each profile, started and stopped as `make serve` does."""
    home = _make_home(request.param)
    launcher = _launch(home, request.param, running_upstream.url)
    try:
        ready = await asyncio.to_thread(_wait_until_ready, launcher, home)
        yield Served(profile=request.param, url=ready["url"], api_key=ready["api_key"], home=home, launcher=launcher)
    finally:
        launcher.send_signal(signal.SIGINT)
        await asyncio.to_thread(launcher.wait, 90)
        shutil.rmtree(home)


@pytest_asyncio.fixture(loop_scope="session")
async def client(served: Served) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=served.url, headers=served.headers, timeout=60.0) as made:
        yield made


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
    }


def _make_home(profile: str) -> Path:
    home = Path(tempfile.mkdtemp(prefix=f"mainstay-{profile}-"))
    home.chmod(0o711)  # root's Postgres runs as another user, which must be able to pass
    return home


def _launch(home: Path, profile: str, upstream_url: str) -> "subprocess.Popen[bytes]":
    with (home / "launcher.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "deployments.launch", "serve"],
            cwd=ROOT,
            env=launch_environ(home, profile, upstream_url),
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
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
