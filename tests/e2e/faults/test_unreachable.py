"""Providers that no HTTP reaches, each taken into service while Mainstay runs."""

import httpx
import pytest

from tests.e2e.faults.conftest import Site, states, until_state
from tests.e2e.faults.looking import look, measured, record_of, serving, until_measured
from tests.e2e.faults.operating import user_config
from tests.e2e.faults.rows import Part, Row, proves

CALLS = "ray_mainstay_model_calls_total"

CODES = {
    "dns": ("its host name is not known", "model_name_unresolved"),
    "refused": ("nobody listens at its port", "model_unreachable"),
    "tls_expired": ("its certificate has expired", "model_tls_failed"),
    "tls_wrong_host": ("its certificate is another host's", "model_tls_failed"),
    "tls_self_signed": ("its certificate is its own", "model_tls_failed"),
    "tls_plain": ("it does not speak TLS", "model_tls_failed"),
}
"""What is wrong with each provider, and the code that its calls are counted under."""


@proves(
    *(
        Row(
            part=Part.PROVIDERS,
            rows="22",
            fault=wrong,
            client="a whole answer, of the next provider",
            record=f"completed; the call is counted as `{code}`",
            breaker="open",
            attempts="1",
        )
        for wrong, code in CODES.values()
    )
)
@pytest.mark.parametrize("provider", CODES)
async def test_out_of_reach(provider: str, site: Site, client: httpx.AsyncClient) -> None:
    """An operator takes it into service, without a restart: the next provider answers, and the failure has its own code."""
    replicas, code = serving(site.served), CODES[provider][1]
    assert not await measured(site.served, CALLS, provider=provider)
    for upstream in site.tls.values():
        upstream.seen.clear()  # the launcher has been there
    async with user_config(site.served, "agent", breakers={provider: {"mode": "auto"}}):
        await until_state(client, provider, "half-open")
        view = await look(client, "hello")
        assert view.answered
        assert (await record_of(client, view.run_id))["status"] == "completed"
        assert (site.primary.seen.received, site.secondary.seen.received) == (1, 0)
        await until_state(client, provider, "open")
        await until_measured(site.served, CALLS, provider=provider, outcome=code)
        assert await measured(site.served, CALLS, provider=provider) == 1
        if provider in site.tls:
            assert (site.tls[provider].seen.accepted, site.tls[provider].seen.received) == (1, 0)
    assert (await states(client))[provider] == "open"
    assert serving(site.served) == replicas
