"""What is measured: Mainstay in its production profile before two providers, and a third for the judge."""

import re
import socket
import tempfile
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import yaml

from benchmarks.arrivals import Arrivals
from benchmarks.load import NONCE
from benchmarks.resilience.counters import Counts, read_counts
from benchmarks.targets import Mainstay
from benchmarks.upstream import Directive, SeenRequest, Upstream

MODEL = "simulated"
PRIMARY, SECONDARY, JUDGE = "primary", "secondary", "judge"

TOKENS = 4
HEALTHY = Directive(tokens=TOKENS, first_token_s=0.1, stamp=True)
"""Short answers: what is asked is how a call finds its provider, not how fast tokens pass."""

BOTH, FIRST_ALONE, SECOND_ALONE, JUDGED = "react", "first", "second", "judged"
"""The graphs: one with both providers, in their order, and two with one each; and as the second one, with every run judged."""

FLOODER = "flooder"
"""A tenant with the rates and places of the plan that ships. No budget of money: the simulated model has no price."""

_QUESTION = "Tell me tale"
_NUMBER = re.compile(rf"{_QUESTION} \w+ (\d+)\.$")
_REMEMBER = 100_000
_PORTS = range(21_000, 29_000)
"""Below those that a kernel hands out: while a provider is dead, nobody else is given its port."""


class Served(Protocol):
    """Mainstay, started and found."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    @property
    def url(self) -> str: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    def body(self, content: str, *, model: str | None = None) -> str: ...

    def pids(self) -> frozenset[int]: ...

    async def key_of(self, tenant: str) -> str:
        """Make a key of another tenant."""
        ...


def production(upstream_url: str, settings: Path) -> Served:
    """Mainstay as it is deployed."""
    return Mainstay(upstream_url=upstream_url, environment={"MAINSTAY_SETTINGS": str(settings)})


class Site:
    """Starts and stops everything; the providers run in this process, so that their records are at hand."""

    def __init__(
        self,
        serve: Callable[[str, Path], Served] = production,
        *,
        healthy: Directive = HEALTHY,
        settle_every_s: float = 0.2,
    ) -> None:
        """`serve` is given the first provider's address and the settings; `settle_every_s` is the pace of `settle`."""
        self.healthy = healthy
        self.settle_every_s = settle_every_s
        self.primary = Upstream(models=(MODEL,), default=healthy, port=_free_port(), remember=_REMEMBER)
        self.secondary = Upstream(models=(MODEL,), default=healthy, remember=_REMEMBER)
        self.judge = Upstream(models=(MODEL,), default=Directive(text='{"score": 5, "reason": "fine"}'), remember=16)
        self.mainstay: Served
        self._serve = serve
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            for upstream in (self.primary, self.secondary, self.judge):
                await stack.enter_async_context(upstream)
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mainstay-settings-")))
            settings = folder / "settings.yaml"
            settings.write_text(yaml.safe_dump(self._settings()))
            self.mainstay = self._serve(self.primary.url, settings)
            stack.push_async_callback(self.mainstay.stop)
            await self.mainstay.start()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def _settings(self) -> dict[str, Any]:
        """The defaults, but for who is asked. The judge's provider cannot call tools, so that no turn goes there."""
        urls = {PRIMARY: self.primary.url, SECONDARY: self.secondary.url, JUDGE: self.judge.url}
        providers = [
            {
                "name": name,
                "kind": "openai",
                "model": MODEL,
                "base_url": url,
                "api_key": {"env": "OPENAI_API_KEY"},
                "tools": name != JUDGE,
            }
            for name, url in urls.items()
        ]
        alone = {
            "kind": "react",
            "description": "Asks one provider only.",
            "tools": ["calculator", "clock"],
            "prompts": {"system": "You are a careful assistant."},
        }
        graphs = {
            BOTH: {"providers": [PRIMARY, SECONDARY]},
            FIRST_ALONE: {**alone, "providers": [PRIMARY]},
            SECOND_ALONE: {**alone, "providers": [SECONDARY]},
            JUDGED: {**alone, "providers": [SECONDARY]},
        }
        allowed = {"runs": "60/minute burst 10", "concurrent_runs": 8}
        limits = {"plans": {FLOODER: {"user": allowed}}, "tenants": {FLOODER: FLOODER}}
        evaluator = {"provider": JUDGE, "sampling": {"rates": [{"graph": JUDGED, "rate": 1.0}]}}
        return {"providers": providers, "graphs": graphs, "evaluator": evaluator, "limits": limits}

    def arrivals(self, graph: str, *, per_s: float, count: int, begins_s: float = 0.0) -> Arrivals:
        """So many turns of a graph, on schedule."""
        return Arrivals(
            name=graph,
            url=self.mainstay.url,
            body=self.mainstay.body(f"{_QUESTION} {NONCE}.", model=graph),
            headers=self.mainstay.headers,
            per_s=per_s,
            count=count,
            tokens=TOKENS,
            begins_s=begins_s,
        )

    async def counters(self) -> Counts:
        """Mainstay's own metrics, up to 10 seconds old."""
        return await read_counts(self.mainstay.pids())


def turn_of(seen: SeenRequest) -> int | None:
    """The number of the turn, from 0, that a provider was asked for; None for a turn of no schedule."""
    asked = _NUMBER.search(str(seen.body["messages"][-1]["content"]))
    return int(asked[1]) if asked else None


def _free_port() -> int:
    for port in _PORTS:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError(f"no port from {_PORTS.start} to {_PORTS.stop} is free")
