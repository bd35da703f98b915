"""Ray and Serve inside the launcher's process tree. Importing this module imports ray: the environment must be set.

The launcher is Ray's driver, so Ray's processes end with it, also when it is killed. Private interfaces of Serve are used
through `_client` alone: the public `serve.run` takes an application object, not the file that `serve deploy` takes.
"""

import contextlib
import logging
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
import ray.exceptions
import yaml
from pydantic import ValidationError
from ray import serve
from ray.serve.exceptions import RayServeException
from ray.serve.schema import ServeDeploySchema

from configs.settings import merge
from deployments.launch import machine, processes
from deployments.launch.errors import LaunchFailed, one_line
from deployments.launch.options import REPOSITORY, Options
from deployments.launch.verdict import Status, is_running, raised

_RAY_FAILURES = (OSError, RuntimeError, ValueError, ray.exceptions.RayError, RayServeException)
_LOOPBACK = "deployments.launch.loopback.bind"
_SERVING = frozenset({"ingress", "agent"})
_OBJECT_STORE_BYTES = 200 * 1024 * 1024  # requests and events are small and travel inline


@dataclass(kw_only=True)
class Cluster:
    """One Ray node with Serve on it. `start`, `deploy`, `wait`, in this order; `stop` after any of them."""

    options: Options
    deploy_timeout_s: float = 300.0
    drain_s: float = 10.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    _pids: list[int] = field(default_factory=list, init=False)

    @property
    def temp_dir(self) -> Path:
        """Ray's files, logs included: kept after the end, dropped at the next start."""
        return self.options.scratch / "ray"

    @property
    def logs(self) -> Path:
        """Where Serve's controller, proxies and replicas write."""
        return self.temp_dir / "session_latest" / "logs" / "serve"

    @property
    def url(self) -> str:
        """The application's address on this machine."""
        return f"http://127.0.0.1:{self.options.port}"

    def start(self) -> str:
        """Start Ray and return the dashboard's address."""
        shutil.rmtree(self.temp_dir, ignore_errors=True)
        try:
            address = self._init_ray()
        except LaunchFailed as first:
            if "timed out" not in first.cause:
                raise
            ray.shutdown()  # a busy machine: Ray itself waits 30 s for its node, and that cannot be set
            address = self._init_ray()
        logging.getLogger("ray.serve").setLevel(logging.ERROR)
        return address

    def _init_ray(self) -> str:
        with _Translated("Ray did not start", self.logs.parent):
            context = ray.init(
                address="local",
                num_cpus=self.options.cpus or max(2, machine.cpu_count()),
                object_store_memory=_OBJECT_STORE_BYTES,
                include_dashboard=True,
                dashboard_host="127.0.0.1",
                dashboard_port=self.options.dashboard_port,
                log_to_driver=False,
                logging_level=logging.ERROR,
                runtime_env={"worker_process_setup_hook": _LOOPBACK} if self.options.profile == "plain" else None,
                _temp_dir=str(self.temp_dir),
            )
        self._pids = processes.descendants_named("gcs_server", "raylet")
        return f"http://{context.dashboard_url}"

    def deploy(self, overlay: str, own: Mapping[str, Any]) -> None:
        """Start Serve and hand it serve_config.yaml with our port, our overlay, and the operator's own settings over it."""
        config = read_config(self.options, overlay, own)
        with _Translated("Serve did not start", self.logs):
            _deploy(config)

    def wait(self) -> None:
        """Wait until every application runs and answers. Raises LaunchFailed as soon as that will not happen."""
        deadline = self.clock() + self.deploy_timeout_s
        last = "nothing was said yet"
        while True:
            statuses = [_status(overview) for overview in serve.status().applications.values()]
            running = [is_running(status, logs=str(self.logs)) for status in statuses]
            if running and all(running):
                answer = self._readiness()
                if answer is None:
                    return
                last = answer
            elif running:
                last = one_line("; ".join(filter(None, (s.message for s in statuses))) or statuses[0].state)
            if self.clock() > deadline:
                raise LaunchFailed(f"not ready within {self.deploy_timeout_s:.0f} s ({last})", f"see {self.logs}")
            self.sleep(0.5)  # each look at the status costs the processors that the replicas start with

    def is_alive(self) -> bool:
        """Whether Ray's own processes still run."""
        return len(self._pids) == 2 and all(map(processes.is_alive, self._pids))

    def stop(self) -> None:
        """Let open streams end, for `drain_s` at most, then stop Ray. Ctrl-C skips the waiting."""
        unneeded = (ray.exceptions.RayError, RayServeException, RuntimeError, TimeoutError, KeyboardInterrupt)
        with contextlib.suppress(*unneeded):
            if ray.is_initialized() and _client() is not None:
                self._delete_applications()
        ray.shutdown()

    def _delete_applications(self) -> None:
        deadline = self.clock() + self.drain_s
        for name in (applications := serve.status().applications):
            serve.delete(name, _blocking=False)
        while applications and self.clock() < deadline:
            self.sleep(0.1)
            applications = serve.status().applications

    def _readiness(self) -> str | None:
        """Return None when the application says that it is ready, else what it says."""
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with direct.open(f"{self.url}/readyz", timeout=5):
                return None
        except urllib.error.HTTPError as error:
            with error:
                return f"/readyz answers {error.code}: {one_line(error.read(1000).decode(errors='replace'))}"
        except OSError as error:
            return f"/readyz does not answer: {error}"


