"""Tools that misbehave, and models that never stop asking for them."""

import asyncio

import httpx
import pytest

from benchmarks.upstream import ChatRequest, Directive
from graphs.tools.care import ToolLimits
from tests.e2e.faults.conftest import HOSTILE, Site, states, until_state
from tests.e2e.faults.looking import View, look, memory, record_of
from tests.e2e.faults.rows import Part, Row, proves
from tests.e2e.streams import Event

OTHERS = 10
MEMORY_BYTES = 30_000_000

LIMITS = ToolLimits()

RESULTS = {"flood": "0123456789", "binary": "[binary data, 256000 bytes: not shown]"}


async def use(client: httpx.AsyncClient, tool: str) -> View:
    """Ask a question whose answer needs a tool."""
    asked = Directive(tool_calls=({"name": tool, "arguments": {}},), text="That is all I know.")
    return await look(client, asked.in_message(), model=HOSTILE)


def finished(view: View) -> Event:
    [event] = [event for event in view.received if event.name == "tool_finished"]
    return event


async def others(client: httpx.AsyncClient) -> None:
    """Ask what needs no tool, and be answered."""
    views = await asyncio.gather(*(look(client, "hello") for _ in range(OTHERS)))
    assert all(view.answered for view in views)


@proves(
    Row(
        part=Part.TOOLS,
        rows="35",
        fault="hangs",
        client="`tool_finished` with `ok: false` after the tool's time, then an answer",
        record="completed",
        breaker="closed",
        attempts="as the model asks",
    )
)
async def test_a_tool_hangs(site: Site, client: httpx.AsyncClient) -> None:
    """It is stopped, the model reads so and answers; meanwhile others are answered."""
    using = asyncio.create_task(use(client, "hang"))
    await site.primary.seen.until(lambda seen: seen.completed == 1)
    await others(client)
    assert not using.done()
    view = await using
    assert view.answered
    assert finished(view).data["ok"] is False
    assert "did not finish within" in read_by_the_model(site)
    assert (await record_of(client, view.run_id))["status"] == "completed"
    assert (site.primary.seen.received, site.secondary.seen.received) == (2 + OTHERS, 0)
    assert (await states(client))["primary"] == "closed"


@proves(
    Row(
        part=Part.TOOLS,
        rows="35",
        fault="returns 100 MB",
        client=f"`tool_finished` with the first {LIMITS.max_result_chars:,} characters, and a line that says so; an answer",
        record="completed",
        breaker="closed",
        attempts="as the model asks",
    ),
    Row(
        part=Part.TOOLS,
        rows="35",
        fault="returns binary data",
        client="`tool_finished` that says so, and how much; then an answer",
        record="completed",
        breaker="closed",
        attempts="as the model asks",
    ),
)
@pytest.mark.parametrize("tool", RESULTS)
async def test_a_tool_returns_too_much(tool: str, site: Site, client: httpx.AsyncClient) -> None:
    """The client and the model get what fits and is text; others are answered, and the memory is given back."""
    before = await asyncio.to_thread(memory, site.served)
    view, _ = await asyncio.gather(use(client, tool), others(client))
    assert view.answered
    result = finished(view).data["result"]
    assert result.startswith(RESULTS[tool])
    assert len(result) < LIMITS.max_result_chars + 100
    assert read_by_the_model(site) == result
    assert (await record_of(client, view.run_id))["status"] == "completed"
    assert (site.primary.seen.received, site.secondary.seen.received) == (2 + OTHERS, 0)
    grown = await asyncio.to_thread(memory, site.served) - before
    assert grown < MEMORY_BYTES
    assert (await states(client))["primary"] == "closed"


def read_by_the_model(site: Site) -> str:
    """The last result of a tool that the model was given."""
    conversations = [request.body["messages"] for request in site.primary.seen.requests]
    [*_, read] = [messages[-1]["content"] for messages in conversations if messages[-1]["role"] == "tool"]
    return str(read)


@proves(
    Row(
        part=Part.TOOLS,
        rows="35",
        fault="of a network, fails again and again",
        client="`tool_finished` with `ok: false`, then an answer",
        record="completed",
        breaker="closed; the tool's own opens, and the model reads that it is not available",
        attempts="as the model asks",
    )
)
async def test_a_tool_keeps_failing(site: Site, client: httpx.AsyncClient) -> None:
    """Its failures reach the model without their details; after five of them it is not called, and the model is told."""
    told = []
    for _ in range(6):
        view = await use(client, "unreachable")
        assert view.answered
        told.append(finished(view).data["result"])
        assert finished(view).data["ok"] is False
    assert all("cannot be reached" in text for text in told[:5]), told
    assert "is not available right now" in told[5]
    assert not any("10.0.0.1" in text or "sk-" in text for text in told)
    await until_state(client, "tool:unreachable", "open")
    assert (site.primary.seen.received, site.secondary.seen.received) == (12, 0)
    assert (await states(client))["primary"] == "closed"


@proves(
    Row(
        part=Part.TOOLS,
        rows="37",
        fault="the model asks for tools as long as it may",
        client="a whole answer",
        record="completed",
        breaker="closed",
        attempts="as many as `max_tool_rounds` and the graph's own bounds allow",
    )
)
@pytest.mark.parametrize(("graph", "calls"), [("react", 7), ("plan_execute", 27), ("supervisor", 25)])
async def test_a_model_that_likes_tools(graph: str, calls: int, site: Site, client: httpx.AsyncClient) -> None:
    """Every graph comes to an end: it takes the tools away."""
    site.primary.script = as_long_as_it_may
    view = await look(client, "what is it?", model=graph)
    assert view.answered
    assert (await record_of(client, view.run_id))["status"] == "completed"
    assert (site.primary.seen.received, site.secondary.seen.received) == (calls, 0)
    assert (await states(client))["primary"] == "closed"


@proves(
    Row(
        part=Part.TOOLS,
        rows="37",
        fault="the model asks for tools also when there are none",
        client="500 `step_limit_exceeded`, or as an event where the stream has begun",
        record="failed, with that code",
        breaker="closed",
        attempts="as many as `max_tool_rounds` and the graph's own bounds allow",
    )
)
@pytest.mark.parametrize(("graph", "calls"), [("react", 7), ("plan_execute", 7), ("supervisor", 5)])
async def test_a_model_that_has_nothing_else(graph: str, calls: int, site: Site, client: httpx.AsyncClient) -> None:
    """Every graph comes to an end: no answer is one too."""
    site.primary.default = asking_for("calculator")
    view = await look(client, "what is it?", model=graph)
    assert (view.status, view.code) in {(500, "step_limit_exceeded"), (200, "step_limit_exceeded")}
    if view.run_id is not None:
        run = await record_of(client, view.run_id)
        assert (run["status"], run["error"]["code"]) == ("failed", "step_limit_exceeded")
    assert (site.primary.seen.received, site.secondary.seen.received) == (calls, 0)
    assert (await states(client))["primary"] == "closed"


def asking_for(tool: str) -> Directive:
    return Directive(tool_calls=({"name": tool, "arguments": {"expression": "1 + 1"}},), tool_rounds=1_000)


def as_long_as_it_may(request: ChatRequest) -> Directive:
    """A call of the first tool that there is; without any, a text that makes a long plan and will do for an answer."""
    if request.tool_names:
        return asking_for(min(request.tool_names))
    return Directive(text="".join(f"{number}. Look at it.\n" for number in range(1, 9)))
