import os
from pathlib import Path

import pytest

from deployments.launch import lock
from deployments.launch.console import Console
from deployments.launch.down import down
from deployments.launch.errors import LaunchFailed
from deployments.launch.options import Options


def test_the_second_launcher_is_told_of_the_first(tmp_path: Path) -> None:
    """Two launchers would fight for one database; the second learns who runs and what to do."""
    path = tmp_path / "launcher.json"
    with lock.hold(path):
        assert lock.holder(path) == os.getpid()
        with pytest.raises(LaunchFailed, match=f"running already .process {os.getpid()}.*make down"), lock.hold(path):
            pass
    assert lock.holder(path) is None


def test_the_file_of_a_dead_launcher_holds_nothing(tmp_path: Path) -> None:
    """The lock is the kernel's, so a file that a killed launcher left is no obstacle."""
    path = tmp_path / "launcher.json"
    path.write_text('{"pid": 1}')
    assert lock.holder(path) is None
    with lock.hold(path):
        assert lock.holder(path) == os.getpid()


def test_down_without_a_launcher_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing to stop is no error."""
    down(Options.from_environ({"MAINSTAY_HOME": str(tmp_path)}), Console())
    assert "Mainstay is not running" in capsys.readouterr().err
