"""Where the tests find Prometheus' programs: in .tools, where `bin/prometheus` puts them, or on PATH."""

import os
from pathlib import Path

from tests.programs import installed

TOOLS = Path(__file__).parents[1] / ".tools" / "usr" / "bin"


def program(name: str) -> str:
    """Return the path of `prometheus`, `promtool`, `alertmanager` or `amtool`, or skip the test."""
    path = os.pathsep.join((str(TOOLS), os.environ.get("PATH", os.defpath)))
    names = (f"prometheus-{name}", name)  # Debian's name first
    return installed(*names, installer="bin/prometheus", required_by="PROMETHEUS", path=path)
