"""`make serve`: start everything in order, watch over it, and stop it in the opposite order."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import ExitStack
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any

from configs.settings import load, read
from deployments.launch import database, documents, lock, machine, processes, profile, provider, ready, weights
from deployments.launch.console import Console
from deployments.launch.errors import LaunchFailed
from deployments.launch.model_process import ModelProcess
from deployments.launch.options import Options
from deployments.launch.package_index import PipFetcher
from deployments.launch.postgres import EmbeddedPostgres
from services.storage import migrate

if TYPE_CHECKING:
    from deployments.launch.cluster import Cluster

_RAY_MEMORY_BYTES = 2_000 * 1024 * 1024  # controller, proxies, four replicas and Ray's own processes
_WATCH_S = 1.0


@dataclass(slots=True, kw_only=True)
class Launch:
    """One start. Everything begun is pushed on `stack`, whose end stops it in the opposite order."""

    options: Options
    environ: MutableMapping[str, str]
    console: Console
    stack: ExitStack
    postgres: EmbeddedPostgres | None = None
    model: ModelProcess | None = None

    def run(self) -> None:
        """Start everything, say so, and watch until a signal comes. Raises LaunchFailed and KeyboardInterrupt."""
        started = time.monotonic()
        preflight(self.options)
        if self.options.profile == "production":
            fitting = profile.connections_that_fit(self.environ, machine.raise_open_file_limit, say=self.console.say)
            self.environ["RAY_SERVE_HAPROXY_MAXCONN"] = str(fitting)
        own = read(self.options.settings_path) if self.options.settings_path else {}
        model_name, overlay = self._begin_model(own)
        self._prepare_database()
        cluster, dashboard = self._start_ray(load([overlay], own).runs.max_run_s)
        with self.console.step("Starting the application"):
            cluster.deploy(overlay, own)
            cluster.wait()
        self._finish_model()
        given = self.environ.get("MAINSTAY_API_KEY")
        # Made last: a start that failed before this screen would have lost it.
        api_key = asyncio.run(database.first_key(self.environ["DATABASE_URL"], self.environ["MAINSTAY_KEY_PEPPER"]))
        state = ready.Ready(
            url=cluster.url,
            model=model_name,
            api_key=api_key or given,
            dashboard=dashboard,
            token_path=str(self.options.home / "ray-token"),
            root_pid=os.getpid(),
            profile=self.options.profile,
            seconds=time.monotonic() - started,
        )
        ready.write(state, self.options.ready_path)
        self.stack.callback(self.options.ready_path.unlink, missing_ok=True)
        self.console.show(ready.screen(state, key_is_new=api_key is not None))
        with contextlib.suppress(KeyboardInterrupt):
            self._watch(cluster)

    def _begin_model(self, own: Mapping[str, Any]) -> tuple[str, str]:
        """Check the provider, or find the embedded model and begin to load it. Returns its name and the overlay."""
        if self.environ.get("OPENAI_API_KEY"):
            endpoints = [provider.resolve(settings, self.environ) for settings in load(["openai"], own).providers]
            first = provider.first_answering(endpoints, say=self.console.say)
            return f"{first.model} at {first.base_url or 'its own address'}", "openai"
        found = weights.resolve(self.environ, PipFetcher(environ=self.environ), self.console, say=self.console.say)
        self.model = ModelProcess(weights=found, folder=self.options.scratch, environ=self.environ)
        self.stack.callback(self.model.stop)
        self.model.start()
        return f"{found.name}, embedded: small, for trying out (OPENAI_API_KEY for a real one)", "local"

    def _finish_model(self) -> None:
        if self.model is not None:
            with self.console.step("Waiting for the model"):
                self.model.wait()

    def _prepare_database(self) -> None:
        """Start the embedded Postgres unless there is a database, migrate it, load the documents."""
        pepper = database.pepper_of(self.options, self.environ)
        with self.console.step("Preparing the database"):
            if not (url := self.environ.get("DATABASE_URL")):
                self.postgres = EmbeddedPostgres(data_dir=self.options.postgres_dir)
                self.stack.callback(self.postgres.stop)
                url = self.postgres.start()
            asyncio.run(migrate.upgrade(url))
            self._load_documents(url)
        self.environ.update({"DATABASE_URL": url, "MAINSTAY_KEY_PEPPER": pepper})

    def _load_documents(self, url: str) -> None:
        folder = documents.folder_of(self.environ, embedded=self.postgres is not None)
        if folder is not None and self.postgres is not None:
            asyncio.run(documents.load_if_changed(url, folder, self.options))
        elif folder is not None:
            asyncio.run(documents.load(url, folder))

    def _start_ray(self, max_run_s: float) -> tuple["Cluster", str]:
        """Set the environment that Ray's processes inherit, import Ray, and start it."""
        self.environ.update(profile.ray_environ(self.options, self.environ, max_run_s=max_run_s))
        if self.model is not None:
            self.environ.update(self.model.address())
        from deployments.launch.cluster import Cluster  # imports ray, which reads the environment

        cluster = Cluster(options=self.options)
        with self.console.step("Starting Ray"):
            self.stack.callback(cluster.stop)
            dashboard = cluster.start()
        stop_on_signals(self.console)  # Ray has put its own handler in their place
        return cluster, dashboard

    def _watch(self, cluster: "Cluster") -> None:
        """Wait for a signal; meanwhile start again what died beside Ray, which heals its own."""
        while True:
            time.sleep(_WATCH_S)
            if self.postgres is not None and not self.postgres.is_alive():
                self._revive("Postgres", self.postgres.start)
            if self.model is not None and not self.model.is_alive():
                self._revive("The model server", self.model.start)
            if not cluster.is_alive():
                raise LaunchFailed("Ray ended by itself", f"see {cluster.logs.parent}, then start again")

    def _revive(self, what: str, start: Callable[[], object]) -> None:
        """Start a part again; what fails now is tried at the next look, for its rests may take a moment to go."""
        self.console.say(f"{what} ended by itself; starting it again")
        try:
            start()
        except LaunchFailed as failed:
            self.console.say(str(failed))


