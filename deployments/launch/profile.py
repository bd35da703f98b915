"""The environment that Ray reads when it is imported, by profile. Must be applied before anything imports ray."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from deployments.composition import timeouts
from deployments.launch.errors import LaunchFailed
from deployments.launch.options import REPOSITORY, Options

RAY_ENV = REPOSITORY / "configs" / "ray.env"
_MAXCONN = "RAY_SERVE_HAPROXY_MAXCONN"
_FILES_PER_CONNECTION = 2.5  # the client's, the replica's, and a pipe of two for every fourth: HAProxy's own sum
_OTHER_FILES = 100
_FEWEST_CONNECTIONS = 1_000
_PLAIN = frozenset(
    {
        "RAY_AUTH_MODE",
        "RAY_USAGE_STATS_ENABLED",
        "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH",
        "SERVE_SLOW_STARTUP_WARNING_S",
    }
)


def read_ray_env(path: Path = RAY_ENV) -> dict[str, str]:
    """Return the assignments of a file that a shell can read as well: NAME=value lines and comments."""
    values = {}
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier() or any(c in value for c in " '\"$`"):
            raise LaunchFailed(f"{path.name}:{number} is not NAME=value", "write it without spaces and quotes")
        values[name] = value
    return values


def ray_environ(options: Options, environ: Mapping[str, str], *, max_run_s: float) -> dict[str, str]:
    """Return what to set for `options`; a variable that the user has set already keeps its value.

    Runs of up to `max_run_s` outlive whatever HAProxy does to its older selves.
    """
    values = read_ray_env()
    if options.profile == "plain":
        values = {name: value for name, value in values.items() if name in _PLAIN}
        values["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # every listener of Ray itself on 127.0.0.1
    else:
        values |= _haproxy_paths(options.haproxy_dir)
        for name, least in timeouts.haproxy_environ(max_run_s).items():
            values[name] = max(values.get(name, least), least, key=float)
    options.secret("ray-token")
    values["RAY_AUTH_TOKEN_PATH"] = str(options.home / "ray-token")
    values["PYTHONPATH"] = os.pathsep.join(filter(None, [str(REPOSITORY), environ.get("PYTHONPATH", "")]))
    forced = {"PYTHONPATH", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH"}
    return {name: value for name, value in values.items() if name in forced or name not in environ}


def connections_that_fit(
    environ: Mapping[str, str], raise_limit: Callable[[int], int], *, say: Callable[[str], None]
) -> int:
    """Return how many connections HAProxy may hold under the open-file limit, raised as far as we may.

    Where that is fewer than ray.env asks for it is said; where the user asked for more than fit, LaunchFailed is raised.
    """
    chosen = environ.get(_MAXCONN)
    wanted = int(chosen or read_ray_env()[_MAXCONN])
    needed = int(_FILES_PER_CONNECTION * wanted) + _OTHER_FILES
    if (limit := raise_limit(needed)) >= needed:
        return wanted
    fitting = int((limit - _OTHER_FILES) / _FILES_PER_CONNECTION)
    if chosen or fitting < _FEWEST_CONNECTIONS:
        raise LaunchFailed(
            f"{wanted} connections need {needed} open files, the limit is {limit}",
            f"run `ulimit -n {needed}` first (systemd: LimitNOFILE), or set {_MAXCONN} lower",
        )
    say(
        f"The open-file limit of {limit} allows {fitting} connections, not {wanted}: `ulimit -n {needed}` before allows all"
    )
    return fitting


def _haproxy_paths(folder: Path) -> dict[str, str]:
    """Return HAProxy's files in a folder of our own; the default one belongs to whoever used it first."""
    return {
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "admin.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "server-state"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(folder / "metrics.sock"),
    }
