"""Budgets in Postgres, which is the authority on what was spent."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any
from uuid import UUID

from services.limits.budgets import WHOLE_TENANT, Account, Amount, Bill, Budget, Reservation
from services.storage.database import Database

_THIS_MONTH = "date_trunc('month', now() AT TIME ZONE 'UTC')::date"
# Accounts are always locked in the order of their key, the tenant's before its users'. Their sums are read with the lock, so
# nothing that somebody else has reserved meanwhile is missed.
_RESERVE = f"""
WITH account AS MATERIALIZED (
    SELECT * FROM budget_accounts
    WHERE tenant_id = $1 AND user_id IN ('', $2) AND month = {_THIS_MONTH} ORDER BY user_id FOR UPDATE
), judged AS MATERIALIZED (
    SELECT *, (
        spent_micros + reserved_micros + $6::bigint > CASE user_id WHEN '' THEN $12::bigint ELSE $10::bigint END
        OR spent_tokens + reserved_tokens + $7::bigint > CASE user_id WHEN '' THEN $13::bigint ELSE $11::bigint END
    ) IS TRUE AS short
    FROM account
), verdict AS (
    SELECT count(*) = 2 AND NOT bool_or(short) AS covered FROM judged
), held AS (
    UPDATE budget_accounts SET reserved_micros = budget_accounts.reserved_micros + $6,
        reserved_tokens = budget_accounts.reserved_tokens + $7
    FROM judged, verdict WHERE covered AND budget_accounts.tenant_id = $1
        AND budget_accounts.user_id = judged.user_id AND budget_accounts.month = judged.month
), made AS (
    INSERT INTO budget_reservations (id, run_id, attempt, tenant_id, user_id, month, micros, tokens,
                                     expected_micros, expected_tokens)
    SELECT $3, $4, $5, $1, $2, {_THIS_MONTH}, $6, $7, $8, $9 FROM verdict WHERE covered
)
SELECT judged.*, covered FROM judged, verdict
"""  # noqa: S608  # a constant of ours
_OPEN = f"""
INSERT INTO budget_accounts (tenant_id, user_id, month)
SELECT $1, user_id, {_THIS_MONTH} FROM unnest(ARRAY['', $2]) AS a (user_id) ORDER BY user_id
ON CONFLICT DO NOTHING
"""  # noqa: S608  # a constant of ours
_SETTLED = """
WITH bill AS ({bills}), gone AS (
    DELETE FROM budget_reservations AS made USING bill WHERE made.id = bill.id
    RETURNING made.tenant_id, made.user_id, month, made.micros AS held_micros, made.tokens AS held_tokens,
              bill.micros, bill.tokens
), owed AS (
    SELECT tenant_id, owner AS user_id, month, sum(micros) AS micros, sum(tokens) AS tokens,
           sum(held_micros) AS held_micros, sum(held_tokens) AS held_tokens
    FROM gone CROSS JOIN LATERAL (VALUES (''), (user_id)) AS a (owner) GROUP BY 1, 2, 3
), locked AS MATERIALIZED (
    SELECT account.tenant_id, account.user_id, account.month
    FROM budget_accounts AS account JOIN owed USING (tenant_id, user_id, month)
    ORDER BY 1, 2, 3 FOR UPDATE OF account
)
UPDATE budget_accounts AS account SET
    spent_micros = spent_micros + owed.micros, reserved_micros = reserved_micros - owed.held_micros,
    spent_tokens = spent_tokens + owed.tokens, reserved_tokens = reserved_tokens - owed.held_tokens
FROM locked JOIN owed USING (tenant_id, user_id, month)
WHERE account.tenant_id = locked.tenant_id AND account.user_id = locked.user_id AND account.month = locked.month
RETURNING account.*
"""
_SETTLE = _SETTLED.format(
    bills="SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) AS b (id, micros, tokens)"
)
_AS_EXPECTED = """
    SELECT id, expected_micros AS micros, expected_tokens AS tokens FROM budget_reservations WHERE {which}
    ORDER BY id FOR UPDATE SKIP LOCKED
