"""Every Python process of the cluster under test runs this first: its folder is on their PYTHONPATH.

It adds the tools of `tests.e2e.chaos.effects` to the registry, which no setting can do.
"""

import os
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

EFFECTS_FILE = "CHAOS_EFFECTS"


class CountedTools(MetaPathFinder):
    """Adds the tools as soon as the registry is imported."""

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != "graphs.tools":
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def execute_and_add(module: ModuleType) -> None:
            execute(module)
            from tests.e2e.chaos.effects import TOOLS

            module.TOOLS.update(TOOLS)

        vars(spec.loader)["exec_module"] = execute_and_add
        return spec


if EFFECTS_FILE in os.environ:
    sys.meta_path.insert(0, CountedTools())
