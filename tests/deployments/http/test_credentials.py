"""Every route by every bad key and token: 401, in the same words. The rows are the application's own list of routes."""

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import orjson
import pytest
from uuid_utils.compat import uuid7

from deployments.http.app import create_app
from services.security.authenticator import Authenticator
from services.security.key_keeping import KeyRequest
from services.security.keys import new_plaintext
from services.security.permissions import GRANTS, Role
from services.security.refusals import Reason, RefusalLog
from services.security.tokens import MAX_TOKEN_CHARS
from services.security.watch import SecurityWatch
from services.telemetry.metrics import UNMEASURED
from services.types import Principal
from tests.deployments.http.fakes import NOW, PEPPER, Rig
from tests.deployments.http.route_table import ASKED, NEEDS_A_KEY_ONLY
from tests.deployments.http.token_door import TokenDoor
from tests.services.security.issuer import FORGED, START, token
from tests.services.security.records import Witness

ROUTES = [*ASKED, *NEEDS_A_KEY_ONLY, "GET /nowhere"]
ADMINS = {"realm_access": {"roles": ["mainstay-admins"]}}


class House:
    """The application with the real recognition of keys and tokens, and its provider's key set in memory."""

    def __init__(self) -> None:
        self.rig = Rig()
        self.watch = Witness()
        self.keys: dict[str, str] = {}
        door = Authenticator(
            self.rig.store.api_keys,
            PEPPER,
            self.watch,
            cache_s=0.0,
            clock=lambda: 0.0,
            now=lambda: datetime.fromtimestamp(NOW, UTC) + timedelta(seconds=60),
        )
        self.door = TokenDoor(door, self.watch)
        services = replace(self.rig.services(), authenticator=self.door, watch=self.watch)
        self.app = create_app(services, self.rig.settings)

    async def furnish(self) -> None:
        """Make a key that lives, one that has expired and one that was revoked."""
        keeping = self.rig.services().keys
        root = Principal(tenant_id="acme", user_id="root", permissions=GRANTS[Role.ADMIN])
        admin = KeyRequest(user_id="ada", role=Role.ADMIN)
        living, revoked = await keeping.create(root, admin), await keeping.create(root, admin)
        expired = await keeping.create(root, replace(admin, expires_in_s=60.0))
        await keeping.revoke(root, revoked.record.id)
        invented = living.plaintext[:-1] + ("a" if living.plaintext[-1] != "a" else "b")
        self.keys = {
            "living": living.plaintext,
            "expired": expired.plaintext,
            "revoked": revoked.plaintext,
            "half right": invented,
        }

    @asynccontextmanager
    async def client(self) -> AsyncIterator[httpx.AsyncClient]:
        transport = httpx.ASGITransport(app=self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://mainstay") as client:
            yield client

    def bad(self) -> Iterator[tuple[str, list[tuple[str, str]]]]:
        """Yield what is presented, and what that is called."""
        living = self.keys["living"]
        for name in ("expired", "revoked", "half right"):
            yield f"key: {name}", [("authorization", f"Bearer {self.keys[name]}")]
        for name, (make, _) in FORGED.items():
            yield f"token: {name}", [("authorization", f"Bearer {make()}")]
        yield "nothing", []
        yield "an empty one", [("authorization", "Bearer ")]
        yield "another scheme", [("authorization", f"Basic {living}")]
        yield "no scheme", [("authorization", living)]
        yield "in a cookie", [("cookie", f"authorization={living}")]
        yield "two", [("authorization", f"Bearer {living}"), ("x-api-key", token())]
        yield "nonsense", [("x-api-key", "nonsense")]
        yield "unknown key", [("x-api-key", new_plaintext())]
        yield "too long", [("authorization", "Bearer a.b." + "c" * MAX_TOKEN_CHARS)]


def request_of(route: str) -> tuple[str, str]:
    method, path = route.split(" ")
    return method, path.format(run_id=uuid4(), thread_id=uuid4(), memory_id=uuid4(), key_id=uuid4(), model="react")


async def told(client: httpx.AsyncClient, route: str, headers: list[tuple[str, str]]) -> tuple[int, str, str]:
    """The status, the body without the request's id, and the header that says how to come in."""
    answer = await client.request(*request_of(route), headers=headers, content=b"{}")
    error: dict[str, Any] = orjson.loads(answer.content)["error"] if answer.status_code >= 400 else {}
    error.pop("request_id", None)
    return answer.status_code, str(error), answer.headers.get("www-authenticate", "")


@pytest.mark.parametrize("route", ROUTES)
async def test_a_route_is_closed_to_every_bad_credential(route: str) -> None:
    """One status, body and header for all of them; a path that does not exist is no different, and a good one gets further."""
    house = House()
    await house.furnish()
    async with house.client() as client:
        answers = {name: await told(client, route, headers) for name, headers in house.bad()}
        assert set(answers.values()) == {(401, answers["nothing"][1], "Bearer")}
        for good in (house.keys["living"], token(**ADMINS)):
            assert (await told(client, route, [("authorization", f"Bearer {good}")]))[0] != 401
    assert len(house.watch.refusals) == len(answers)
    assert house.rig.all_runs == []


async def test_the_watch_hears_why() -> None:
    """Of the headers, as of what is in them; the caller is told the same."""
    house = House()
    await house.furnish()
    expected = {
        "nothing": Reason.ABSENT,
        "an empty one": Reason.ABSENT,
        "in a cookie": Reason.ABSENT,
        "another scheme": Reason.OTHER_SCHEME,
        "no scheme": Reason.OTHER_SCHEME,
        "two": Reason.SEVERAL,
        "too long": Reason.TOO_LONG,
        "nonsense": Reason.UNREADABLE,
        "unknown key": Reason.KEY_UNKNOWN,
        "key: half right": Reason.KEY_UNKNOWN,
        "key: expired": Reason.KEY_EXPIRED,
        "key: revoked": Reason.KEY_REVOKED,
        **{f"token: {name}": reason for name, (_, reason) in FORGED.items()},
    }
    async with house.client() as client:
        for name, headers in house.bad():
            await told(client, "GET /threads", headers)
            assert house.watch.reasons[-1] is expected.pop(name), name
    assert expected == {}


async def test_nothing_of_a_key_or_token_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """Not in an answer, not in the log at any level, not in the audit trail: neither as a whole nor its secret half."""
    house = House()
    trail = house.rig.store.audit
    log = RefusalLog(lambda: 0.0)
    house.watch.listener = SecurityWatch(trail, log, UNMEASURED, new_id=uuid7, now=lambda: START)
    await house.furnish()
    told_to: list[str] = []
    bad = list(house.bad())
    with caplog.at_level(logging.DEBUG):
        async with house.client() as client:
            for _, headers in bad:
                told_to.append((await client.get("/threads", headers=headers)).text)
            good = token(**ADMINS)
            await client.get("/admin/keys", headers={"authorization": f"Bearer {good}"})
        await house.watch.listener.tell()
    recorded = await trail.list(Principal(tenant_id="acme", user_id="x"), limit=99)
    assert {"access_refused"} < {str(event.action) for event in recorded}
    everything = "\n".join([*told_to, caplog.text, *map(repr, recorded), *(str(r.__dict__) for r in caplog.records)])
    presented = [value.rpartition(" ")[2] for _, headers in bad for _, value in headers] + [good]
    secrets = {part for one in presented for part in (one, one[15:], one.rpartition(".")[2]) if len(part) > 20}
    assert len(secrets) > 80
    assert not [secret for secret in secrets if secret in everything]
    assert "access_refused" in everything


@pytest.mark.parametrize("route", ROUTES)
async def test_without_the_providers_keys_a_token_is_503(route: str) -> None:
    """It is not the caller's fault, and may be tried again; keys go on as ever."""
    house = House()
    house.door.away = True
    await house.furnish()
    async with house.client() as client:
        answer = await client.request(*request_of(route), headers={"authorization": f"Bearer {token()}"})
        assert answer.status_code == 503
        error = answer.json()["error"]
        assert (error["code"], error["retryable"], error["next"]) == ("identity_unavailable", True, "wait")
        assert int(answer.headers["retry-after"]) >= 1
        living = [("authorization", f"Bearer {house.keys['living']}")]
        assert (await told(client, route, living))[0] not in (401, 503)


async def test_a_key_that_is_made_with_a_token_is_recorded_as_the_users() -> None:
    """Whoever came with a token has no key that could stand in the record; a user's token makes none."""
    house = House()
    async with house.client() as client:
        admin, user = ({"authorization": f"Bearer {token(**said)}"} for said in (ADMINS, {}))
        made = await client.post("/admin/keys", json={"user_id": "bob"}, headers=admin)
        refused = await client.post("/admin/keys", json={"user_id": "bob"}, headers=user)
        [event] = (await client.get("/admin/audit", headers=admin)).json()["events"]
    assert (made.status_code, refused.status_code) == (201, 403)
    assert (event["action"], event["user_id"], event["key_id"]) == ("key_created", "ada", None)
    assert event["target"] == made.json()["id"]
