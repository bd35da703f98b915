"""The servers that are compared, each started and found through the same few methods."""

import asyncio
import os
import signal
import socket
import sys
import tempfile
import time
import uuid
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, Protocol

import orjson

from benchmarks.fleet import fix_fleet
from benchmarks.processes import marked, tree
from benchmarks.serve_api import serve_api

_START_S = 60.0
_MAINSTAY_START_S = 300.0
_MAINSTAY_STOP_S = 60.0
_POLL_S = 0.2


class TargetError(RuntimeError):
    """A server did not start, or ended by itself."""


class Target(Protocol):
    """A server between the load client and the upstream."""

    name: str
    title: str

    async def start(self) -> None:
        """Returns once requests are served; raises TargetError."""

    async def stop(self) -> None: ...

    @property
    def url(self) -> str:
        """Where the client posts."""

    @property
    def headers(self) -> Mapping[str, str]: ...

    def body(self, content: str) -> str:
        """The JSON that asks one question."""

    def pids(self) -> frozenset[int]:
        """Every process that serves it, databases and cluster included."""


class Baseline:
    """One Python module of `benchmarks.baselines`, in one process."""

    headers: Mapping[str, str] = {}

    def __init__(self, *, name: str, title: str, module: str, path: str, upstream_url: str) -> None:
        self.name = name
        self.title = title
        self._module = module
        self._path = path
        self._upstream_url = upstream_url
        self._port = 0
        self._process: Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}{self._path}"

    def body(self, content: str) -> str:
        return orjson.dumps(chat_body(content)).decode()

    def pids(self) -> frozenset[int]:
        return tree([self._process.pid] if self._process is not None else [])

    async def start(self) -> None:
        environment = {**os.environ, "LANGSMITH_TRACING": "false"}
        self._process = await spawn(self._module, "--upstream", self._upstream_url, environment=environment)
        self._port = int(await first_line(self._process, self.name))
        await first_line(self._process, self.name)

    async def stop(self) -> None:
        if self._process is not None:
            await end(self._process, by=signal.SIGTERM, within_s=5.0)


class Mainstay:
    """(c) Mainstay as it is deployed: `deployments.launch serve` in its production profile, with Ray, Postgres and all else."""

    name = "c"
    title = "Mainstay, production profile"

    def __init__(
        self,
        *,
        upstream_url: str,
        port: int = 0,
        module: str = "deployments.launch",
        environment: Mapping[str, str] | None = None,
        scales: bool = True,
    ) -> None:
        """`environment` is added to our own; `module` is started with the argument `serve`. One that does not scale stays at
        a replica per deployment."""
        self._upstream_url = upstream_url
        self._module = module
        self._environment = environment or {}
        self._scales = scales
        self._port = port
        self._home = tempfile.TemporaryDirectory(prefix="mainstay-bench-", ignore_cleanup_errors=True)
        self._mark = f"MAINSTAY_BENCH={uuid.uuid4().hex}"
        Path(self._home.name).chmod(0o711)  # root's Postgres runs as another user, which must be able to pass
        self._log = Path(self._home.name, "launch.log")
        self._process: Process | None = None
        self._url = ""
        self._key = ""
        self._roots: list[int] = []

    @property
    def url(self) -> str:
        return f"{self._url}/chat/stream"

    @property
    def headers(self) -> Mapping[str, str]:
        return {"authorization": f"Bearer {self._key}"}

    def body(self, content: str, *, model: str | None = None) -> str:
        """`model` is the graph; the default one without it."""
        chosen = {} if model is None else {"model": model}
        return orjson.dumps({**chosen, "messages": [{"role": "user", "content": content}]}).decode()

    def pids(self) -> frozenset[int]:
        """The tree of what the launcher names, and daemons that left it: by their environment or data folder."""
        own = [self._process.pid] if self._process is not None else []
        return tree([*own, *self._roots, *marked(self._mark), *marked(self._home.name)])

    async def start(self) -> None:
        name, _, value = self._mark.partition("=")
        inherited = {key: item for key, item in os.environ.items() if key != "DATABASE_URL"}  # a database of its own
        environment = {
            **inherited,
            name: value,
            "PROFILE": "production",
            "OPENAI_API_KEY": "any",
            "OPENAI_BASE_URL": self._upstream_url,
            "MAINSTAY_PORT": str(self._port or free_port()),
            "MAINSTAY_HOME": self._home.name,
            **self._environment,
        }
        with self._log.open("wb") as log:
            self._process = await spawn(self._module, "serve", environment=environment, log=log)
        deadline_s = time.monotonic() + _MAINSTAY_START_S
        while (ready := self._ready()) is None:
            if self._process.returncode is not None or time.monotonic() > deadline_s:
                raise TargetError(f"Mainstay is not ready:\n{self._log.read_text(errors='replace')[-3000:]}")
            await asyncio.sleep(_POLL_S)
        self._url, self._key = str(ready["url"]).rstrip("/"), str(ready["api_key"])
        self._roots = [*ready.get("pids", ()), *([ready["root_pid"]] if "root_pid" in ready else ())]
        if not self._scales:
            token = await asyncio.to_thread(Path(str(ready["token_path"])).read_text)
            async with serve_api(str(ready["dashboard"]), token) as api:
                await fix_fleet(api)

    async def key_of(self, tenant: str) -> str:
        """Make a key of another tenant, with the command that an operator has for it."""
        environment = {key: item for key, item in os.environ.items() if key != "DATABASE_URL"}
        environment["MAINSTAY_HOME"] = self._home.name
        process = await spawn(self._module, "key", "--tenant", tenant, environment=environment)
        output, _ = await process.communicate()
        if process.returncode:
            raise TargetError(f"no key could be made for {tenant}")
        return output.decode().strip()

    def _ready(self) -> dict[str, Any] | None:
        """What the launcher wrote, whole, once it was ready."""
        file = Path(self._home.name, "ready.json")
        value: dict[str, Any] | None = orjson.loads(file.read_bytes()) if file.exists() else None
        return value

    async def stop(self) -> None:
        if self._process is not None:
            await end(self._process, by=signal.SIGINT, within_s=_MAINSTAY_STOP_S)
        self._home.cleanup()


