"""The build's look at known vulnerabilities: what it makes of each answer."""

import shutil
import subprocess
from pathlib import Path

import pytest

AUDIT = Path(__file__).parents[2] / "bin" / "audit"
FOUND = "Found 1 known vulnerability in 1 package\nName Version ID\nyarl 1.0 GHSA-1"
CLEAN = "No known vulnerabilities found"
UNREACHED = "Name Skip Reason\nyarl Dependency not found on PyPI and could not be audited: yarl (1.25.1)"


@pytest.mark.parametrize(
    ("said", "code", "required", "passes", "told"),
    [
        (FOUND, 1, False, False, "known vulnerability: raise it"),
        (CLEAN, 0, True, True, "no known vulnerability"),
        (UNREACHED, 0, False, True, "skipped"),
        (UNREACHED, 0, True, False, "skipped"),
        ("ConnectionError", 1, False, True, "skipped"),
        ("ConnectionError", 1, True, False, "skipped"),
    ],
)
def test_a_known_vulnerability_fails_and_silence_is_told_from_peace(
    tmp_path: Path, said: str, code: int, required: bool, passes: bool, told: str
) -> None:
    """The installer, which fetches and runs the auditor, answers as it is told."""
    for folder in ("bin", ".venv/bin"):
        (tmp_path / folder).mkdir(parents=True)
    shutil.copy(AUDIT, tmp_path / "bin")
    installer = tmp_path / ".venv" / "bin" / "uv"
    installer.write_text(f"#!/bin/sh\ncat <<'END'\n{said}\nEND\nexit {code}\n")
    installer.chmod(0o755)
    environment = {"PATH": "/usr/bin:/bin", **({"AUDIT": "required"} if required else {})}
    run = subprocess.run([tmp_path / "bin" / "audit"], env=environment, capture_output=True, text=True, timeout=60)
    assert (run.returncode == 0) is passes
    assert told in run.stderr
