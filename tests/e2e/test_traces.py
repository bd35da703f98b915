"""One trace from a client to the simulated provider, through handles, and the lines in the log that go with it."""

import asyncio
import re
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import orjson

from benchmarks.upstream import Upstream
from deployments.launch.options import Options
from tests.e2e.launching import Served
from tests.e2e.streams import ask
from tests.e2e.test_chat import QUESTION

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PATIENCE_S = 15.0


async def test_one_trace_from_the_client_to_provider_and_tool(
    client: httpx.AsyncClient, served: Served, upstream: Upstream
) -> None:
    """Whoever asks with a sampled trace gets one tree: ingress, agent, provider and tool, each below whose work it is part of.
    The provider was told of its span, and the lines of both replicas have the run's id.
    """
    client.headers["traceparent"] = f"00-{TRACE}-{CALLER}-01"
    client.headers["x-request-id"] = "asked-by-a-test"
    [started, *_, last] = await ask(client, QUESTION)
    assert last.name == "run_completed"
    run_id = started.data["run_id"]
    root = await tree(client, run_id)
    assert (root["name"], root["source"], root["parent_span_id"]) == ("POST /chat/stream", "ingress", CALLER)
    [run] = [child for child in root["children"] if child["source"] == "agent"]
    below = [child["name"] for child in run["children"]]
    assert below == ["chat simulated", "execute_tool calculator", "chat simulated", "record end"]
    for span in every(root):
        assert all(child["parent_span_id"] == span["span_id"] for child in span["children"])
    chats = [child["span_id"] for child in run["children"] if child["name"].startswith("chat")]
    # The judge may have asked too, who tells nobody.
    told = [told for request in upstream.seen.requests if (told := request.headers.get("traceparent"))]
    assert told == [f"00-{TRACE}-{span_id}-01" for span_id in chats]
    lines = await lines_of(served, run_id)
    assert {line["deployment"] for line in lines} == {"ingress", "agent"}
    assert {(line["trace"], line["request"], line["thread"]) for line in lines} == {
        (TRACE, "asked-by-a-test", started.data["thread_id"])
    }
    [tenant] = {line["tenant"] for line in lines}
    assert re.fullmatch(r"[0-9a-f]{16}", tenant)
    [ended] = [line for line in lines if line["message"] == "run ended"]
    assert (ended["status"], ended["model_calls"]) == ("completed", 2)


async def tree(client: httpx.AsyncClient, run_id: str) -> dict[str, Any]:
    """The run's one tree, once both of its processes have stored their part."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            body = (await client.get(f"/v1/runs/{run_id}/trace")).json()
            if body["sampled"] and {span["source"] for root in body["spans"] for span in every(root)} >= {
                "ingress",
                "agent",
            }:
                assert body["trace_id"] == TRACE
                [root] = body["spans"]
                return dict(root)
            await asyncio.sleep(0.1)


def every(span: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield span
    for child in span["children"]:
        yield from every(child)


async def lines_of(served: Served, run_id: str) -> list[dict[str, Any]]:
    """What the replicas have written for the run, once both have."""
    logs = Options.from_environ(served.environ).scratch / "ray" / "session_latest" / "logs" / "serve"
    async with asyncio.timeout(PATIENCE_S):
        while True:
            written = [
                orjson.loads(line) for path in logs.glob("mainstay_*.log") for line in path.read_text().splitlines()
            ]
            lines = [line for line in written if line.get("run") == run_id]
            if len({line["deployment"] for line in lines}) == 2:
                return lines
            await asyncio.sleep(0.1)
