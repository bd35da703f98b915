"""What was spent, over HTTP: one's own, and the tenant's for whoever keeps the books."""

import pytest
from uuid_utils.compat import uuid7

from services.limits.budgets import UNBOUNDED, Amount, Bill, Budget, Budgets, Reservation
from services.limits.plans import Plan, Plans
from tests.deployments.http.fakes import ADMIN_KEY, KEY, OTHER_KEY, Rig

AMOUNT = Amount(micros=1_500_000, tokens=1_200)


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


async def spent(rig: Rig, key: str, amount: Amount = AMOUNT, *, settled: bool = True) -> None:
    who = rig.authenticator.principals[key]
    call = Reservation(
        id=uuid7(),
        run_id=uuid7(),
        attempt=1,
        tenant_id=who.tenant_id,
        user_id=who.user_id,
        amount=amount,
        expected=amount,
    )
    await rig.budgets.reserve(call, UNBOUNDED, UNBOUNDED)
    if settled:
        await rig.budgets.settle([Bill(reservation_id=call.id, amount=amount)])


async def test_everybody_sees_what_they_have_spent_and_may_spend() -> None:
    rig = Rig(plans=Plans(default=Plan(budgets=Budgets(user=Budget(micros=20_000_000)))))
    await spent(rig, KEY)
    await spent(rig, KEY, Amount(micros=1, tokens=1), settled=False)
    async with rig.client() as client:
        body = (await client.get("/usage")).json()
    assert body == {
        "currency": "USD",
        "month": "2026-11",
        "spent": {"money": 1.5, "tokens": 1_200},
        "reserved": {"money": 0.000001, "tokens": 1},
        "budget": {"money": 20.0, "tokens": None},
    }


async def test_other_months_and_strangers_are_empty() -> None:
    rig = Rig()
    await spent(rig, KEY)
    nothing = {"money": 0.0, "tokens": 0}
    async with rig.client() as client:
        assert (await client.get("/usage", params={"month": "2026-10"})).json()["spent"] == nothing
    async with rig.client(bearer(OTHER_KEY)) as client:
        assert (await client.get("/usage")).json()["spent"] == nothing


@pytest.mark.parametrize("month", ["2026-13", "2026-1", "november", "1999-01", "2026-11-29"])
async def test_a_month_that_is_none_is_refused(month: str) -> None:
    async with Rig().client() as client:
        answer = await client.get("/usage", params={"month": month})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "month")


async def test_an_operator_sees_the_tenant_and_each_of_its_users() -> None:
    rig = Rig()
    for key in (KEY, ADMIN_KEY, OTHER_KEY):
        await spent(rig, key)
    async with rig.client(bearer(ADMIN_KEY)) as client:
        body = (await client.get("/admin/usage", params={"limit": 1})).json()
        rest = (await client.get("/admin/usage", params={"after": body["next_after"]})).json()
    assert body["tenant"]["spent"] == {"money": 3.0, "tokens": 2_400}
    assert [user["user_id"] for user in body["users"]] == ["ada"]
    assert [user["user_id"] for user in rest["users"]] == ["root"]
    assert rest["next_after"] is None


async def test_a_name_that_no_store_can_hold_is_refused() -> None:
    async with Rig().client(bearer(ADMIN_KEY)) as client:
        answer = await client.get("/admin/usage", params={"after": "a\0b"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "after")


async def test_whoever_has_nothing_left_begins_no_run_and_is_told_not_to_come_back() -> None:
    """Nothing is stored, and no SDK retries it."""
    rig = Rig(plans=Plans(default=Plan(budgets=Budgets(user=Budget(tokens=1_000)))))
    await spent(rig, KEY)
    async with rig.client() as client:
        answer = await client.post(
            "/v1/chat/completions", json={"model": "react", "messages": [{"role": "user", "content": "hi"}]}
        )
        reading = await client.get("/threads")
    assert answer.status_code == 429
    error = answer.json()["error"]
    assert (error["code"], error["retryable"], error["next"]) == ("budget_exceeded", False, "none")
    assert answer.headers["x-should-retry"] == "false"
    assert "retry-after" not in answer.headers
    assert rig.all_runs == []
    assert reading.status_code == 200
