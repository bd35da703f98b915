"""What a test looks at: how a client's question ends, what is on record of it, the cluster's processes and metrics."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.upstream import Directive
from deployments.launch.options import Options
from tests.e2e.launching import Served
from tests.e2e.streams import Event, events, text_of


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """How one question ended for its client: in a status, or in the last event of a stream."""

    status: int
    run_id: str | None = None
    received: list[Event] = field(default_factory=list)
    error: dict[str, Any] = field(default_factory=dict)
    """With the `next` that both forms have in places of their own; empty without a failure."""

    @property
    def answered(self) -> bool:
        return bool(self.text) and self.received[-1].name == "run_completed"

    @property
    def text(self) -> str:
        return text_of(self.received)

    @property
    def code(self) -> str | None:
        return self.error.get("code")


async def look(client: httpx.AsyncClient, text: str, **more: Any) -> View:
    """Ask one question and see how it ends."""
    async with client.stream("POST", "/chat/stream", json=question(text, **more)) as response:
        if response.status_code != 200:
            await response.aread()
            return View(status=response.status_code, error=response.json()["error"])
        received = [event async for event in events(response)]
    end, run_id = received[-1], response.headers["x-run-id"]
    error = {**end.data["error"], "next": end.data["next"]} if end.name == "run_failed" else {}
    return View(status=200, run_id=run_id, received=received, error=error)


def question(text: str, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], **more}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """A stream that has shown something, and goes on."""

    run_id: str
    rest: AsyncIterator[Event]

    async def end(self) -> Event:
        """Read on, and return the last event. Raises what breaks the stream."""
        return [event async for event in self.rest][-1]


@asynccontextmanager
async def streaming(
    client: httpx.AsyncClient, directive: Directive, until: str = "text_delta", **more: Any
) -> AsyncIterator[Stream]:
    """Ask, and read up to the first event of this name. Whoever leaves the block before the end hangs up."""
    asked = question(directive.in_message(), **more)
    async with client.stream("POST", "/chat/stream", json=asked) as response:
        assert response.status_code == 200, await response.aread()
        received = events(response)
        async for event in received:
            if event.name == until:
                break
        yield Stream(run_id=response.headers["x-run-id"], rest=received)


async def record_of(client: httpx.AsyncClient, run_id: str | None) -> dict[str, Any]:
    """Ask for a run until it has ended."""
    async with asyncio.timeout(10):
        while True:
            run: dict[str, Any] = (await client.get(f"/runs/{run_id}")).json()
            if run["status"] not in {"pending", "running"}:
                return run
            await asyncio.sleep(0.05)


async def kept_of(client: httpx.AsyncClient, run: dict[str, Any]) -> str:
    """The part of an answer that is kept of a run that did not complete; it must say so."""
    last = (await client.get(f"/threads/{run['thread_id']}/messages")).json()["messages"][-1]
    assert (last["role"], last["incomplete"]) == ("assistant", True)
    return str(last["content"])


def processes(served: Served, title: str) -> set[int]:
    """The processes of this cluster with these words in their command line."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command, environ = (process / "cmdline").read_bytes(), (process / "environ").read_bytes()
        except OSError:
            continue
        if title.encode() in command and str(served.home).encode() in environ:
            found.add(int(process.name))
    return found


def serving(served: Served) -> set[int]:
    """The replicas that an answer passes, and Ray's head."""
    titles = ("ServeReplica:mainstay:agent", "ServeReplica:mainstay:ingress", "gcs_server", "raylet/raylet ")
    return set().union(*(processes(served, title) for title in titles))


def memory(served: Served) -> int:
    """Bytes that the replicas on an answer's way hold in memory."""
    titles = ("ServeReplica:mainstay:agent", "ServeReplica:mainstay:ingress")
    return sum(psutil.Process(pid).memory_info().rss for title in titles for pid in processes(served, title))


async def measured(served: Served, metric: str, **labels: str) -> float:
    """The sum of a metric's samples with these labels, as Prometheus would read it now."""
    discovery = Options.from_environ(served.environ).scratch / "ray" / "prom_metrics_service_discovery.json"
    [group] = json.loads(await asyncio.to_thread(discovery.read_text))
    total = 0.0
    async with httpx.AsyncClient() as scraper:
        for target in group["targets"]:
            page = (await scraper.get(f"http://{target}/metrics")).text
            samples = (sample for family in text_string_to_metric_families(page) for sample in family.samples)
            total += sum(s.value for s in samples if s.name == metric and labels.items() <= s.labels.items())
    return total


async def until_measured(served: Served, metric: str, **labels: str) -> None:
    """Ask until something is measured: Ray tells of it after a while."""
    async with asyncio.timeout(20):
        while not await measured(served, metric, **labels):  # noqa: ASYNC110
            await asyncio.sleep(0.2)
