import dataclasses
import socket
from pathlib import Path

import pytest

from deployments.launch import machine, processes
from deployments.launch.errors import LaunchFailed
from deployments.launch.options import Options
from deployments.launch.serve import preflight


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Options:
    """Options for a machine on which everything is in order."""
    monkeypatch.setattr(processes, "pids_named", lambda _: [])
    monkeypatch.setattr(machine, "free_memory_bytes", lambda: 8 << 30)
    options = Options.from_environ({"MAINSTAY_HOME": str(tmp_path)})
    return dataclasses.replace(options, port=machine.free_port(), dashboard_port=machine.free_port())


def test_a_machine_in_order_passes(options: Options) -> None:
    """Nothing is found where nothing is wrong."""
    preflight(options)


@pytest.mark.parametrize(
    ("field", "variable"), [("port", "MAINSTAY_PORT"), ("dashboard_port", "MAINSTAY_DASHBOARD_PORT")]
)
def test_a_busy_port_names_its_variable(options: Options, field: str, variable: str) -> None:
    """Serve would share the port in silence, so it is tried before."""
    with socket.socket() as owner:
        owner.bind(("127.0.0.1", getattr(options, field)))
        owner.listen()
        with pytest.raises(LaunchFailed, match=rf"port {getattr(options, field)} is busy.*{variable}"):
            preflight(options)


def test_another_cluster_is_reported(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Ray cluster of this machine is probably what the user meant to deploy to; the way beside it is named too."""
    monkeypatch.setattr(processes, "pids_named", lambda name: [4711] if name == "gcs_server" else [])
    with pytest.raises(LaunchFailed, match=r"process 4711.*ray stop.*serve deploy.*MAINSTAY_BESIDE_OTHER_RAY=1"):
        preflight(options)
    preflight(dataclasses.replace(options, beside_other_ray=True))


def test_short_memory_is_reported(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before Ray kills workers for it."""
    monkeypatch.setattr(machine, "free_memory_bytes", lambda: 512 << 20)
    with pytest.raises(LaunchFailed, match="2000 MB of memory, 512 MB are free"):
        preflight(options)
