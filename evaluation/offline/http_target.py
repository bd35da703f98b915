"""A deployed Mainstay as a target: one turn of `POST /chat/stream` for each case, with its tools and its times."""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import aiohttp

from evaluation.criteria.types import NO_RUN
from evaluation.offline.dataset import Case
from evaluation.offline.target import Answered, TargetUnusable, no_sample
from services.llm.retry_after import retry_after_s
from services.resilience.retry import RetryPolicy, backoff_s
from services.samples import Sample, ToolUse
from services.types import RunStatus

MAX_LINE_BYTES = 8 * 1024 * 1024
UNUSABLE = frozenset({401, 403, 404, 405})
"""Statuses of a key that opens nothing and of an address or graph that is not there: every case would get the same."""
AGAIN = frozenset({429, 503})
TRIES = 6
BACKOFF = RetryPolicy(base_s=2.0, max_s=60.0)
MOST_WAIT_S = 120.0
"""Of what an answer may ask us to wait."""


@dataclass(slots=True)
class _Turn:
    """What has come of a turn so far."""

    text: str = ""
    results: list[str] = field(default_factory=list)
    uses: list[ToolUse] = field(default_factory=list)
    first_text_s: float | None = None
    run_id: UUID = NO_RUN
    end: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


class HttpTarget:
    """One graph behind `url`, the default one where `graph` is empty. Close it.

    What is refused for now (429, 503) is asked again, TRIES times in all, and not before the answer says; what breaks off is a
    failure.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str = "",
        graph: str = "",
        timeout_s: float = 600.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
        random: Callable[[], float] = random.random,
    ) -> None:
        self.name = f"{graph or 'the default graph'} at {url.rstrip('/')}"
        self._url = f"{url.rstrip('/')}/chat/stream"
        self._graph = graph
        self._sleep = sleep
        self._clock = clock
        self._random = random
        self._session = aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=aiohttp.ClientTimeout(total=timeout_s + 10.0, sock_connect=10.0),
            read_bufsize=MAX_LINE_BYTES,
        )
        self._timeout_s = timeout_s

    async def aclose(self) -> None:
        await self._session.close()

    async def answer(self, case: Case) -> Answered:
        """Ask, and read the turn to its end. Raises TargetUnusable where nobody answers, or refuses us for good."""
        for attempt in range(1, TRIES + 1):
            try:
                async with self._session.post(self._url, json=self._body(case)) as response:
                    if response.status == 200:
                        return self._answered(case, await self._read(response))
                    code = await _code_of(response)
                    if response.status in UNUSABLE:
                        raise TargetUnusable(f"{self._url} answers {response.status} ({code})")
                    if response.status not in AGAIN or attempt == TRIES:
                        return Answered(sample=no_sample(case), failure=code)
                    named_s = min(retry_after_s(response.headers) or 0.0, MOST_WAIT_S)
            except aiohttp.ClientConnectorError as error:
                raise TargetUnusable(f"{self._url} cannot be reached: {error.os_error}") from None
            except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                return Answered(sample=no_sample(case), failure=type(error).__name__)
            await self._sleep(max(named_s, backoff_s(attempt, BACKOFF, self._random)))
        raise AssertionError("the last try returns")

    def _body(self, case: Case) -> dict[str, Any]:
        messages = [{"role": message.role, "content": message.content} for message in case.messages]
        asked = {"messages": messages, "timeout_s": self._timeout_s, "metadata": {"evaluation": case.id[:100]}}
        return {**asked, "model": self._graph} if self._graph else asked

    async def _read(self, response: aiohttp.ClientResponse) -> _Turn:
        started, turn = self._clock(), _Turn()
        turn.run_id = UUID(response.headers.get("x-run-id", str(turn.run_id)))
        async for event, data in _events(response):
            if event == "text_delta" and not data.get("source"):
                if turn.first_text_s is None:
                    turn.first_text_s = self._clock() - started
                turn.text += data["text"]
            elif event == "tool_finished":
                turn.results.append(data["result"])
                turn.uses.append(ToolUse(name=data["name"], succeeded=data["ok"]))
            elif event == "retract":
                turn.text = turn.text[: data["from_char"]] + turn.text[data["to_char"] :]
            elif event == "restarted":
                turn.end = event  # what holds of what was said cannot be told from here
                return turn
            elif event.startswith("run_") and event != "run_started":
                turn.end, turn.data = event, data
        return turn

    def _answered(self, case: Case, turn: _Turn) -> Answered:
        failure = {"run_completed": "", "": "cut_off"}.get(turn.end, turn.end)
        if turn.end == "run_failed":
            failure = str(turn.data["error"]["code"])
        usage = turn.data.get("usage") or {}
        sample = Sample(
            run_id=turn.run_id,
            tenant_id="",
            graph=self._graph,
            question=case.question,
            answer=turn.text,
            tool_results=tuple(turn.results),
            tool_uses=tuple(turn.uses),
            status=RunStatus.FAILED if failure else RunStatus.COMPLETED,
            duration_s=turn.data.get("duration_s", 0.0),
            first_text_s=turn.first_text_s,
            output_tokens=usage.get("output_tokens", 0),
        )
        return Answered(sample=sample, failure=failure)


async def _events(response: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """Yield the events of a stream of ours, each of which has a name and one line of data."""
    event = ""
    async for line in response.content:
        name, _, value = line.decode("utf-8").strip().partition(":")
        if name == "event":
            event = value.strip()
        elif name == "data" and value.strip() != "[DONE]":
            yield event, json.loads(value)


async def _code_of(response: aiohttp.ClientResponse) -> str:
    try:
        return str((await response.json())["error"]["code"])
    except (aiohttp.ContentTypeError, ValueError, LookupError, TypeError):
        return f"http_{response.status}"
