"""Programs that the tests run and that a laptop may lack."""

import os
import shutil

import pytest


def installed(*names: str, installer: str, required_by: str, path: str | None = None) -> str:
    """Return the path of the program by the first of its names that is found, on `path` or else on PATH.

    Without it the test is skipped, and fails where the variable `required_by` is `required`: the build machine has it.
    """
    for name in names:
        if (found := shutil.which(name, path=path)) is not None:
            return found
    missing = f"there is no {names[-1]} here: run {installer}, or put it on PATH"
    if os.environ.get(required_by) == "required":
        pytest.fail(missing)
    pytest.skip(missing)