def serve(options: Options, environ: MutableMapping[str, str], console: Console) -> None:
    """Run one launch to its end; returns when it was stopped by a signal after it was ready."""
    stop_on_signals(console)
    processes.adopt_orphans()
    options.make_folders()
    with ExitStack() as stack:
        stack.enter_context(lock.hold(options.lock_path))  # let go last: `down` waits for it
        stack.callback(processes.end_descendants)
        messages = stack.enter_context((options.scratch / "ray-messages.log").open("w"))
        stack.enter_context(contextlib.redirect_stdout(messages))  # Ray reports each replica's end to the terminal
        Launch(options=options, environ=environ, console=console, stack=stack).run()


def preflight(options: Options) -> None:
    """Find what would fail later, and slower: ports, another cluster, memory. Raises LaunchFailed."""
    ports = {"MAINSTAY_PORT": options.port, "MAINSTAY_DASHBOARD_PORT": options.dashboard_port}
    others = [] if options.beside_other_ray else processes.pids_named("gcs_server")
    if others:
        raise LaunchFailed(
            f"a Ray cluster runs here already (process {others[0]})",
            "stop it with `ray stop`, deploy to it with `serve deploy serve_config.yaml`, or start a second one beside it "
            "with MAINSTAY_BESIDE_OTHER_RAY=1",
        )
    for name, port in ports.items():
        if not machine.port_is_free(port):
            raise LaunchFailed(f"port {port} is busy", f"stop the program that uses it, or set {name} to another")
    if (free := machine.free_memory_bytes()) < _RAY_MEMORY_BYTES:
        raise LaunchFailed(
            f"Ray and the application need {_RAY_MEMORY_BYTES >> 20} MB of memory, {free >> 20} MB are free",
            "stop other programs, or give the container more",
        )


def stop_on_signals(console: Console) -> None:
    """Turn SIGINT and SIGTERM into KeyboardInterrupt in the main thread, which unwinds the stack."""

    def interrupt(number: int, _frame: FrameType | None) -> None:
        console.say("Stopping (once more: without waiting for open streams)")
        raise KeyboardInterrupt(signal.Signals(number).name)

    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGTERM, interrupt)
