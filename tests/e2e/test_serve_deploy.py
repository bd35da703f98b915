"""The same application on a cluster that somebody else started: `ray start --head`, then `serve deploy`."""

import asyncio
import contextlib
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from benchmarks.upstream import Upstream
from deployments.launch.profile import read_ray_env
from tests.e2e.launching import MODEL, ROOT, free_port
from tests.e2e.streams import ask, text_of

BIN = Path(sys.executable).parent


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, because Ray makes Unix sockets in it."""
    with tempfile.TemporaryDirectory(prefix="ms-") as made:
        yield Path(made)


def cluster_environ(folder: Path, database_url: str, upstream_url: str) -> dict[str, str]:
    """What the README says must be in the environment before `ray start`; the plain profile's part of ray.env."""
    token = folder / "token"
    token.write_text(secrets.token_hex(32))
    kept = ("PATH", "HOME", "LANG", "TMPDIR", "XDG_CACHE_HOME")
    ray_env = read_ray_env()
    return {name: os.environ[name] for name in kept if name in os.environ} | {
        "RAY_AUTH_MODE": ray_env["RAY_AUTH_MODE"],
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_USAGE_STATS_ENABLED": "0",
        "DATABASE_URL": database_url,
        "MAINSTAY_KEY_PEPPER": secrets.token_hex(16),
        "OPENAI_API_KEY": "sk-simulated",
        "OPENAI_BASE_URL": upstream_url,
        "OPENAI_MODEL": MODEL,
    }


def run(environ: dict[str, str], *command: str) -> str:
    """Run a command of the README to its end and return what it printed on standard output."""
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"
    return done.stdout.strip()


@contextlib.contextmanager
def ray_head(environ: dict[str, str], folder: Path, dashboard_port: int) -> Iterator[None]:
    """`ray start --head --block` with ports of its own; stopped by a signal, since `ray stop` stops every cluster."""
    command = [str(BIN / "ray"), "start", "--head", "--block", "--num-cpus=4", f"--port={free_port()}"]
    command += [f"--dashboard-port={dashboard_port}", "--include-dashboard=true", f"--temp-dir={folder}/ray"]
    command += ["--node-ip-address=127.0.0.1", f"--ray-client-server-port={free_port()}"]
    with (folder / "ray.log").open("wb") as log:
        # From a folder without our code, so that what is served can only have come out of the bundle.
        head = subprocess.Popen(
            command, cwd=folder, env=environ, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        yield
    finally:
        head.send_signal(signal.SIGTERM)
        head.wait(60)


async def answering(client: httpx.AsyncClient, path: str) -> None:
    async with asyncio.timeout(180):
        while True:
            with contextlib.suppress(httpx.TransportError):
                if (await client.get(path)).status_code == 200:
                    return
            await asyncio.sleep(0.2)


def deployable(folder: Path, bundle: str, port: int) -> Path:
    """serve_config.yaml with what an operator fills in: the bundle's address and the port."""
    config = yaml.safe_load((ROOT / "serve_config.yaml").read_text())
    config["http_options"] |= {"host": "127.0.0.1", "port": port}
    config["applications"][0]["runtime_env"] = {"working_dir": f"file://{bundle}"}
    free = {"input": 0, "output": 0}  # the simulated model is on nobody's price list
    config["applications"][0]["args"]["settings"] = {"prices": {"others": free}}
    path = folder / "serve_config.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


async def test_the_bundle_runs_on_a_cluster(folder: Path, fresh_database_url: str, running_upstream: Upstream) -> None:
    """migrate, key, bundle, ray start, serve deploy: then the printed question is answered with the tool's help."""
    environ = await asyncio.to_thread(cluster_environ, folder, fresh_database_url, running_upstream.url)
    launch = (sys.executable, "-m", "deployments.launch")
    await asyncio.to_thread(run, environ, *launch, "migrate")
    key = await asyncio.to_thread(run, environ, *launch, "key")
    bundle = await asyncio.to_thread(run, environ, *launch, "bundle", "--to", str(folder / "build"))
    port, dashboard_port = free_port(), free_port()
    dashboard = f"http://127.0.0.1:{dashboard_port}"
    config = await asyncio.to_thread(deployable, folder, bundle, port)
    with ray_head(environ, folder, dashboard_port):
        token = (folder / "token").read_text()
        async with httpx.AsyncClient(base_url=dashboard, headers={"authorization": f"Bearer {token}"}) as ray:
            await answering(ray, "/api/version")
        await asyncio.to_thread(run, environ, str(BIN / "serve"), "deploy", "-a", dashboard, str(config))
        headers = {"authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60.0) as client:
            await answering(client, "/readyz")
            assert "7006652" in text_of(await ask(client, "what is 1234 * 5678?"))
