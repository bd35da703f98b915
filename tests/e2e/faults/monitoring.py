"""A real Prometheus, a real Alertmanager and a receiver of webhooks beside a cluster, on the configurations that ship."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from deployments.launch.options import Options
from tests.e2e.faults.receiver import receiver
from tests.e2e.launching import ROOT, Served, free_port
from tests.prometheus import program

OBSERVABILITY = ROOT / "configs" / "observability"
WITHIN_S = 45.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitoring:
    """`told` has what Alertmanager has sent to the webhook."""

    prometheus: httpx.AsyncClient
    told: "asyncio.Queue[dict[str, Any]]"

    async def names(self) -> set[str]:
        """Return the names of all series that Prometheus has a sample of."""
        return set(await self._get("/api/v1/label/__name__/values"))

    async def has_data(self, query: str) -> bool:
        """Whether a panel's query draws anything over the last minutes."""
        shown = query.replace("$__rate_interval", "1m")
        now = float((await self._get("/api/v1/query", query="time()"))["result"][1])
        span = {"start": f"{now - 300:.0f}", "end": f"{now:.0f}", "step": "1"}
        result: Sequence[Any] = (await self._get("/api/v1/query_range", query=shown, **span))["result"]
        return any(value != "NaN" for series in result for _, value in series["values"])

    async def until(self, names: set[str], within_s: float = WITHIN_S) -> None:
        """Ask until there is a sample of each."""
        missing = names
        try:
            async with asyncio.timeout(within_s):
                while missing := names - await self.names():  # noqa: ASYNC110
                    await asyncio.sleep(0.5)
        except TimeoutError:
            raise AssertionError(f"no sample of {sorted(missing)}") from None

    async def until_drawn(self, queries: dict[str, str]) -> None:
        """Ask until each query returns data; `queries` are by the panel that they belong to."""
        empty = dict(queries)
        try:
            async with asyncio.timeout(WITHIN_S):
                while empty := {name: query for name, query in empty.items() if not await self.has_data(query)}:  # noqa: ASYNC110
                    await asyncio.sleep(0.5)
        except TimeoutError:
            raise AssertionError(f"no data for {empty}") from None

    async def until_told(self, alert: str) -> dict[str, Any]:
        """Wait until the webhook is told that an alert fires."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                for told in (await self.told.get())["alerts"]:
                    if (told["labels"]["alertname"], told["status"]) == (alert, "firing"):
                        return dict(told)

    async def _get(self, path: str, **params: str) -> Any:
        return (await self.prometheus.get(path, params=params)).raise_for_status().json()["data"]


@asynccontextmanager
async def monitoring(served: Served, folder: Path) -> AsyncIterator[Monitoring]:
    """Watch a cluster as configs/observability says, only sooner: Prometheus looks every second, and nobody waits to tell."""
    prometheus_port, alertmanager_port = free_port(), free_port()
    told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    async with receiver(told) as webhook, AsyncExitStack() as stack:
        await stack.enter_async_context(
            _running(
                folder / "alertmanager.log",
                program("alertmanager"),
                f"--config.file={_alertmanager(folder, webhook)}",
                f"--storage.path={folder / 'alertmanager'}",
                f"--web.listen-address=127.0.0.1:{alertmanager_port}",
                "--cluster.listen-address=",
            )
        )
        await stack.enter_async_context(
            _running(
                folder / "prometheus.log",
                program("prometheus"),
                f"--config.file={_prometheus(folder, served, alertmanager_port)}",
                f"--storage.tsdb.path={folder / 'prometheus'}",
                f"--web.listen-address=127.0.0.1:{prometheus_port}",
            )
        )
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{prometheus_port}", timeout=30.0) as client:
            await _until_ready(client, "/-/ready")
            await _until_ready(client, f"http://127.0.0.1:{alertmanager_port}/-/ready")
            yield Monitoring(prometheus=client, told=told)


def _prometheus(folder: Path, served: Served, alertmanager_port: int) -> Path:
    config = yaml.safe_load((OBSERVABILITY / "prometheus.yaml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(OBSERVABILITY / path) for path in config["rule_files"]]
    [manager] = config["alerting"]["alertmanagers"]
    manager["static_configs"] = [{"targets": [f"127.0.0.1:{alertmanager_port}"]}]
    [ray] = config["scrape_configs"]
    discovery = Options.from_environ(served.environ).scratch / "ray" / "prom_metrics_service_discovery.json"
    ray["file_sd_configs"] = [{"files": [str(discovery)]}]
    path = folder / "prometheus.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def _alertmanager(folder: Path, webhook: str) -> Path:
    config = yaml.safe_load((OBSERVABILITY / "alertmanager.yaml").read_text())
    for route in (config["route"], *config["route"]["routes"]):
        route["group_wait"] = "0s"
    [receiver] = config["receivers"]
    receiver["webhook_configs"][0]["url"] = webhook
    path = folder / "alertmanager.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


@asynccontextmanager
async def _running(log: Path, *command: str) -> AsyncIterator[None]:
    """Run a program while the block does. What it says in ending is heard: the loop goes on meanwhile."""
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(*command, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), 20)


async def _until_ready(client: httpx.AsyncClient, url: str) -> None:
    async with asyncio.timeout(WITHIN_S):
        while True:
            try:
                if (await client.get(url)).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.1)
