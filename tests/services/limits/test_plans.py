"""Whose bucket is whose."""

from itertools import combinations

from services.limits.plans import Allowance, Plan, Plans, RouteClass, Scope, key_of, request_limits, run_slots
from services.limits.quota import Quota
from services.types import Principal

ONE = Quota(limit=1)


def test_no_two_owners_and_no_two_kinds_share_a_bucket() -> None:
    """Names that read the same when they are joined are told apart, and so are a user and a tenant of one name."""
    who = [
        Principal(tenant_id="acme", user_id="ada"),
        Principal(tenant_id="acmea", user_id="da"),
        Principal(tenant_id="acme:a", user_id="da"),
        Principal(tenant_id="acme", user_id=""),
        Principal(tenant_id="", user_id="acme"),
    ]
    keys = [key_of(what, Scope.USER, each) for each in who for what in ("runs", "tokens", *RouteClass) if what != "x"]
    assert len(set(keys)) == len(who) * 5
    tenants = {key_of("tokens", Scope.TENANT, each) for each in who}
    assert len(tenants) == 4
    assert not tenants & set(keys)


def test_colleagues_share_their_tenants_bucket_and_no_other() -> None:
    plan = Plan(user=Allowance(requests={RouteClass.RUNS: ONE}), tenant=Allowance(requests={RouteClass.RUNS: ONE}))
    ada, eve, bob = (
        request_limits(plan, Principal(tenant_id=tenant, user_id=user), RouteClass.RUNS)
        for tenant, user in (("acme", "ada"), ("acme", "eve"), ("other", "ada"))
    )
    assert ada[1].charge.key == eve[1].charge.key
    for one, another in combinations((ada, bob), 2):
        assert {limit.charge.key for limit in one}.isdisjoint(limit.charge.key for limit in another)
    assert ada[0].charge.key != eve[0].charge.key


def test_what_a_plan_does_not_name_is_not_limited() -> None:
    ada = Principal(tenant_id="acme", user_id="ada")
    assert request_limits(Plan(), ada, RouteClass.READS) == []
    assert run_slots(Plan(), ada) == []


def test_a_tenant_has_its_own_plan_or_the_default() -> None:
    large = Plan(user=Allowance(concurrent_runs=100))
    plans = Plans(default=Plan(user=Allowance(concurrent_runs=1)), tenants={"acme": large})
    assert plans.of("acme") is large
    assert plans.of("other").user.concurrent_runs == 1
