"""What breakers tell of themselves, as measurements and as a line in the log."""

import logging

from services.resilience.mirror import BreakerSnapshot, BreakerState
from services.telemetry.metrics import BREAKER_CHANGES, BREAKER_STATE, Meter

logger = logging.getLogger(__name__)

STATES = {BreakerState.CLOSED: 0.0, BreakerState.HALF_OPEN: 1.0, BreakerState.OPEN: 2.0}


class BreakerReport:
    """Implements `BreakerListener`."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    def changed(self, before: BreakerSnapshot, after: BreakerSnapshot) -> None:
        self.show(after)
        if after.state is before.state:
            return
        self._meter.record(BREAKER_CHANGES, 1.0, {"breaker": after.name, "state": after.state.value})
        serious = after.state is BreakerState.OPEN
        logger.log(
            logging.ERROR if serious else logging.INFO,
            "breaker %s: %s -> %s %s",
            after.name,
            before.state.value,
            after.state.value,
            f"({after.reason}, for {after.retry_after_s:.1f} s)" if serious else "",
        )

    def show(self, breaker: BreakerSnapshot) -> None:
        """Set the gauge, so that there is a series before the first change."""
        self._meter.record(BREAKER_STATE, STATES[breaker.state], {"breaker": breaker.name})
