"""Mainstay in the production profile before two providers, of which the first misbehaves on cue."""

import asyncio
import base64
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import pytest_asyncio
import yaml

from benchmarks.upstream import Directive, Upstream
from benchmarks.upstream.addresses import refused_url, unresolvable_url
from tests.e2e.conftest import in_a_thread
from tests.e2e.faults.hostile import TOOLS
from tests.e2e.faults.receiver import receiver
from tests.e2e.inside.sitecustomize import CLOCK_FILE, OFFSET
from tests.e2e.launching import MODEL, Served, inside, launched

FIRST_TOKEN_S = 1.5
BETWEEN_TOKENS_S = 1.5
OPEN_S = 1.0

PROBES = 10

PRUNED_EVERY_S = 60.0
"""The shortest that retention.every_s takes."""

ENOUGH_FOR_RETRIES = 100
"""Answers that fill the budget's bucket again, and whose tenth part is more than the retries that it allows anybody."""

HEALTHY = Directive(tokens=12, token_s=0.001)

ELSEWHERE = Directive(fault="status_404")
"""Sends calls on to the next provider, and says nothing about this one."""

UNREACHABLE = ("dns", "refused", "tls_expired", "tls_wrong_host", "tls_self_signed", "tls_plain")
"""Providers before the first one, out of service until a test takes one of them in."""

HOSTILE = "hostile"
"""The graph that has the tools of `hostile`."""

SOONER = {"RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1", "RAY_metrics_report_interval_ms": "1000"}
"""What Ray looks at, or says, every ten seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What is served, and the upstreams behind it."""

    served: Served
    primary: Upstream
    secondary: Upstream
    judge: Upstream
    tls: Mapping[str, Upstream]
    """By the name of the provider."""
    alerts: "asyncio.Queue[dict[str, Any]]"
    """What the evaluator has told the operator's webhook."""
    clock: Path
    """Says how far off the replicas' wall clock is."""


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """One cluster for all faults, stopped when they are over; each test leaves all providers healthy, and both in service."""
    async with AsyncExitStack() as stack:
        primary = await stack.enter_async_context(Upstream(models=(MODEL,), default=HEALTHY))
        secondary = await stack.enter_async_context(Upstream(models=(MODEL,), default=HEALTHY))
        judge = await stack.enter_async_context(Upstream(models=(MODEL,), default=HEALTHY))
        addresses = {
            "primary": primary.url,
            "secondary": secondary.url,
            "judge": judge.url,
            "dns": unresolvable_url(),
            "refused": stack.enter_context(refused_url()),
            "tls_plain": primary.url.replace("http://", "https://"),
        }
        # Their authority is trusted, so that what is wrong with them is what their name says.
        tls = {
            f"tls_{name}": await stack.enter_async_context(Upstream(models=(MODEL,), tls=name))
            for name in ("expired", "wrong_host", "self_signed")
        }
        addresses |= {name: upstream.url for name, upstream in tls.items()}
        authorities = [upstream.ca_file.read_text() for name, upstream in tls.items() if name != "tls_self_signed"]
        alerts: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        webhook = await stack.enter_async_context(receiver(alerts))
        secret = f"whsec_{base64.b64encode(bytes(24)).decode()}"
        folder = tmp_path_factory.mktemp("faults")
        (folder / "authorities.pem").write_text("\n".join(authorities))
        (folder / "settings.yaml").write_text(yaml.safe_dump(settings(addresses)))
        (folder / "clock").write_bytes(OFFSET.pack(0.0))
        serving = launched(
            "production",
            primary.url,
            MAINSTAY_SETTINGS=str(folder / "settings.yaml"),
            SSL_CERT_FILE=str(folder / "authorities.pem"),
            **inside("tests.e2e.faults.hostile"),
            **{CLOCK_FILE: str(folder / "clock")},
            MAINSTAY_WEBHOOK_SECRET=secret,
            MAINSTAY_ALERT_WEBHOOK_URL=webhook,
            MAINSTAY_ALERT_WEBHOOK_SECRET=secret,
            **SOONER,
        )
        served = await stack.enter_async_context(in_a_thread(serving))
        yield Site(
            served=served,
            primary=primary,
            secondary=secondary,
            judge=judge,
            tls=tls,
            alerts=alerts,
            clock=folder / "clock",
        )


