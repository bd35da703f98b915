"""The launcher's side of the embedded model: start its process, wait until it answers, warm it, stop it."""

import json
import os
import secrets
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deployments.launch import machine, processes
from deployments.launch.errors import LaunchFailed
from deployments.launch.model_server import MODEL_ALIAS, ServerSettings
from deployments.launch.weights import Weights

_WORKING_BYTES = 400 * 1024 * 1024  # context of two slots, buffers, the interpreter
_WARM_UP = {
    "model": MODEL_ALIAS,
    "max_tokens": 8,
    "temperature": 0,
    "messages": [
        {"role": "system", "content": "You are a helpful assistant. Call a function when it helps."},
        {"role": "user", "content": "What is 12 * 34?"},
    ],
    "tools": [
        {
            "type": "function",
            "function": {
                "name": "calculator",
                "description": "Evaluate an arithmetic expression.",
                "parameters": {
                    "type": "object",
                    "properties": {"expression": {"type": "string"}},
                    "required": ["expression"],
                },
            },
        }
    ],
}


@dataclass(kw_only=True)
class ModelProcess:
    """One server over `weights`. `start` returns at once; `wait` returns the base URL for clients, ending in /v1."""

    weights: Weights
    folder: Path
    environ: Mapping[str, str]
    api_key: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    start_timeout_s: float = 120.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    _child: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        return None if self._child is None else self._child.pid

    @property
    def _ready_path(self) -> Path:
        return self.folder / "model.url"

    @property
    def log_path(self) -> Path:
        """Where the server's output goes; begun anew at each start."""
        return self.folder / "model.log"

    def start(self) -> None:
        """Start loading. Raises LaunchFailed when the memory is too short for these weights."""
        needed = self.weights.path.stat().st_size + _WORKING_BYTES
        if (free := machine.free_memory_bytes()) < needed:
            raise LaunchFailed(
                f"the model {self.weights.name} needs {needed >> 20} MB of memory, {free >> 20} MB are free",
                "stop other programs, name a smaller model in MODEL_PATH, or set OPENAI_API_KEY to use a provider",
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        self._ready_path.unlink(missing_ok=True)
        settings = ServerSettings(
            model_path=self.weights.path,
            api_key=self.api_key,
            ready_path=self._ready_path,
            # One processor stays for the replicas: llama.cpp's threads wait for each other, and collapse when one waits.
            threads=max(1, machine.cpu_count() - 1),
        )
        with self.log_path.open("wb") as log:
            self._child = processes.spawn(
                [sys.executable, "-m", "deployments.launch.model_server"],
                env={**_kept(self.environ), **settings.to_environ()},
                output=log,
            )

    def wait(self) -> str:
        """Wait until the model is loaded, have it answer once, and return its base URL."""
        deadline = self.clock() + self.start_timeout_s
        while not self._ready_path.exists():
            if self._child is None or self._child.poll() is not None:
                said = processes.tail(self.log_path, 300)
                raise LaunchFailed(f"the model server ended while loading ({said})", f"see {self.log_path}")
            if self.clock() > deadline:
                raise LaunchFailed(
                    f"the model was not loaded within {self.start_timeout_s:.0f} s", f"see {self.log_path}, free memory"
                )
            self.sleep(0.05)
        base_url = f"{self._ready_path.read_text().strip()}/v1"
        self._warm(base_url)
        return base_url

    def stop(self) -> None:
        """End the server; does nothing when it is not running."""
        if self._child is not None:
            processes.stop(self._child.pid, grace_s=5.0)
            self._child.wait()
            self._child = None
        self._ready_path.unlink(missing_ok=True)

    def _warm(self, base_url: str) -> None:
        """Read the weights into memory and prove that it answers, before the first user waits for it."""
        request = urllib.request.Request(  # noqa: S310 - the URL is our own child's, on loopback
            f"{base_url}/chat/completions",
            data=json.dumps(_WARM_UP).encode(),
            headers={"Authorization": f"Bearer {self.api_key}", "Content-Type": "application/json"},
        )
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with direct.open(request, timeout=self.start_timeout_s) as answer:
                answer.read()
        except OSError as error:
            raise LaunchFailed(
                f"the model {self.weights.name} does not answer ({error})", f"see {self.log_path}"
            ) from error


def _kept(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what the server needs of our environment; secrets of ours are not its business."""
    kept = {name: environ[name] for name in ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "TMPDIR") if name in environ}
    repository = Path(__file__).resolve().parents[2]
    return {**kept, "PYTHONPATH": os.pathsep.join(filter(None, [str(repository), environ.get("PYTHONPATH", "")]))}