"""
_ABANDON = _SETTLED.format(bills=_AS_EXPECTED.format(which="run_id = $1 AND attempt < $2"))
_ABANDON_OLD = _SETTLED.format(bills=_AS_EXPECTED.format(which="made_at < now() - make_interval(secs => $1)"))
_ABANDON_USERS = _SETTLED.format(bills=_AS_EXPECTED.format(which="tenant_id = $1 AND user_id = $2"))
_ACCOUNT = f"""
SELECT * FROM budget_accounts WHERE tenant_id = $1 AND user_id = $2 AND month = coalesce($3, {_THIS_MONTH})
"""  # noqa: S608  # a constant of ours
_ACCOUNTS = f"""
SELECT * FROM budget_accounts WHERE tenant_id = $1 AND month = coalesce($2, {_THIS_MONTH}) AND user_id > $3
ORDER BY user_id LIMIT $4
"""  # noqa: S608  # a constant of ours
_ALERT = """
UPDATE budget_accounts SET alerted_percent = $4
WHERE tenant_id = $1 AND user_id = $2 AND month = $3 AND alerted_percent < $4 RETURNING true
"""


class BudgetRepository:
    """`services.limits.budgets.BudgetStore` in Postgres."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def reserve(self, reservation: Reservation, user: Budget, tenant: Budget) -> Account | None:
        """Reserve in both accounts or in none. The first reservation of a month costs two more statements."""
        owner = (reservation.tenant_id, reservation.user_id)
        asked = (
            *owner,
            reservation.id,
            reservation.run_id,
            reservation.attempt,
            reservation.amount.micros,
            reservation.amount.tokens,
            reservation.expected.micros,
            reservation.expected.tokens,
            user.micros,
            user.tokens,
            tenant.micros,
            tenant.tokens,
        )
        async with self._database.raw() as connection:
            while len(rows := await connection.fetch(_RESERVE, *asked)) < 2:
                await connection.execute(_OPEN, *owner)
        short = [row for row in rows if row["short"]]
        return _account(short[0]) if short else None

    async def settle(self, bills: Sequence[Bill]) -> Sequence[Account]:
        async with self._database.raw() as connection:
            rows = await connection.fetch(
                _SETTLE,
                [bill.reservation_id for bill in bills],
                [bill.amount.micros for bill in bills],
                [bill.amount.tokens for bill in bills],
            )
        return [_account(row) for row in rows]

    async def abandon(self, run_id: UUID, *, before_attempt: int) -> Sequence[Account]:
        async with self._database.raw() as connection:
            rows = await connection.fetch(_ABANDON, run_id, before_attempt)
        return [_account(row) for row in rows]

    async def abandon_old(self, older_than_s: float) -> Sequence[Account]:
        async with self._database.raw() as connection:
            rows = await connection.fetch(_ABANDON_OLD, older_than_s)
        return [_account(row) for row in rows]

    async def abandon_users(self, tenant_id: str, user_id: str) -> None:
        """Settle whatever a user has left reserved, as expected: for one who is erased."""
        async with self._database.raw() as connection:
            await connection.execute(_ABANDON_USERS, tenant_id, user_id)

    async def account(self, tenant_id: str, user_id: str, month: date | None = None) -> Account:
        async with self._database.raw() as connection:
            row = await connection.fetchrow(_ACCOUNT, tenant_id, user_id, month)
            first_day = month or await connection.fetchval(f"SELECT {_THIS_MONTH}")  # a constant of ours
        return Account(tenant_id=tenant_id, user_id=user_id, month=first_day) if row is None else _account(row)

    async def accounts(
        self, tenant_id: str, month: date | None = None, *, limit: int, after: str = WHOLE_TENANT
    ) -> Sequence[Account]:
        async with self._database.raw() as connection:
            rows = await connection.fetch(_ACCOUNTS, tenant_id, month, after, limit)
        return [_account(row) for row in rows]

    async def alert(self, account: Account, percent: int) -> bool:
        async with self._database.raw() as connection:
            noted = await connection.fetchval(_ALERT, account.tenant_id, account.user_id, account.month, percent)
        return bool(noted)


def _account(row: Mapping[str, Any]) -> Account:
    return Account(
        tenant_id=row["tenant_id"],
        user_id=row["user_id"],
        month=row["month"],
        spent=Amount(micros=row["spent_micros"], tokens=row["spent_tokens"]),
        reserved=Amount(micros=row["reserved_micros"], tokens=row["reserved_tokens"]),
    )