def settings(addresses: dict[str, str]) -> dict[str, Any]:
    """Two providers with short timers and short openings; before them those that cannot be reached, behind them the judge's.

    The judge's cannot call tools, so no turn goes there.
    """
    return {
        "providers": [
            *(_provider(name, addresses[name], mode="forced_open") for name in UNREACHABLE),
            *(_provider(name, addresses[name], mode="auto") for name in ("primary", "secondary")),
            {**_provider("judge", addresses["judge"], mode="auto"), "tools": False},
        ],
        "evaluator": {"provider": "judge", "criteria": ["helpfulness", "safety"]},
        "retention": {"every_s": PRUNED_EVERY_S},
        "prices": {"models": {MODEL: {"input": 1.0, "output": 10.0}}},
        "security": {
            "jwt": {
                "issuer": "https://identity.invalid",
                "audience": "mainstay",
                "jwks_url": f"{addresses['refused']}/keys",
                "allow_http": True,
            }
        },
        "webhooks": {
            "allow_http": True,
            "allow_ports": [urlsplit(addresses["judge"]).port],
            "allow_private": ["127.0.0.0/8"],
        },
        "graphs": {
            HOSTILE: {
                "kind": "react",
                "description": "An agent whose tools misbehave.",
                "tools": list(TOOLS),
                "prompts": {"system": "Use your tools."},
            }
        },
        "http": {"write_timeout_s": 3.0, "heartbeat_s": 0.2},
    }


def _provider(name: str, url: str, *, mode: str) -> dict[str, Any]:
    return {
        "name": name,
        "kind": "openai",
        "model": MODEL,
        "base_url": url,
        "api_key": {"env": "OPENAI_API_KEY"},
        "max_output_tokens": 512,
        "first_token_timeout_s": FIRST_TOKEN_S,
        "inter_token_timeout_s": BETWEEN_TOKENS_S,
        "breaker": {
            "mode": mode,
            "open_s": OPEN_S,
            "open_max_s": OPEN_S,
            "auth_open_s": OPEN_S,
            "auth_open_max_s": OPEN_S,
            "quota_open_s": OPEN_S,
            "slow_start_s": 0.0,
            "window_s": 5.0,
        },
    }


@pytest_asyncio.fixture(loop_scope="session")
async def client(site: Site) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the cluster with two providers, both healthy and in service."""
    async with httpx.AsyncClient(base_url=site.served.url, headers=site.served.headers, timeout=60.0) as made:
        await heal(site, made)
        yield made
        await heal(site, made)


async def heal(site: Site, client: httpx.AsyncClient) -> None:
    """Make all providers answer, and give traffic until both are in service and the first one takes all of it again.

    So much of it that what a fault left in the breaker's window is outweighed: the next fault would open it too early.
    """
    for upstream in (site.primary, site.secondary, site.judge):
        upstream.default, upstream.script = HEALTHY, None
    async with asyncio.timeout(30):
        while (await states(client))["secondary"] != "closed":
            site.primary.default = ELSEWHERE
            await asyncio.gather(*(probe(client) for _ in range(PROBES)))
        site.primary.default = HEALTHY
        while site.primary.seen.received < PROBES or (await states(client))["primary"] != "closed":
            site.primary.seen.clear()
            await asyncio.gather(*(probe(client) for _ in range(PROBES)))
    for upstream in (site.primary, site.secondary):
        await upstream.seen.until(lambda seen: seen.open == 0)
        upstream.seen.clear()


async def earn_retries(site: Site, client: httpx.AsyncClient) -> None:
    """Have the second provider answer so often that its budget of retries allows some, whatever was spent of it before."""
    site.primary.default = ELSEWHERE
    for _ in range(ENOUGH_FOR_RETRIES // PROBES):
        await asyncio.gather(*(probe(client) for _ in range(PROBES)))


async def probe(client: httpx.AsyncClient) -> None:
    await client.post("/chat/stream", json={"messages": [{"role": "user", "content": "hello"}]})


async def states(client: httpx.AsyncClient) -> dict[str, str]:
    """The state of every provider's breaker in the one agent replica."""
    shown = (await client.get("/readyz")).json()["breakers"]
    return {name: next(iter(counts)) for name, counts in shown.items()}


async def until_state(client: httpx.AsyncClient, provider: str, wanted: str) -> None:
    """Ask until a breaker is in this state: a server under test has no event that we could wait for."""
    async with asyncio.timeout(20):
        while (await states(client))[provider] != wanted:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def until_all_go_to_the_first(site: Site, client: httpx.AsyncClient) -> None:
    """Ask until the first provider has all traffic again; 20 s at most."""
    async with asyncio.timeout(20):
        while site.primary.seen.received < PROBES or site.secondary.seen.received:
            site.primary.seen.clear()
            site.secondary.seen.clear()
            await asyncio.gather(*(probe(client) for _ in range(PROBES)))
