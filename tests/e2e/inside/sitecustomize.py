"""Every Python process of the cluster under test runs this first: its folder is on their PYTHONPATH.

It does the two things that no setting does, each where a variable asks for it: a wall clock that a test can set, and tools
that only tests need.
"""

import importlib
import mmap
import os
import struct
import sys
import time
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

CLOCK_FILE = "FAULTS_CLOCK"
"""The variable that names the file with the seconds to be off by, as a double."""

TOOLS = "MORE_TOOLS"
"""The variable that names the module whose `TOOLS` are added to the registry."""

REPLICAS = ("deployments.agent", "deployments.ingress")
"""Only a process that has imported one of these goes wrong: Ray's own clocks are not what is tested."""

OFFSET = struct.Struct("d")


def set_clock_by(path: str) -> None:
    """Make `time.time` and `time.time_ns` be off by what the file says at that moment. `datetime.now` stays right."""
    with open(path, "rb") as file:
        shared = mmap.mmap(file.fileno(), OFFSET.size, prot=mmap.PROT_READ)
    right, right_ns = time.time, time.time_ns

    def off_s() -> float:
        return float(OFFSET.unpack_from(shared)[0]) if any(name in sys.modules for name in REPLICAS) else 0.0

    vars(time).update(time=lambda: right() + off_s(), time_ns=lambda: right_ns() + int(off_s() * 1e9))


class MoreTools(MetaPathFinder):
    """Adds the tools of a module to the registry as soon as that is imported."""

    def __init__(self, module: str) -> None:
        self._module = module

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != "graphs.tools":
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def execute_and_add(module: ModuleType) -> None:
            execute(module)
            module.TOOLS.update(importlib.import_module(self._module).TOOLS)

        vars(spec.loader)["exec_module"] = execute_and_add
        return spec


if CLOCK_FILE in os.environ:
    set_clock_by(os.environ[CLOCK_FILE])
if TOOLS in os.environ:
    sys.meta_path.insert(0, MoreTools(os.environ[TOOLS]))
