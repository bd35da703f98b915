"""Budgets in one process, for unit tests."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import date, datetime
from uuid import UUID

from services.limits.budgets import NOTHING, WHOLE_TENANT, Account, Amount, Bill, Budget, Reservation

_Key = tuple[str, str, date]


class MemoryBudgets:
    """`BudgetStore` in memory."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._accounts: dict[_Key, Account] = {}
        self._reserved: dict[UUID, tuple[Reservation, date, datetime]] = {}
        self._alerted: dict[_Key, int] = {}

    async def reserve(self, reservation: Reservation, user: Budget, tenant: Budget) -> Account | None:
        month = self._month()
        owners = ((WHOLE_TENANT, tenant), (reservation.user_id, user))
        for user_id, budget in owners:
            account = self._account((reservation.tenant_id, user_id, month))
            if not budget.covers(account.owed + reservation.amount):
                return account
        self._reserved[reservation.id] = (reservation, month, self._now())
        for user_id, _ in owners:
            self._change((reservation.tenant_id, user_id, month), reserved=reservation.amount)
        return None

    async def settle(self, bills: Sequence[Bill]) -> Sequence[Account]:
        return self._settle((bill.reservation_id, bill.amount) for bill in bills)

    async def abandon(self, run_id: UUID, *, before_attempt: int) -> Sequence[Account]:
        return self._settle(
            (id_, made.expected)
            for id_, (made, _, _) in list(self._reserved.items())
            if made.run_id == run_id and made.attempt < before_attempt
        )

    async def abandon_old(self, older_than_s: float) -> Sequence[Account]:
        return self._settle(
            (id_, made.expected)
            for id_, (made, _, at) in list(self._reserved.items())
            if (self._now() - at).total_seconds() > older_than_s
        )

    async def account(self, tenant_id: str, user_id: str, month: date | None = None) -> Account:
        return self._account((tenant_id, user_id, month or self._month()))

    async def accounts(
        self, tenant_id: str, month: date | None = None, *, limit: int, after: str = WHOLE_TENANT
    ) -> Sequence[Account]:
        month = month or self._month()
        of_users = sorted(key for key in self._accounts if key[0] == tenant_id and key[1] > after and key[2] == month)
        return [self._accounts[key] for key in of_users[:limit]]

    async def alert(self, account: Account, percent: int) -> bool:
        key = (account.tenant_id, account.user_id, account.month)
        new = self._alerted.get(key, 0) < percent
        self._alerted[key] = max(percent, self._alerted.get(key, 0))
        return new

    def _settle(self, bills: Iterable[tuple[UUID, Amount]]) -> Sequence[Account]:
        changed: dict[_Key, Account] = {}
        for reservation_id, amount in bills:
            if reservation_id not in self._reserved:
                continue
            made, month, _ = self._reserved.pop(reservation_id)
            held = Amount(micros=-made.amount.micros, tokens=-made.amount.tokens)
            for user_id in (WHOLE_TENANT, made.user_id):
                key = (made.tenant_id, user_id, month)
                changed[key] = self._change(key, spent=amount, reserved=held)
        return list(changed.values())

    def _account(self, key: _Key) -> Account:
        return self._accounts.get(key) or Account(tenant_id=key[0], user_id=key[1], month=key[2])

    def _change(self, key: _Key, *, spent: Amount = NOTHING, reserved: Amount = NOTHING) -> Account:
        account = self._account(key)
        self._accounts[key] = replace(account, spent=account.spent + spent, reserved=account.reserved + reserved)
        return self._accounts[key]

    def _month(self) -> date:
        return self._now().date().replace(day=1)
