"""`make serve` as a user meets it: the real launcher, Ray and Serve, with a stand-in for the provider."""

import http.server
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from deployments.launch import machine
from deployments.launch.options import REPOSITORY, Options
from deployments.launch.postgres import running_server

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]


class _Provider(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b'{"data": []}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@dataclass(frozen=True)
class Running:
    process: "subprocess.Popen[str]"
    ready: dict[str, str]
    home: Path
    environ: dict[str, str]
    tree: list[psutil.Process]


@pytest.fixture(scope="module")
def provider_url() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Provider) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
        server.shutdown()


@pytest.fixture(scope="module")
def running(provider_url: str) -> Iterator[Running]:
    """One launcher for the tests below, in the order of a user's evening; the last of them stops it."""
    with tempfile.TemporaryDirectory(prefix="mainstay-home-") as folder:
        home = Path(folder)
        home.chmod(0o711)
        environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "MAINSTAY_"))},
            "MAINSTAY_HOME": str(home),
            "MAINSTAY_PORT": str(machine.free_port()),
            "MAINSTAY_DASHBOARD_PORT": str(machine.free_port()),
            "MAINSTAY_BESIDE_OTHER_RAY": "1",
            "OPENAI_API_KEY": "a-key",
            "OPENAI_BASE_URL": provider_url,
        }
        environ.pop("DATABASE_URL", None)
        command = [sys.executable, "-m", "deployments.launch", "serve"]
        with subprocess.Popen(
            command, cwd=REPOSITORY, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            try:
                lines = _until_ready(process)
                assert any("Mainstay is ready" in line for line in lines), "".join(lines)
                ready = json.loads((home / "ready.json").read_text())
                root = psutil.Process(process.pid)
                yield Running(process, ready, home, environ, [root, *root.children(recursive=True)])
            finally:
                process.terminate()
                process.communicate(timeout=120)
                shutil.rmtree(Options.from_environ(environ).scratch, ignore_errors=True)


def _until_ready(process: "subprocess.Popen[str]") -> list[str]:
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "Mainstay is ready" in line:
            break
    return lines


def test_the_file_for_tools_is_enough_to_call_it(running: Running) -> None:
    """URL and key of a first start open the application; without the key it stays shut."""
    url, key = running.ready["url"], running.ready["api_key"]
    assert httpx.get(f"{url}/healthz").status_code == 200
    assert httpx.get(f"{url}/v1/models").status_code == 401
    assert httpx.get(f"{url}/v1/models", headers={"Authorization": f"Bearer {key}"}).status_code == 200


def test_everything_listens_on_this_machine_only(running: Running) -> None:
    """No process of the plain profile can be reached from outside: not Serve, not Ray, not the database."""
    listening = {
        (process.name(), connection.laddr.ip)
        for process in running.tree
        if process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening
    assert {(name, ip) for name, ip in listening if ip not in {"127.0.0.1", "::1", "::ffff:127.0.0.1"}} == set()


def test_the_dashboard_wants_its_token(running: Running) -> None:
    """The printed link answers who shows the token from the printed place, and nobody else."""
    address = f"{running.ready['dashboard']}/api/serve/applications/"
    token = Path(running.ready["token_path"]).read_text()
    assert httpx.get(address).status_code == 401
    answer = httpx.get(address, headers={"Authorization": f"Bearer {token}"})
    assert answer.json()["applications"]["mainstay"]["status"] == "RUNNING"


def test_no_secret_is_among_serves_arguments(running: Running) -> None:
    """What Ray stores and shows holds the names of the variables, never their values."""
    address = f"{running.ready['dashboard']}/api/serve/applications/"
    token = Path(running.ready["token_path"]).read_text()
    shown = httpx.get(address, headers={"Authorization": f"Bearer {token}"}).text
    assert "mainstay" in shown
    assert "a-key" not in shown
    assert (running.home / "key-pepper").read_text() not in shown


def test_another_launcher_of_this_home_is_refused(running: Running) -> None:
    """The second `make serve` says who runs, in one line."""
    command = [sys.executable, "-m", "deployments.launch", "serve"]
    second = subprocess.run(command, cwd=REPOSITORY, env=running.environ, capture_output=True, text=True, check=False)
    assert second.returncode == 1
    assert second.stderr.startswith(f"mainstay: Mainstay is running already (process {running.process.pid}")
    assert len(second.stderr.splitlines()) == 1


def test_another_key_can_be_made_while_it_runs(running: Running) -> None:
    """`make key` finds the embedded database and the pepper by itself."""
    command = [sys.executable, "-m", "deployments.launch", "key", "--user", "ann"]
    made = subprocess.run(command, cwd=REPOSITORY, env=running.environ, capture_output=True, text=True, check=True)
    headers = {"Authorization": f"Bearer {made.stdout.strip()}"}
    assert httpx.get(f"{running.ready['url']}/v1/models", headers=headers).status_code == 200


def test_a_killed_database_comes_back(running: Running) -> None:
    """The launcher starts Postgres again at the same address, and the replicas go on."""
    server = running_server(running.home / "postgres")
    assert server is not None
    os.kill(server[0], signal.SIGKILL)
    psutil.Process(server[0]).wait(30)
    deadline, pause = time.monotonic() + 60, threading.Event()
    while httpx.get(f"{running.ready['url']}/readyz").status_code != 200:
        assert time.monotonic() < deadline, "the application did not find Postgres again"
        pause.wait(0.2)
    back = running_server(running.home / "postgres")
    assert back is not None
    assert back[0] != server[0]


def test_ctrl_c_leaves_no_process_and_no_ready_file(running: Running) -> None:
    """After SIGINT the launcher ends well, and nothing of its tree is left."""
    tree = {*running.tree, *psutil.Process(running.process.pid).children(recursive=True)}
    running.process.send_signal(signal.SIGINT)
    assert running.process.wait(120) == 0
    gone, left = psutil.wait_procs(tree, timeout=10)
    assert left == []
    assert len(gone) == len(tree)
    assert not (running.home / "ready.json").exists()
