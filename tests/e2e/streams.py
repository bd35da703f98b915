"""Reading an event stream as a client does."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import orjson


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    id: str
    name: str
    data: dict[str, Any]


async def events(response: httpx.Response) -> AsyncIterator[Event]:
    """Yield the events of an open response; ends at `[DONE]`, and fails when the stream ends without it."""
    async for fields in _frames(response):
        if fields.get("data") == "[DONE]":
            return
        if "event" in fields:
            yield _event(fields)
    raise AssertionError("the stream ended without [DONE]")


async def events_until_cut(response: httpx.Response) -> AsyncIterator[Event]:
    """Yield the events of an open response as far as they come; an event that was cut off is not one."""
    async for fields in _frames(response):
        if "event" in fields:
            yield _event(fields)


async def _frames(response: httpx.Response) -> AsyncIterator[dict[str, str]]:
    """Yield the fields of each frame, the last one too if it is whole."""
    fields: dict[str, str] = {}
    async for line in response.aiter_lines():
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        else:
            yield fields
            fields = {}


def _event(fields: dict[str, str]) -> Event:
    return Event(id=fields["id"], name=fields["event"], data=orjson.loads(fields["data"]))


async def ask(client: httpx.AsyncClient, text: str, **more: Any) -> list[Event]:
    """Ask one question and return all events."""
    body = {"messages": [{"role": "user", "content": text}], **more}
    async with client.stream("POST", "/chat/stream", json=body) as response:
        assert response.status_code == 200, await response.aread()
        return [event async for event in events(response)]


def text_of(received: list[Event]) -> str:
    return "".join(event.data["text"] for event in received if event.name == "text_delta")
