"""The watch over what was judged: one replica at a time takes it in, in turns of a transaction each.

Whoever leads goes on leading for as long as it takes turns; another replica takes over `lease_s` after its last one.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import NoReturn, Protocol
from uuid import UUID

from evaluation.drift.alerts import news_of, version_of
from evaluation.drift.series import DriftPolicy, Watched
from services.alerts.types import Alert
from services.errors import StoreUnavailable
from services.judged import REBASELINED, Judged, Series, StoredSeries, Watching
from services.telemetry.metrics import ALERTS, DRIFT, UNMEASURED, Meter

logger = logging.getLogger(__name__)

QUIET = "quiet"
"""Why an alert ends of whose series nothing more was heard: another version answers in its place."""


class DriftTurn(Protocol):
    """One turn of the replica that leads: all that it does is there afterwards, or nothing."""

    async def take(self, limit: int) -> Sequence[Judged]:
        """Take in scores, at most so many, that no turn has taken in."""
        ...

    async def find(self, series: Series) -> StoredSeries | None: ...

    async def earlier(self, series: Series) -> Sequence[tuple[str, str, str]]:
        """Return model, prompt version and state of other versions that the same judge measured, the latest first."""
        ...

    async def store(self, watching: Watching) -> Sequence[Alert]:
        """Store a series; return those of its alerts that are new. One of a kind that fires already is not raised again."""
        ...

    async def quiet(self, quiet_s: float) -> Sequence[StoredSeries]:
        """Return series of which something fires, and that have had no answer for so long."""
        ...

    async def release(self, stored: StoredSeries, state: str, resolution: str) -> None:
        """End all that fires of a series, and store what is known of it without that."""
        ...

    async def pressures(self, within_s: float) -> Mapping[tuple[str, str], float]:
        """Return by criterion and graph how near to an alert the nearest series is, of those that had an answer so lately."""
        ...


class DriftStore(Protocol):
    """Every method raises StoreUnavailable."""

    def turn(self, holder: UUID, lease_s: float) -> AbstractAsyncContextManager[DriftTurn | None]:
        """Begin a turn; None while another replica leads."""
        ...

    async def resign(self, holder: UUID) -> None:
        """Let another replica lead at once."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchPolicy:
    """A replica looks every `poll_s`, and takes in `limit` scores at a time. `quiet_s` after the last answer of a series what
    fires of it ends.
    """

    drift: DriftPolicy = field(default_factory=DriftPolicy)
    poll_s: float = 5.0
    lease_s: float = 15.0
    limit: int = 200
    quiet_s: float = 86_400.0


class Watcher:
    """The watching of one replica, which is `holder`."""

    def __init__(
        self,
        store: DriftStore,
        policy: WatchPolicy,
        *,
        holder: UUID,
        new_id: Callable[[], UUID],
        meter: Meter = UNMEASURED,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._policy = policy
        self._holder = holder
        self._new_id = new_id
        self._meter = meter
        self._sleep = sleep
        self._pressures: Mapping[tuple[str, str], float] = {}

    async def forever(self) -> NoReturn:
        """Take a turn, and the next after `poll_s`, or at once where there is more, whatever becomes of it."""
        while True:
            # gather makes whatever it raises a value: an error that ended this loop would go unseen.
            [taken] = await asyncio.gather(self.take_turn(), return_exceptions=True)
            if isinstance(taken, BaseException):
                self._pressures = {}  # another replica may lead by now
            if isinstance(taken, StoreUnavailable):
                logger.warning("scores are not watched for now: the database cannot be reached")
            elif isinstance(taken, BaseException):
                logger.error("a turn of the watch failed, and is taken again", exc_info=taken)
            if not isinstance(taken, int) or taken < self._policy.limit:
                await self._sleep(self._policy.poll_s)

    async def take_turn(self) -> int:
        """Take in what is there; return how many that were, 0 while another replica leads. Raises StoreUnavailable."""
        async with self._store.turn(self._holder, self._policy.lease_s) as turn:
            if turn is None:
                self._pressures = dict.fromkeys(self._pressures, 0.0)
                return 0
            judged = await turn.take(self._policy.limit)
            raised: list[Alert] = []
            for series, values in _by_series(judged).items():
                raised += await self._watch(turn, series, values)
            for stored in await turn.quiet(self._policy.quiet_s):
                known = Watched.from_json(stored.state or "{}") or Watched()
                await turn.release(stored, known.released().to_json(), QUIET)
            pressures = await turn.pressures(self._policy.quiet_s)
        self._pressures = pressures  # now that the turn is stored
        self._tell(raised)
        return len(judged)

    def show(self) -> None:
        """Set the gauge to what the last turn has found. Whoever calls this does so every few seconds: exporters forget a gauge
        that is not set again.
        """
        for (criterion, graph), pressure in self._pressures.items():
            self._meter.record(DRIFT, pressure, {"criterion": criterion, "graph": graph})

    async def close(self) -> None:
        """Let another replica lead at once; where that cannot be said it does so a little later."""
        try:
            await self._store.resign(self._holder)
        except StoreUnavailable:
            logger.info("the lead of the watch is left to run out: the database cannot be reached")

    async def _watch(self, turn: DriftTurn, series: Series, values: Sequence[Judged]) -> Sequence[Alert]:
        """Take in values of a series; return what was raised."""
        watched, news = await self._known(turn, series), []
        for judged in values:
            watched, changes = watched.observe(judged, self._policy.drift)
            news += [news_of(change, series, watched, self._policy.drift, self._new_id()) for change in changes]
        watching = Watching(series=series, state=watched.to_json(), answers=len(values), news=news)
        return await turn.store(watching)

    async def _known(self, turn: DriftTurn, series: Series) -> Watched:
        """Return what is known of a series. One that is new is compared with the version before it, if there is one."""
        stored = await turn.find(series)
        if stored is not None:
            return await self._restored(turn, stored)
        for model, prompt_version, state in await turn.earlier(series):
            earlier = Watched.from_json(state)
            if earlier is not None and earlier.ready(self._policy.drift):
                return earlier.successor(version_of(model, prompt_version))
        return Watched()

    async def _restored(self, turn: DriftTurn, stored: StoredSeries) -> Watched:
        """Return what was stored of a series. What cannot be read could not end its alerts either, so they end with it."""
        known = Watched() if stored.state is None else Watched.from_json(stored.state)
        if known is not None:
            return known
        series, version = stored.series, version_of(stored.series.model, stored.series.prompt_version)
        logger.warning(
            "%s of %s (%s) begins anew, and what fires of it ends: what is stored of it is of other code",
            series.criterion,
            series.graph,
            version,
        )
        await turn.release(stored, Watched().to_json(), REBASELINED)
        return Watched()

    def _tell(self, raised: Sequence[Alert]) -> None:
        """Say what a turn has raised, once it is stored."""
        for alert in raised:
            self._meter.record(ALERTS, 1, {"kind": alert.kind, "severity": alert.severity})
            logger.warning("alert %s (%s, %s): %s", alert.id, alert.kind, alert.severity, alert.summary)


def _by_series(judged: Sequence[Judged]) -> Mapping[Series, list[Judged]]:
    series: dict[Series, list[Judged]] = {}
    for one in judged:
        series.setdefault(one.series, []).append(one)
    return series
