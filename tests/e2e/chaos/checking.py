"""What must hold of a run, whatever happened to it while it was read."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import httpx

from tests.e2e.chaos.conftest import Site
from tests.e2e.chaos.effects import Expected, read, wrong
from tests.e2e.chaos.resuming import Reading, replay
from tests.e2e.streams import Event

STATUS: Mapping[str, str] = {
    "run_completed": "completed",
    "run_failed": "failed",
    "run_cancelled": "cancelled",
    "run_interrupted": "interrupted",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Checker:
    """Looks at runs that have ended, through a cluster that is well again."""

    site: Site
    client: httpx.AsyncClient

    async def check(self, reading: Reading) -> None:
        """What was read is what everybody will read, and what is on record."""
        story = reading.story
        run = await self._get(f"/runs/{reading.run_id}")
        assert run["status"] == STATUS[story.end.name], run
        again = await replay(self.client, run["id"])
        assert story.events == again.events, f"run {run['id']}: {difference(story.events, again.events)}"
        if run["status"] == "completed":
            assert story.text == await self._answer(run["thread_id"]), f"run {run['id']}"

    async def go_on(self, reading: Reading) -> list[Reading]:
        """Answer the questions of an interrupted run until it has completed; return the runs that this took.

        A question is about a call of which nobody knows what it did. We do: it is in the file, or it is not.
        """
        further: list[Reading] = []
        while (end := (further[-1] if further else reading).story.end).name == "run_interrupted":
            requests = [request for asked in end.data["interrupts"] for request in asked["value"]["action_requests"]]
            body = {
                "model": reading.body["model"],
                "thread_id": (await self._get(f"/runs/{reading.run_id}"))["thread_id"],
                "decisions": [await self._decision(request) for request in requests],
                "on_disconnect": "continue",
            }
            further.append(await Reading(client=self.client, body=body).read())
        return further

    async def check_effects(self, expected: list[Expected]) -> None:
        """Every call has had its effect, and none twice."""
        problems = wrong(await asyncio.to_thread(read, self.site.effects), expected)
        assert not problems, problems

    async def _decision(self, request: Mapping[str, Any]) -> dict[str, str]:
        noted = {effect.note for effect in await asyncio.to_thread(read, self.site.effects)}
        if request["args"]["note"] in noted:
            return {"type": "respond", "message": "It is noted."}
        return {"type": "approve"}

    async def _answer(self, thread_id: str) -> str:
        last = (await self._get(f"/threads/{thread_id}/messages"))["messages"][-1]
        assert last["role"] == "assistant"
        assert "incomplete" not in last
        return str(last["content"])

    async def _get(self, path: str) -> dict[str, Any]:
        found: dict[str, Any] = (await self.client.get(path)).raise_for_status().json()
        return found


def difference(told: Sequence[Event], again: Sequence[Event]) -> str:
    """Say where two tellings of a run part, for whoever looks for the cause: the cluster is gone by then."""
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(told, again, strict=False)))
    return f"after {same} events {told[same : same + 3]} came, and {again[same : same + 3]} on the next reading"
