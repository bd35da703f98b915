"""Every time limit around a run, from the one that an operator sets: `runs.max_run_s`.

A replica that is to go lets its runs end first, and so does a HAProxy that was replaced by a newer one; whoever cuts them
off sooner loses answers. What Ray must know before it starts cannot follow a setting by itself, so it is checked.
"""

import math
from collections.abc import Mapping

from services.errors import ConfigurationError

DRAIN_MARGIN_S = 30.0
"""For a run that began just before its replica was asked to go, and for the record of its end."""

PROXY_MARGIN_S = 120.0
"""A HAProxy outlives the replicas whose streams it carries."""

HARD_STOP = "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S"
SERVER_SILENCE = "RAY_SERVE_HAPROXY_TIMEOUT_SERVER_S"
_ENABLED = "RAY_SERVE_ENABLE_HA_PROXY"
_DEFAULTS = {HARD_STOP: 120.0, SERVER_SILENCE: math.inf}
"""Ray's own, where the variable is not set."""


def graceful_shutdown_s(max_run_s: float) -> float:
    """How long a replica on a stream's path may take to stop."""
    return max_run_s + DRAIN_MARGIN_S


def haproxy_environ(max_run_s: float) -> Mapping[str, str]:
    """Return the least that HAProxy must be told in the environment of `ray start`."""
    least = str(math.ceil(graceful_shutdown_s(max_run_s) + PROXY_MARGIN_S))
    return {HARD_STOP: least, SERVER_SILENCE: least}


def check_environ(max_run_s: float, environ: Mapping[str, str]) -> None:
    """Raise ConfigurationError where HAProxy would cut off runs that the settings allow."""
    if environ.get(_ENABLED) != "1":
        return
    for name, least in haproxy_environ(max_run_s).items():
        if float(environ.get(name) or _DEFAULTS[name]) < float(least):
            raise ConfigurationError(
                f"runs.max_run_s is {max_run_s:g}, and HAProxy would cut such a run off: set {name}={least} or more on every "
                "node before `ray start`, or allow runs less time.",
                param="runs.max_run_s",
            )
