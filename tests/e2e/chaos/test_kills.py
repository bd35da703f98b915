"""Something is killed at a random token under twenty streams: every run ends, and its client has all of it, once."""

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

import httpx
import pytest

from tests.e2e.chaos.checking import Checker
from tests.e2e.chaos.conftest import Site, until_ready
from tests.e2e.chaos.database import unended
from tests.e2e.chaos.load import Asked, mixture
from tests.e2e.chaos.resuming import Reading
from tests.e2e.chaos.sizes import chosen
from tests.e2e.chaos.tally import Tally
from tests.e2e.faults.looking import processes
from tests.e2e.launching import Served
from tests.e2e.spending import settled

pytestmark = pytest.mark.chaos

SIZES = chosen()


@dataclass(frozen=True, slots=True, kw_only=True)
class Victim:
    """What is killed: one of its processes, or with `every` all of them. `may_fail`: a run may end as failed, and say so."""

    pids: Callable[[Served], set[int]]
    every: bool = False
    may_fail: bool = False


def titled(title: str) -> Callable[[Served], set[int]]:
    return lambda served: processes(served, title)


def postmaster(served: Served) -> set[int]:
    return {int((served.home / "postgres" / "postmaster.pid").read_text().splitlines()[0])}


VICTIMS = {
    "agent": Victim(pids=titled("ServeReplica:mainstay:agent")),
    "ingress": Victim(pids=titled("ServeReplica:mainstay:ingress")),
    "proxy": Victim(pids=titled("haproxy"), every=True),
    "controller": Victim(pids=titled("ServeController")),
    "postgres": Victim(pids=postmaster, may_fail=True),
}

ROUNDS = [(victim, number) for victim, times in SIZES.kills.items() for number in range(times)]


class Aim:
    """The moment to strike: all runs have begun, and one of them has said so many tokens, or begun to call its tools."""

    def __init__(self, dice: Random, asked: Sequence[Asked]) -> None:
        self.reached = asyncio.Event()
        self._runs = len(asked)
        self._begun: set[str] = set()
        self._of = dice.choice(asked)
        in_a_call = bool(self._of.calls) and dice.random() < 0.5
        self._token = 0 if in_a_call else dice.randrange(1, self._of.tokens)
        self._said = False

    def look(self, reading: Reading) -> None:
        """Called after each event of each run."""
        self._begun.add(reading.key)
        if reading.body is self._of.body:
            # The tokens of the last model call; a plan says as many several times.
            names = {event.name for event in reading.story.events}
            self._said = (
                self._said
                or reading.story.ended
                or (said(reading) >= self._token if self._token else "tool_started" in names)
            )
        if self._said and len(self._begun) == self._runs:
            self.reached.set()

    def __str__(self) -> str:
        return f"at token {self._token}"


def said(reading: Reading) -> int:
    """Return about how many tokens have been shown."""
    return sum(event.data["text"].count(" ") for event in reading.story.events if event.name == "text_delta")


def kill(victim: Victim, served: Served, dice: Random) -> list[int]:
    """Kill it, and return the processes that it was."""
    pids = sorted(victim.pids(served))
    assert pids
    killed = pids if victim.every else [dice.choice(pids)]
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    return killed


@pytest.mark.parametrize(("name", "number"), ROUNDS)
async def test_a_kill_under_streams(
    name: str, number: int, site: Site, client: httpx.AsyncClient, dice: Random, tallies: dict[str, Tally]
) -> None:
    """Nothing that was shown is lost or doubled, the record says the same, no effect of a tool is missing or repeated, and what
    lost model calls had reserved is settled.
    """
    victim, tally = VICTIMS[name], tallies.setdefault(f"{name} killed", Tally())
    asked = mixture(dice, SIZES.streams, f"{name}-{number}")
    aim = Aim(dice, asked)
    readings = [Reading(client=client, body=one.body, on_event=aim.look) for one in asked]
    async with asyncio.TaskGroup() as reading:
        for each in readings:
            reading.create_task(each.read())
        await aim.reached.wait()
        killed = await asyncio.to_thread(kill, victim, site.served, dice)
        site.killed.update(killed)
        print(f"killed {killed} {aim}")
    tally.times += 1
    for each in readings:
        tally.add(each)
    await until_ready(client)
    checker = Checker(site=site, client=client)
    for each in readings:
        further = await checker.go_on(each)
        for run in (each, *further):
            await checker.check(run)
        last = (further or [each])[-1]
        assert victim.may_fail or last.story.end.name == "run_completed", (last.run_id, last.story.end)
    await checker.check_effects([call for one in asked for call in one.calls])
    assert await unended(site.served) == 0
    await settled(client)
