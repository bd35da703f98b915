"""Budgets: how much money and how many tokens a user and a tenant may spend in a month, and one run at all.

What a model call can cost at most is reserved before it is made, in one statement with the question whether the budgets cover
it; what it did cost replaces the reservation afterwards. So what is spent and what is reserved never pass a budget together,
however many replicas ask at once. A reservation whose replica died is settled by whoever takes its run over, or after a time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """Money, in millionths of the currency, and model tokens, input and output together."""

    micros: int = 0
    tokens: int = 0

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(micros=self.micros + other.micros, tokens=self.tokens + other.tokens)


NOTHING = Amount()


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """At most so much; None is without limit."""

    micros: int | None = None
    tokens: int | None = None

    def covers(self, amount: Amount) -> bool:
        return not (
            (self.micros is not None and amount.micros > self.micros)
            or (self.tokens is not None and amount.tokens > self.tokens)
        )

    def share_of(self, amount: Amount) -> float:
        """Return which part of it, money or tokens, is used up by that amount: 1.0 is all. 0 where there is no limit."""
        return max(
            0.0 if self.micros is None else amount.micros / max(self.micros, 1),
            0.0 if self.tokens is None else amount.tokens / max(self.tokens, 1),
        )


UNBOUNDED = Budget()


@dataclass(frozen=True, slots=True, kw_only=True)
class Budgets:
    """Of one plan: a user's and a tenant's, by calendar month (UTC), and a single run's."""

    user: Budget = UNBOUNDED
    tenant: Budget = UNBOUNDED
    run: Budget = UNBOUNDED


WITHOUT_BUDGETS = Budgets()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """What one model call may cost at most. `expected` is what it is taken to have cost if nobody is left to say."""

    id: UUID
    run_id: UUID
    attempt: int
    tenant_id: str
    user_id: str
    amount: Amount
    expected: Amount


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What a reserved call did cost."""

    reservation_id: UUID
    amount: Amount


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What was spent in a month by a user, or, with the empty `user_id`, by the whole tenant. `month` is its first day."""

    tenant_id: str
    user_id: str
    month: date
    spent: Amount = NOTHING
    reserved: Amount = NOTHING

    @property
    def owed(self) -> Amount:
        return self.spent + self.reserved


WHOLE_TENANT = ""


class BudgetStore(Protocol):
    """Accounts and reservations, for all replicas. Every method raises StoreUnavailable."""

    async def reserve(self, reservation: Reservation, user: Budget, tenant: Budget) -> Account | None:
        """Reserve the amount in both accounts of this month, or nothing where one budget does not cover it: then return that
        account.
        """
        ...

    async def settle(self, bills: Sequence[Bill]) -> Sequence[Account]:
        """Replace reservations by what was spent, and return the accounts as they are then. One that is settled stays so."""
        ...

    async def abandon(self, run_id: UUID, *, before_attempt: int) -> Sequence[Account]:
        """Settle what earlier attempts at the run have left reserved, as expected."""
        ...

    async def abandon_old(self, older_than_s: float) -> Sequence[Account]:
        """Settle what was reserved so long ago, as expected: whoever made it is gone."""
        ...

    async def account(self, tenant_id: str, user_id: str, month: date | None = None) -> Account:
        """Return an account, of this month if none is named; one that does not exist is empty."""
        ...

    async def accounts(
        self, tenant_id: str, month: date | None = None, *, limit: int, after: str = WHOLE_TENANT
    ) -> Sequence[Account]:
        """Return the accounts of a tenant's users in the order of their names, from behind `after`."""
        ...

    async def alert(self, account: Account, percent: int) -> bool:
        """Note that so much of the account's budget is used up, and return whether nobody has noted that, or more, before."""
        ...
