import dataclasses
import itertools
from pathlib import Path

import pytest

from configs.settings import load
from deployments.launch.errors import LaunchFailed
from deployments.launch.options import Options
from deployments.launch.profile import connections_that_fit, ray_environ, read_ray_env

MAX_RUN_S = load(["production"]).runs.max_run_s


def _options(tmp_path: Path, profile: str) -> Options:
    options = Options.from_environ({"MAINSTAY_HOME": str(tmp_path), "PROFILE": profile})
    (tmp_path / "home").mkdir()
    return dataclasses.replace(options, home=tmp_path / "home")


def test_production_has_haproxy_with_its_companions(tmp_path: Path) -> None:
    """Both flags together, and the settings without which streams are cut."""
    values = ray_environ(_options(tmp_path, "production"), {}, max_run_s=MAX_RUN_S)
    assert values["RAY_SERVE_ENABLE_HA_PROXY"] == values["RAY_SERVE_THROUGHPUT_OPTIMIZED"] == "1"
    assert float(values["RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S"]) > MAX_RUN_S
    assert int(values["RAY_SERVE_HAPROXY_MAXCONN"]) >= 12_000
    assert values["RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"] == "deployments.edge:middlewares"


def test_longer_runs_are_given_more_time_by_haproxy(tmp_path: Path) -> None:
    """What ray.env says is enough for the settings that ship; longer runs get more, shorter ones no less."""
    hours = ray_environ(_options(tmp_path, "production"), {}, max_run_s=7_200.0)
    assert float(hours["RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S"]) > 7_200.0
    assert float(hours["RAY_SERVE_HAPROXY_TIMEOUT_SERVER_S"]) > 7_200.0


def test_haproxys_sockets_fit_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Serve puts a node's id of 56 characters between folder and file; HAProxy refuses more than 97 in all."""
    monkeypatch.setattr("os.geteuid", lambda: 65_534)
    monkeypatch.setattr("tempfile.gettempdir", lambda: "/a/longish")
    folder = Options.from_environ({"MAINSTAY_HOME": "/h"}).haproxy_dir
    assert len(str(folder / ("n" * 56) / "metrics.sock")) <= 97


def test_plain_has_neither_and_stays_on_loopback(tmp_path: Path) -> None:
    """No HAProxy, but the same protection of our headers and of the dashboard."""
    values = ray_environ(_options(tmp_path, "plain"), {}, max_run_s=MAX_RUN_S)
    assert "RAY_SERVE_ENABLE_HA_PROXY" not in values
    assert "RAY_SERVE_THROUGHPUT_OPTIMIZED" not in values
    assert values["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0"
    assert values["RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"] == "deployments.edge:middlewares"
    assert values["RAY_AUTH_MODE"] == "token"
    assert len(Path(values["RAY_AUTH_TOKEN_PATH"]).read_text()) == 64


def test_the_users_own_values_win_but_not_over_the_token(tmp_path: Path) -> None:
    """Tests shorten the drain by environment; nobody switches the token off by accident."""
    environ = {
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
        "RAY_AUTH_MODE": "disabled",
        "PYTHONPATH": "/mine",
    }
    merged = {**environ, **ray_environ(_options(tmp_path, "production"), environ, max_run_s=MAX_RUN_S)}
    assert merged["RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S"] == "1"
    assert merged["RAY_AUTH_MODE"] == "token"
    assert merged["PYTHONPATH"].endswith(":/mine")


def test_the_file_says_why_for_every_line() -> None:
    """Each variable of ray.env stands below a comment of its own group."""
    from deployments.launch.profile import RAY_ENV

    lines = RAY_ENV.read_text().splitlines()
    for before, line in itertools.pairwise(lines):
        if line and not line.startswith("#"):
            assert before, f"{line} stands without a comment"
    assert len(read_ray_env()) == sum(1 for line in lines if line and not line.startswith("#"))


def test_a_line_that_a_shell_would_read_otherwise_is_refused(tmp_path: Path) -> None:
    """The launcher and a shell must understand the same, so quotes and blanks are not allowed."""
    path = tmp_path / "ray.env"
    path.write_text("# fine\nA=1\nB='two words'\n")
    with pytest.raises(LaunchFailed, match=r"ray\.env:3"):
        read_ray_env(path)


def test_connections_fit_the_open_files() -> None:
    """With files enough, HAProxy holds what was asked for and nothing is said."""
    said: list[str] = []
    assert connections_that_fit({}, lambda wanted: wanted, say=said.append) == 16_000
    assert said == []


def test_fewer_open_files_mean_fewer_connections() -> None:
    """A low limit does not stop the start, but it is said, with the command that helps."""
    said: list[str] = []
    assert connections_that_fit({}, lambda _: 20_000, say=said.append) == 7_960
    assert "ulimit -n 40100" in said[0]


@pytest.mark.parametrize(("environ", "limit"), [({"RAY_SERVE_HAPROXY_MAXCONN": "16000"}, 20_000), ({}, 1_024)])
def test_too_few_open_files_are_refused(environ: dict[str, str], limit: int) -> None:
    """What the user asked for by name is not lowered, and a thousand connections is the least."""
    with pytest.raises(LaunchFailed, match=f"16000 connections need 40100 open files, the limit is {limit}"):
        connections_that_fit(environ, lambda _: limit, say=lambda _: None)
