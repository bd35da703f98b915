"""The launcher's side of the embedded model: start its process, wait until it answers, stop it."""

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deployments.launch import machine, processes
from deployments.launch.errors import LaunchFailed
from deployments.launch.model_server import ServerSettings
from deployments.launch.weights import Weights

_WORKING_BYTES = 400 * 1024 * 1024  # context of two slots, buffers, the interpreter


@dataclass(kw_only=True)
class ModelProcess:
    """One server over `weights`. Its address is known when `start` returns, `wait` returns when it answers.

    Started again after its end it has the same address and key, so that its clients need not know.
    """

    weights: Weights
    folder: Path
    environ: Mapping[str, str]
    api_key: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    start_timeout_s: float = 120.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    port: int = field(default_factory=machine.free_port)
    _child: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        return None if self._child is None else self._child.pid

    @property
    def base_url(self) -> str:
        """Where clients find it, in the form of the OpenAI SDK."""
        return f"http://127.0.0.1:{self.port}/v1"

    def address(self) -> dict[str, str]:
        """Return the environment variables by which the replicas find the model, and call it by its name on record."""
        return {
            "MAINSTAY_MODEL_NAME": self.weights.name,
            "MAINSTAY_MODEL_URL": self.base_url,
            "MAINSTAY_MODEL_KEY": self.api_key,
        }

    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._child is not None and self._child.poll() is None

    @property
    def _ready_path(self) -> Path:
        return self.folder / "model.ready"

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
            port=self.port,
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
        """Wait until the model has been loaded and has answered once; return its base URL."""
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
        return self.base_url

    def stop(self) -> None:
        """End the server; does nothing when it is not running."""
        if self._child is not None:
            processes.stop(self._child.pid, grace_s=5.0)
            self._child.wait()
            self._child = None
        self._ready_path.unlink(missing_ok=True)


def _kept(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what the server needs of our environment; secrets of ours are not its business."""
    kept = {name: environ[name] for name in ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "TMPDIR") if name in environ}
    repository = Path(__file__).resolve().parents[2]
    return {**kept, "PYTHONPATH": os.pathsep.join(filter(None, [str(repository), environ.get("PYTHONPATH", "")]))}
