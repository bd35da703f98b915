"""Whatever waits around a run waits for as long as a run may last, and says so where Ray cannot follow the settings."""

import pytest

from configs.settings import load
from deployments.composition import timeouts
from deployments.launch.profile import read_ray_env
from services.errors import ConfigurationError

MAX_RUN_S = load(["production"]).runs.max_run_s
PRODUCTION = {"RAY_SERVE_ENABLE_HA_PROXY": "1"}


def test_each_limit_is_longer_than_what_it_waits_for() -> None:
    """A run, then its replica, then the proxy that carries its stream."""
    replica_s = timeouts.graceful_shutdown_s(MAX_RUN_S)
    assert MAX_RUN_S < replica_s < min(float(value) for value in timeouts.haproxy_environ(MAX_RUN_S).values())


def test_ray_env_is_enough_for_the_settings_that_ship() -> None:
    """Nobody who takes both as they are has an answer cut off."""
    timeouts.check_environ(MAX_RUN_S, read_ray_env())


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({}, timeouts.HARD_STOP),
        ({timeouts.HARD_STOP: "749"}, timeouts.HARD_STOP),
        ({timeouts.HARD_STOP: "750", timeouts.SERVER_SILENCE: "60"}, timeouts.SERVER_SILENCE),
    ],
)
def test_a_proxy_that_would_cut_runs_off_is_refused(environ: dict[str, str], named: str) -> None:
    """The message says what to set; Ray's default of 120 s is refused as well."""
    with pytest.raises(ConfigurationError, match=f"{named}=750"):
        timeouts.check_environ(600.0, PRODUCTION | environ)


def test_what_is_enough_passes_and_without_haproxy_nothing_is_asked() -> None:
    """Serve's own proxy has no such limit."""
    timeouts.check_environ(600.0, PRODUCTION | dict(timeouts.haproxy_environ(600.0)))
    timeouts.check_environ(86_400.0, {})
