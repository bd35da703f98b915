"""Where the tests find Prometheus' programs: in .tools, where `bin/prometheus` puts them, or on PATH."""

import os
import shutil
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[1] / ".tools" / "usr" / "bin"


def program(name: str) -> str:
    """Return the path of `prometheus`, `promtool`, `alertmanager` or `amtool`.

    Without it the test is skipped, and fails where PROMETHEUS=required: the build machine has it.
    """
    path = os.pathsep.join((str(TOOLS), os.environ.get("PATH", os.defpath)))
    found = shutil.which(f"prometheus-{name}", path=path) or shutil.which(name, path=path)  # Debian's name first
    if found is not None:
        return found
    missing = f"there is no {name} here: run bin/prometheus, or put it on PATH"
    if os.environ.get("PROMETHEUS") == "required":
        pytest.fail(missing)
    pytest.skip(missing)
