import dataclasses
import os
import stat
from pathlib import Path

import pytest

from deployments.launch.errors import LaunchFailed
from deployments.launch.options import Options, home_dir


def _options(tmp_path: Path, **environ: str) -> Options:
    options = Options.from_environ({"MAINSTAY_HOME": str(tmp_path / "home"), **environ})
    return dataclasses.replace(options, scratch=tmp_path / "scratch")


def test_the_defaults_are_the_documented_ones(tmp_path: Path) -> None:
    """Plain profile, port 8000, and nothing of this process's environment."""
    options = _options(tmp_path)
    assert (options.profile, options.port, options.dashboard_port, options.cpus) == ("plain", 8000, 8265, None)
    assert not options.beside_other_ray


@pytest.mark.parametrize(
    ("name", "value"),
    [("PROFILE", "prod"), ("MAINSTAY_PORT", "0"), ("MAINSTAY_PORT", "http"), ("MAINSTAY_CPUS", "1.5")],
)
def test_a_wrong_value_names_its_variable(tmp_path: Path, name: str, value: str) -> None:
    """What cannot be used is refused with the variable's name, before anything starts."""
    with pytest.raises(LaunchFailed, match=f"{name}={value}"):
        _options(tmp_path, **{name: value})


def test_root_keeps_out_of_home_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Root's database runs as another user, so its data is not below /root; an ordinary user's follows XDG."""
    environ = {"HOME": "/home/a", "XDG_DATA_HOME": "/data"}
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert home_dir(environ) == Path("/var/lib/mainstay")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert home_dir(environ) == Path("/data/mainstay")
    assert home_dir({"HOME": "/home/a", "XDG_DATA_HOME": "relative"}) == Path("/home/a/.local/share/mainstay")


def test_a_secret_is_made_once_and_private(tmp_path: Path) -> None:
    """The same value at every start, readable by its owner alone."""
    options = _options(tmp_path)
    options.make_folders()
    first = options.secret("pepper")
    assert options.secret("pepper") == first
    assert len(first) == 64
    assert stat.S_IMODE((options.home / "pepper").stat().st_mode) == 0o600


def test_a_scratch_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    """The temporary folder is shared: a link planted there must not receive our sockets."""
    options = _options(tmp_path)
    options.scratch.symlink_to(tmp_path)
    with pytest.raises(LaunchFailed, match="belongs to another user"):
        options.make_folders()


@pytest.mark.parametrize("temporary", ["/tmp", "/var/folders/x1/abcdefghijklmnopqrstuvwxyz/T"])
def test_rays_sockets_fit_the_kernels_limit(monkeypatch: pytest.MonkeyPatch, temporary: str) -> None:
    """Under a long temporary folder, as on macOS, Ray would not start."""
    monkeypatch.setattr("tempfile.gettempdir", lambda: temporary)
    monkeypatch.setattr(os, "geteuid", lambda: 65_534)
    scratch = Options.from_environ({"MAINSTAY_HOME": "/h"}).scratch
    session = scratch / "ray" / "session_2026-11-22_20-32-33_272280_4194304"
    assert len(str(session / "sockets" / "plasma_store")) < 107


def test_a_home_that_cannot_be_made_names_the_variable(tmp_path: Path) -> None:
    """A file in the way is reported with the way out."""
    (tmp_path / "home").write_text("")
    with pytest.raises(LaunchFailed, match="MAINSTAY_HOME"):
        _options(tmp_path).make_folders()