class _Translated:
    """Turns Ray's failures into ours. Some of them are bare `Exception`s: exactly those, no class derived from it."""

    def __init__(self, what: str, logs: Path) -> None:
        self._what, self._logs = what, logs

    def __enter__(self) -> None: ...

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if type(error) is Exception or isinstance(error, _RAY_FAILURES):
            cause = raised(str(error))
            raise LaunchFailed(f"{self._what} ({cause})", f"see {self._logs}, then start again") from error


def read_config(
    options: Options, overlay: str, own: Mapping[str, Any], path: Path = REPOSITORY / "serve_config.yaml"
) -> ServeDeploySchema:
    """Return the checked configuration; only the address, the port, the overlays, the settings and the
    least replicas are the launcher's."""
    try:
        values: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
        # In the production profile HAProxy and the replicas listen on all interfaces whatever is written here.
        host = "127.0.0.1" if options.profile == "plain" else "0.0.0.0"  # noqa: S104
        values["http_options"] = {**values.get("http_options", {}), "host": host, "port": options.port}
        for application in values["applications"]:
            args = application.get("args", {})
            application["args"] = {**args, "overlays": [overlay], "settings": merge(args.get("settings", {}), own)}
            for deployment in application["deployments"] if options.replicas else ():
                if deployment["name"] in _SERVING:
                    deployment["autoscaling_config"]["min_replicas"] = options.replicas
        config: ServeDeploySchema = ServeDeploySchema.model_validate(values)
    except (OSError, yaml.YAMLError, ValidationError, KeyError, TypeError, AttributeError) as error:
        raise LaunchFailed(
            f"{path.name} cannot be used ({error})", "correct it; `git diff` shows what changed"
        ) from error
    return config


def _deploy(config: ServeDeploySchema) -> None:
    serve.start(proxy_location=config.proxy_location, http_options=config.http_options.model_dump())
    _client().deploy_apps(config)


def _client() -> Any:
    """Return the object behind the public functions, as `serve run FILE` uses it in the release that we pin."""
    from ray.serve.context import _get_global_client

    return _get_global_client(raise_if_no_controller_running=False)


def _status(overview: Any) -> Status:
    """Translate Serve's ApplicationStatusOverview."""
    return Status(
        state=overview.status.value,
        message=overview.message,
        messages={name: deployment.message for name, deployment in overview.deployments.items()},
    )
