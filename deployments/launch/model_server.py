"""The embedded model as a process of its own: `python -m deployments.launch.model_server`, an OpenAI-compatible server.

It listens on 127.0.0.1, asks for the key that the environment holds, and makes a file when it has answered once. It
shares no interpreter with the replicas, because a native crash would take one along, and it ends with its parent. Its
settings come by environment, so that the key is on no command line.
"""

import json
import os
import signal
import threading
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

MODEL_ALIAS = "embedded"
_TEMPLATE = Path(__file__).with_name("templates") / "qwen_tools.jinja"
_PROMPT_CACHE_MIB = 256  # llama.cpp's own default is 8 GiB
_WARM_UP_TIMEOUT_S = 120.0
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """What one server serves. `context_tokens` is per slot; `slots` is how many requests it decodes at once."""

    model_path: Path
    api_key: str
    ready_path: Path
    port: int
    threads: int
    slots: int = 2
    context_tokens: int = 4096

    def to_environ(self) -> dict[str, str]:
        """Return the settings as environment variables."""
        return {
            "MAINSTAY_MODEL_FILE": str(self.model_path),
            "MAINSTAY_MODEL_KEY": self.api_key,
            "MAINSTAY_MODEL_READY": str(self.ready_path),
            "MAINSTAY_MODEL_PORT": str(self.port),
            "MAINSTAY_MODEL_THREADS": str(self.threads),
            "MAINSTAY_MODEL_SLOTS": str(self.slots),
            "MAINSTAY_MODEL_CONTEXT": str(self.context_tokens),
        }

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "ServerSettings":
        """Read what `to_environ` wrote."""
        return cls(
            model_path=Path(environ["MAINSTAY_MODEL_FILE"]),
            api_key=environ["MAINSTAY_MODEL_KEY"],
            ready_path=Path(environ["MAINSTAY_MODEL_READY"]),
            port=int(environ["MAINSTAY_MODEL_PORT"]),
            threads=int(environ["MAINSTAY_MODEL_THREADS"]),
            slots=int(environ["MAINSTAY_MODEL_SLOTS"]),
            context_tokens=int(environ["MAINSTAY_MODEL_CONTEXT"]),
        )


def main() -> None:
    """Load, listen, announce, and wait for SIGTERM or for the parent's end."""
    parent = os.getppid()
    stopping = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    settings = ServerSettings.from_environ(os.environ)
    server = _serve(settings)
    _warm(server.listening_address, settings.api_key)
    settings.ready_path.touch()
    while not stopping.wait(1.0) and os.getppid() == parent:
        pass
    os._exit(0)  # nothing to save, and the native threads would finish their answers first


def _warm(address: str, api_key: str) -> None:
    """Have it answer once, which reads the weights into memory and proves that it answers, before a user waits for it."""
    request = urllib.request.Request(  # noqa: S310 - our own address, on loopback
        f"{address}/v1/chat/completions",
        data=json.dumps(_WARM_UP).encode(),
        headers={"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"},
    )
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(request, timeout=_WARM_UP_TIMEOUT_S) as answer:
        answer.read()


def _serve(settings: ServerSettings) -> Any:
    """Start the native server, which answers from its own threads for as long as the returned object lives."""
    import xllamacpp  # here, so that the settings can be imported where the engine is not installed

    params = xllamacpp.CommonParams()
    params.model.path = str(settings.model_path)
    params.model_alias = {MODEL_ALIAS}
    params.hostnames = ["127.0.0.1"]
    params.port = settings.port
    params.api_keys = [settings.api_key]
    params.n_parallel = settings.slots
    params.n_ctx = settings.context_tokens * settings.slots
    params.cpuparams.n_threads = settings.threads
    params.cpuparams_batch.n_threads = settings.threads
    params.cache_ram_mib = _PROMPT_CACHE_MIB
    params.use_jinja = True
    params.chat_template = _TEMPLATE.read_text()  # llama.cpp derives the tool-call parser from it
    params.sampling.temp = 0.0  # unless a request says otherwise: at 0.8, the default, it calls fewer tools
    params.ui = False
    params.offline = True
    params.endpoint_metrics = True
    return xllamacpp.Server(params)


if __name__ == "__main__":
    main()
