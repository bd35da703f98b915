"""The first key is an administrator's: with it others are made, which open what they are for, until they are revoked."""

import httpx

from tests.e2e.launching import Served
from tests.e2e.streams import ask, text_of


async def test_an_administrator_lets_somebody_in(client: httpx.AsyncClient, served: Served) -> None:
    """On any replica; a narrow key reads and asks nothing, and the record says who did what, without any key."""
    made = [
        (await client.post("/admin/keys", json={"user_id": "ann", "scopes": scopes})).json()
        for scopes in (None, ["runs:read"])
    ]
    whole, narrow = ({"authorization": f"Bearer {key['key']}"} for key in made)
    async with httpx.AsyncClient(base_url=served.url, headers=whole, timeout=60.0) as hers:
        received = await ask(hers, "hello")
        assert text_of(received)
        run_path = f"/runs/{received[0].data['run_id']}"
        assert (await hers.get("/admin/keys")).status_code == 403
    async with httpx.AsyncClient(base_url=served.url, headers=narrow, timeout=60.0) as reading:
        assert (await reading.get(run_path)).json()["status"] == "completed"
        refused = await reading.post("/chat/stream", json={"messages": [{"role": "user", "content": "hello"}]})
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "permission_denied")
    assert (await client.get(run_path)).status_code == 404
    trail = await client.get("/admin/audit")
    created = [event["target"] for event in trail.json()["events"] if event["action"] == "key_created"]
    assert created[:2] == [key["id"] for key in reversed(made)]
    assert not any(key["key"][15:] in trail.text for key in made)
