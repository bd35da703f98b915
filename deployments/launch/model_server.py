"""The embedded model as a process of its own: `python -m deployments.launch.model_server`, an OpenAI-compatible server.

It listens on a free port of 127.0.0.1, asks for the key that the environment holds, and writes its URL into a file when
it can answer. It shares no interpreter with the replicas, because a native crash would take one along, and it ends with
its parent. Everything comes by environment (`ServerSettings`), so that the key is on no command line.
"""

import os
import signal
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

MODEL_ALIAS = "embedded"
_TEMPLATE = Path(__file__).with_name("templates") / "qwen_tools.jinja"
_PROMPT_CACHE_MIB = 256  # llama.cpp's own default is 8 GiB


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """What one server serves. `context_tokens` is per slot; `slots` is how many requests it decodes at once."""

    model_path: Path
    api_key: str
    ready_path: Path
    threads: int
    slots: int = 2
    context_tokens: int = 4096

    def to_environ(self) -> dict[str, str]:
        """Return the settings as environment variables."""
        return {
            "MAINSTAY_MODEL_FILE": str(self.model_path),
            "MAINSTAY_MODEL_KEY": self.api_key,
            "MAINSTAY_MODEL_READY": str(self.ready_path),
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
    draft = settings.ready_path.with_name(settings.ready_path.name + ".new")
    draft.write_text(str(server.listening_address))
    draft.rename(settings.ready_path)
    while not stopping.wait(1.0) and os.getppid() == parent:
        pass
    os._exit(0)  # nothing to save, and the native threads would finish their answers first


def _serve(settings: ServerSettings) -> Any:
    """Start the native server, which answers from its own threads for as long as the returned object lives."""
    import xllamacpp  # here, so that the settings can be imported where the engine is not installed

    params = xllamacpp.CommonParams()
    params.model.path = str(settings.model_path)
    params.model_alias = {MODEL_ALIAS}
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [settings.api_key]
    params.n_parallel = settings.slots
    params.n_ctx = settings.context_tokens * settings.slots
    params.cpuparams.n_threads = settings.threads
    params.cpuparams_batch.n_threads = settings.threads
    params.cache_ram_mib = _PROMPT_CACHE_MIB
    params.use_jinja = True
    params.chat_template = _TEMPLATE.read_text()  # llama.cpp derives the tool-call parser from it
    params.ui = False
    params.offline = True
    params.endpoint_metrics = True
    return xllamacpp.Server(params)


if __name__ == "__main__":
    main()