class Simulation:
    """The upstream, as a process. Also a target: what is measured on it is what client and upstream alone can do."""

    name = "direct"
    title = "no server: client and upstream alone"
    headers: Mapping[str, str] = {}

    def __init__(self) -> None:
        self._process: Process | None = None
        self.base_url = ""

    @property
    def url(self) -> str:
        return f"{self.base_url}/chat/completions"

    @property
    def pid(self) -> int:
        return self._process.pid if self._process is not None else 0

    def body(self, content: str) -> str:
        return orjson.dumps(chat_body(content)).decode()

    def pids(self) -> frozenset[int]:
        return frozenset({self.pid})

    async def start(self) -> None:
        self._process = await spawn("benchmarks.upstream", "--remember", "16", environment=dict(os.environ))
        self.base_url = (await first_line(self._process, self.name)).split()[-1]

    async def stop(self) -> None:
        if self._process is not None:
            await end(self._process, by=signal.SIGTERM, within_s=5.0)


def chat_body(content: str) -> dict[str, object]:
    """An OpenAI request; the usual server reads only its messages."""
    return {"model": "simulated", "stream": True, "messages": [{"role": "user", "content": content}]}


TARGETS: dict[str, Callable[[str], Target]] = {
    "a": lambda upstream_url: Baseline(
        name="a",
        title="byte pass-through, aiohttp",
        module="benchmarks.baselines.passthrough",
        path="/chat/completions",
        upstream_url=upstream_url,
    ),
    "b": lambda upstream_url: Baseline(
        name="b",
        title="FastAPI + LangGraph `messages` + ChatOpenAI",
        module="benchmarks.baselines.usual",
        path="/chat/stream",
        upstream_url=upstream_url,
    ),
    "c": lambda upstream_url: Mainstay(upstream_url=upstream_url, scales=False),
}


async def spawn(
    module: str,
    *arguments: str,
    environment: Mapping[str, str],
    log: IO[bytes] | None = None,
    input_: int | None = None,
) -> Process:
    """A Python module as a process in a group of its own, so that a Ctrl-C reaches it only through us. Its output comes through
    a pipe, or goes to the log together with its errors."""
    output, errors = (PIPE, None) if log is None else (log, STDOUT)
    command = (sys.executable, "-m", module, *arguments)
    return await asyncio.create_subprocess_exec(
        *command, stdin=input_, stdout=output, stderr=errors, env=environment, start_new_session=True
    )


async def first_line(process: Process, name: str) -> str:
    """The next line that the process prints."""
    assert process.stdout is not None  # noqa: S101  spawned with a pipe
    async with asyncio.timeout(_START_S):
        line = await process.stdout.readline()
    if not line:
        raise TargetError(f"{name} ended before it was ready")
    return line.decode().strip()


async def end(process: Process, *, by: signal.Signals, within_s: float) -> None:
    """Asks by a signal; SIGKILL to its group when that is not enough."""
    if process.returncode is not None:
        return
    process.send_signal(by)
    try:
        async with asyncio.timeout(within_s):
            await process.wait()
    except TimeoutError:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
