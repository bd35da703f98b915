"""Who may ask for how much: plans, by tenant."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from services.limits.budgets import WITHOUT_BUDGETS, Budgets
from services.limits.quota import Charge, Quota
from services.limits.stores import Slots
from services.types import Principal


class RouteClass(StrEnum):
    """What kind of request it is: each has a quota of its own, so that reading does not eat up the runs."""

    RUNS = "runs"
    READS = "reads"
    WRITES = "writes"
    ADMIN = "admin"


class Scope(StrEnum):
    """Whose quota it is."""

    USER = "user"
    TENANT = "tenant"


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What one user, or one tenant, may ask for; what is not named is not limited.

    `tokens` are a model's, input and output together, over all runs. `concurrent_runs` are those that a client waits for.
    """

    requests: Mapping[RouteClass, Quota] = field(default_factory=dict)
    tokens: Quota | None = None
    concurrent_runs: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`budgets` are of money and tokens in a month, and of one run; the allowances are of what comes back by itself."""

    user: Allowance = Allowance()
    tenant: Allowance = Allowance()
    budgets: Budgets = WITHOUT_BUDGETS

    def scopes(self) -> Iterator[tuple[Scope, Allowance]]:
        yield Scope.USER, self.user
        yield Scope.TENANT, self.tenant


UNLIMITED = Plan()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plans:
    """The plan of every tenant: the one that `tenants` gives it, or the default."""

    default: Plan = UNLIMITED
    tenants: Mapping[str, Plan] = field(default_factory=dict)

    def of(self, tenant_id: str) -> Plan:
        return self.tenants.get(tenant_id, self.default)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One quota that a request is under: what is limited (`requests` or `tokens`), whose it is, and what is charged."""

    what: str
    scope: Scope
    charge: Charge


def request_limits(plan: Plan, principal: Principal, route: RouteClass) -> list[Limit]:
    """Return what a request of this class is charged."""
    return [
        Limit(what="requests", scope=scope, charge=Charge(key=key_of(route, scope, principal), quota=quota))
        for scope, allowance in plan.scopes()
        if (quota := allowance.requests.get(route)) is not None
    ]


def token_limits(plan: Plan, principal: Principal, expected: float) -> list[Limit]:
    """Return what a run is charged that is expected to need so many model tokens: of each quota at most all of it."""
    return [
        Limit(
            what="tokens",
            scope=scope,
            charge=Charge(key=key_of("tokens", scope, principal), quota=quota, units=min(expected, float(quota.size))),
        )
        for scope, allowance in plan.scopes()
        if (quota := allowance.tokens) is not None
    ]


def token_bills(plan: Plan, principal: Principal, *, used: float, expected: float) -> list[Charge]:
    """Return what settles `token_limits`: what was used beyond what was charged, or, negative, what is given back of it."""
    charged = [limit.charge for limit in token_limits(plan, principal, expected)]
    return [replace(charge, units=used - charge.units) for charge in charged]


def run_slots(plan: Plan, principal: Principal) -> list[tuple[Scope, Slots]]:
    """Return the slots that a run holds while it is at work."""
    return [
        (scope, Slots(key=key_of("concurrent", scope, principal), limit=allowance.concurrent_runs))
        for scope, allowance in plan.scopes()
        if allowance.concurrent_runs is not None
    ]


def key_of(what: str, scope: Scope, principal: Principal) -> bytes:
    """Return the key of a bucket: a digest, so that it has one size, and names nobody where it is stored."""
    owner = (principal.tenant_id, principal.user_id) if scope is Scope.USER else (principal.tenant_id,)
    # Names may hold any character: their lengths keep two pairs that read the same when joined apart.
    parts = (what, scope, *owner)
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
