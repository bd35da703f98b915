"""What becomes of refusals: each is counted, and an audit trail tells of those that a tenant can be named for.

A 401 for a key that nobody has, or for a token, is nobody's: it is counted and logged. One for a key that is over is its
tenant's, and a 403 is the tenant's of whoever asked. A flood of those is no flood of writes: what is alike within a minute is
one event with a count, of which there are `MAX_EVENTS` at most, `MAX_OF_TENANT` of one tenant; what goes beyond is counted.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.errors import StoreUnavailable
from services.security.audit import AuditAction, AuditEvent, AuditTrail
from services.security.keys import ApiKey
from services.security.permissions import Permission
from services.security.refusals import Reason, RefusalLog
from services.telemetry.metrics import ACCESS_REFUSED, AUDIT_EVENTS_DROPPED, PERMISSION_DENIED, Meter
from services.types import Principal

logger = logging.getLogger(__name__)

EVERY_S = 60.0
MAX_EVENTS = 200
MAX_OF_TENANT = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attempt:
    """What makes two attempts the same event."""

    tenant_id: str
    action: AuditAction
    user_id: str
    key_id: UUID | None
    target: str
    reason: Reason | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tally:
    """How often it happened, and when first and last."""

    times: int
    first_at: datetime
    last_at: datetime

    def __add__(self, later: "_Tally") -> "_Tally":
        return _Tally(times=self.times + later.times, first_at=self.first_at, last_at=later.last_at)


class SecurityWatch:
    """Implements `services.security.refusals.Watch`. One per ingress replica: start it on the loop that uses it, and close it.

    What it has heard since the last minute is lost with the replica. What the store may have taken although it gave no answer
    is told again a minute later.
    """

    def __init__(
        self,
        trail: AuditTrail,
        log: RefusalLog,
        meter: Meter,
        *,
        new_id: Callable[[], UUID],
        now: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._trail = trail
        self._log = log
        self._meter = meter
        self._new_id = new_id
        self._now = now
        self._sleep = sleep
        self._tallies: dict[_Attempt, _Tally] = {}
        self._of_tenant: Counter[str] = Counter()
        self._telling: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._telling = asyncio.create_task(self._forever())

    def refused(self, reason: Reason, key: ApiKey | None = None) -> None:
        self._meter.record(ACCESS_REFUSED, 1, {"reason": reason})
        self._log.refused(reason)
        if key is not None:
            self._heard(
                _Attempt(
                    tenant_id=key.tenant_id,
                    action=AuditAction.ACCESS_REFUSED,
                    user_id=key.user_id,
                    key_id=key.id,
                    target=str(key.id),
                    reason=reason,
                )
            )

    def denied(self, principal: Principal, permission: Permission) -> None:
        self._meter.record(PERMISSION_DENIED, 1, {"permission": permission})
        self._heard(
            _Attempt(
                tenant_id=principal.tenant_id,
                action=AuditAction.PERMISSION_DENIED,
                user_id=principal.user_id,
                key_id=principal.key_id,
                target=permission,
            )
        )

    async def tell(self) -> None:
        """Store what was heard; what cannot be stored now is kept for the next time."""
        heard, self._tallies, self._of_tenant = self._tallies, {}, Counter()
        if not heard:
            return
        try:
            await self._trail.add([self._event(attempt, tally) for attempt, tally in heard.items()])
        except StoreUnavailable:
            meanwhile, self._tallies, self._of_tenant = self._tallies, {}, Counter()
            for tallies in (heard, meanwhile):
                for attempt, tally in tallies.items():
                    self._count(attempt, tally)

    async def aclose(self) -> None:
        """Tell what is left, once."""
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.wait([self._telling])
        await self.tell()

    async def _forever(self) -> None:
        while True:
            await self._sleep(EVERY_S)
            # gather makes whatever telling raises a value: nobody awaits this task, so an error that ended it would go unseen.
            [told] = await asyncio.gather(self.tell(), return_exceptions=True)
            if isinstance(told, BaseException):
                logger.error("refusals could not be put on record, and are lost", exc_info=told)

    def _heard(self, attempt: _Attempt) -> None:
        now = self._now()
        self._count(attempt, _Tally(times=1, first_at=now, last_at=now))

    def _count(self, attempt: _Attempt, tally: _Tally) -> None:
        before = self._tallies.get(attempt)
        if before is not None:
            self._tallies[attempt] = before + tally
        elif len(self._tallies) < MAX_EVENTS and self._of_tenant[attempt.tenant_id] < MAX_OF_TENANT:
            self._tallies[attempt] = tally
            self._of_tenant[attempt.tenant_id] += 1
        else:
            self._meter.record(AUDIT_EVENTS_DROPPED, tally.times, {})

    def _event(self, attempt: _Attempt, tally: _Tally) -> AuditEvent:
        return AuditEvent(
            id=self._new_id(),
            tenant_id=attempt.tenant_id,
            action=attempt.action,
            user_id=attempt.user_id,
            key_id=attempt.key_id,
            target=attempt.target,
            details=_details(attempt, tally),
        )


def _details(attempt: _Attempt, tally: _Tally) -> Mapping[str, str]:
    said = {
        "times": str(tally.times),
        "first_at": tally.first_at.isoformat(timespec="seconds"),
        "last_at": tally.last_at.isoformat(timespec="seconds"),
    }
    return said if attempt.reason is None else {"reason": str(attempt.reason), **said}
