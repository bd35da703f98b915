"""The watch in Postgres: every score taken in once and every change told of once, whoever leads and whoever dies."""

import asyncio
from collections.abc import Mapping, Sequence
from uuid import UUID, uuid4

import pytest
from uuid_utils.compat import uuid7

from evaluation.drift.level import LevelPolicy
from evaluation.drift.series import DriftPolicy, Watched
from evaluation.drift.watcher import Watcher, WatchPolicy
from services.alerts.types import News
from services.errors import StoreUnavailable
from services.storage.alerts import AlertRepository
from services.storage.database import Database
from services.storage.drift import DriftRepository
from services.telemetry.metrics import ALERTS as ALERTS_RAISED
from services.telemetry.metrics import DRIFT, UNMEASURED, Meter, Metric
from tests.services.storage import past
from tests.services.storage.conftest import ALICE

pytestmark = pytest.mark.postgres

CHANNELS = ("webhook",)
POLICY = WatchPolicy(drift=DriftPolicy(level=LevelPolicy(warm_up=30)), limit=40, lease_s=60.0)
LONG_AGO = "UPDATE drift_leader SET expires_at = now() - interval '1 second'"


class Seen:
    """A meter that notes the kind of each alert, and the gauge as it was set since somebody looked."""

    def __init__(self) -> None:
        self.kinds: list[str] = []
        self.gauge: dict[tuple[str, str], float] = {}

    def record(self, metric: Metric, value: float, labels: Mapping[str, str]) -> None:
        if metric is ALERTS_RAISED:
            self.kinds.append(labels["kind"])
        elif metric is DRIFT:
            self.gauge[labels["criterion"], labels["graph"]] = value

    def shown_by(self, watcher: Watcher) -> dict[tuple[str, str], float]:
        self.gauge = {}
        watcher.show()
        return self.gauge


async def no_longer(_seconds: float) -> None:
    """Sleep, for a watcher that is to end where it would wait."""
    raise asyncio.CancelledError


def a_watcher(database: Database, *, lease_s: float = 60.0, meter: Meter = UNMEASURED) -> Watcher:
    store = DriftRepository(database, CHANNELS, new_id=uuid7)
    policy = WatchPolicy(drift=POLICY.drift, limit=POLICY.limit, lease_s=lease_s)
    return Watcher(store, policy, holder=uuid4(), new_id=uuid7, meter=meter, sleep=no_longer)


async def judge(database: Database, values: Sequence[float], *, prompts: str = "p1") -> None:
    """Store runs with a score each, in this order."""
    await past.turns(database, ALICE, len(values))
    await past.execute(
        database,
        """
        UPDATE scores SET value = given.value, prompt_version = $2, model = 'small',
            created_at = now() + given.place * interval '1 microsecond'
        FROM (SELECT run_id, row_number() OVER (ORDER BY run_id) AS place FROM scores WHERE model IS NULL) AS mine
        JOIN unnest($1::float8[]) WITH ORDINALITY AS given (value, place) USING (place)
        WHERE scores.run_id = mine.run_id
        """,
        list(values),
        prompts,
    )


async def drained(watcher: Watcher) -> int:
    """Take turns until there is nothing more; return how many scores were taken in."""
    taken = 0
    while more := await watcher.take_turn():
        taken += more
    return taken


async def count(database: Database, what: str) -> int:
    async with database.raw() as connection:
        return int(await connection.fetchval(f"SELECT {what}"))


UNWATCHED = "count(*) FROM scores WHERE watched_at IS NULL"
ANSWERS = "coalesce(sum(answers), 0) FROM drift_series"
ALERTS = "count(*) FROM alerts"
GOOD, BAD = [8.0, 9.0, 10.0, 9.0, 8.0] * 20, [4.0, 5.0, 6.0] * 20


async def test_replicas_that_all_lead_at_once_take_every_score_in_once(database: Database) -> None:
    """With leases that have run out as they begin, only the lock of a turn is between them: no score twice, one alert."""
    await judge(database, GOOD + BAD)
    watchers = [a_watcher(database, lease_s=0.0) for _ in range(3)]
    while await count(database, UNWATCHED):
        await asyncio.gather(*(watcher.take_turn() for watcher in watchers))
    assert await count(database, ANSWERS) == len(GOOD + BAD)
    assert await count(database, ALERTS) == 1
    assert await count(database, "count(*) FROM alert_deliveries") == 1


async def test_a_judge_that_was_spoken_to_is_in_no_series(database: Database) -> None:
    """Whoever writes what is judged would have a say in what is usual."""
    await judge(database, GOOD)
    await past.execute(database, "UPDATE scores SET flagged = true WHERE value = 10")
    assert await drained(a_watcher(database)) == 80
    assert await count(database, UNWATCHED) == 20


async def test_a_leader_that_dies_in_its_turn_has_taken_nothing_in(database: Database) -> None:
    """Its connection is cut between taking and storing; the next leader finds it all, and tells of it once."""
    await judge(database, GOOD + BAD)
    assert await a_watcher(database).take_turn() == 40
    await past.execute(database, LONG_AGO)
    with pytest.raises(StoreUnavailable):
        await die_in_a_turn(database)
    assert await count(database, UNWATCHED) == len(GOOD + BAD) - 40
    assert await drained(a_watcher(database, lease_s=0.0)) == len(GOOD + BAD) - 40
    assert await count(database, ANSWERS) == len(GOOD + BAD)
    assert await count(database, ALERTS) == 1


async def die_in_a_turn(database: Database) -> None:
    """Have the server cut the connection of a turn that has taken scores in."""
    async with DriftRepository(database, CHANNELS, new_id=uuid7).turn(uuid4(), 60.0) as turn:
        assert turn is not None
        assert len(await turn.take(40)) == 40
        await past.execute(
            database,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL",
        )
        await turn.quiet(0.0)


async def test_one_replica_leads_until_it_is_gone(database: Database) -> None:
    """Another takes nothing in while the lease holds; once it has run out, or was given up, it does."""
    first, second = a_watcher(database), a_watcher(database)
    await judge(database, GOOD)
    assert (await first.take_turn(), await second.take_turn(), await first.take_turn()) == (40, 0, 40)
    await past.execute(database, LONG_AGO)
    assert await second.take_turn() == 20
    await judge(database, GOOD[:10])
    assert await first.take_turn() == 0
    await second.close()
    assert await first.take_turn() == 10


async def test_only_scores_of_the_fair_share_that_are_scores_are_taken_in(database: Database) -> None:
    """What was judged because it was disliked says nothing of the others, and unscored is not 0."""
    await judge(database, [8.0, 1.0, 2.0])
    await past.execute(database, "UPDATE scores SET base = false WHERE value = 1")
    await past.execute(database, "UPDATE scores SET value = NULL WHERE value = 2")
    assert await drained(a_watcher(database)) == 1


async def test_a_score_that_is_judged_again_is_not_taken_in_again(database: Database) -> None:
    await judge(database, [8.0])
    watcher = a_watcher(database)
    await drained(watcher)
    await past.execute(database, "UPDATE scores SET value = 3, created_at = now()")
    assert await drained(watcher) == 0


async def test_a_new_prompt_is_compared_with_the_one_before_it(database: Database) -> None:
    """Its own series begins with the other's reference, and the alert says whose that is."""
    watcher = a_watcher(database)
    await judge(database, GOOD)
    await drained(watcher)
    await judge(database, BAD, prompts="p2")
    await drained(watcher)
    async with database.raw() as connection:
        alert = await connection.fetchrow("SELECT kind, severity, labels, facts, run_ids FROM alerts")
        lows = await connection.fetch("SELECT run_id FROM scores WHERE value = 4")
    assert (alert["kind"], alert["severity"]) == ("score_collapsed", "critical")
    assert (alert["labels"]["prompt_version"], alert["labels"]["graph"]) == ("p2", "react")
    assert alert["facts"]["compared_with"] == "small, prompts p1"
    assert alert["facts"]["before"] == pytest.approx(8.8, abs=0.1)
    assert alert["run_ids"][0] in {row["run_id"] for row in lows}


async def test_another_rubric_is_another_series_with_nothing_before_it(database: Database) -> None:
    """Its scores cannot be compared with the other's."""
    watcher = a_watcher(database)
    await judge(database, GOOD)
    await drained(watcher)
    await judge(database, BAD)
    await past.execute(database, "UPDATE scores SET rubric_version = '2' WHERE watched_at IS NULL")
    await drained(watcher)
    assert await count(database, ALERTS) == 0


async def test_an_alert_ends_when_its_scores_are_back_and_its_channel_is_told(database: Database) -> None:
    """Once: the firing is told no more, and the end is due."""
    watcher, outbox = a_watcher(database), AlertRepository(database, CHANNELS)
    await judge(database, GOOD + BAD + GOOD)
    await drained(watcher)
    [due] = await outbox.take(channels=CHANNELS, limit=9, claim_s=30.0)
    assert (due.news, due.resolution, due.attempt) == (News.RESOLVED, "recovered", 1)
    assert await outbox.take(channels=CHANNELS, limit=9, claim_s=30.0) == []


async def test_an_alert_ends_when_nothing_more_is_heard_and_its_series_is_judged_anew(database: Database) -> None:
    """A version that was taken back goes quiet; should it be heard of again and be as bad, that is another alert."""
    watcher = a_watcher(database)
    await judge(database, GOOD + BAD)
    await drained(watcher)
    await past.execute(database, "UPDATE drift_series SET observed_at = now() - interval '2 days'")
    await watcher.take_turn()
    assert await count(database, "count(*) FROM alerts WHERE resolution = 'quiet'") == 1
    await judge(database, BAD)
    await drained(watcher)
    assert await count(database, "count(*) FROM alerts WHERE resolved_at IS NULL") == 1


async def test_what_an_operator_accepts_is_what_is_usual_then(database: Database) -> None:
    """The alert ends, its channel is told, and the low scores are the reference: no alert follows."""
    watcher, store = a_watcher(database), DriftRepository(database, CHANNELS, new_id=uuid7)
    await judge(database, GOOD + BAD)
    await drained(watcher)
    async with database.raw() as connection:
        alert_id = await connection.fetchval("SELECT id FROM alerts")
    assert await store.rebaseline(UUID(int=alert_id.int))
    assert not await store.rebaseline(uuid4())
    await judge(database, BAD * 2)
    await drained(watcher)
    assert await count(database, ALERTS) == 1
    async with database.raw() as connection:
        state = await connection.fetchval("SELECT state::text FROM drift_series")
    watched = Watched.from_json(state)
    assert watched is not None
    assert watched.level.reference.mean == pytest.approx(5.0, abs=0.1)


async def test_what_older_code_stored_ends_its_alerts_as_it_begins_anew(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing that is known would end them any more; the operator is told why, and the next fall is an alert again."""
    watcher, outbox = a_watcher(database), AlertRepository(database, CHANNELS)
    await judge(database, GOOD + BAD)
    await drained(watcher)
    await past.execute(database, "UPDATE drift_series SET state = jsonb_build_object('mean', 8.5)")
    await judge(database, GOOD)
    await drained(watcher)
    [due] = await outbox.take(channels=CHANNELS, limit=9, claim_s=30.0)
    assert (due.news, due.resolution) == (News.RESOLVED, "rebaselined")
    assert "helpfulness of react (small, prompts p1) begins anew" in caplog.text
    await judge(database, BAD)
    await drained(watcher)
    assert await count(database, "count(*) FROM alerts WHERE resolved_at IS NULL") == 1


async def test_an_alert_that_fires_already_is_neither_counted_nor_logged_again(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """Its id would be in the log and nowhere else, for nobody to accept."""
    watcher = a_watcher(database, meter=(seen := Seen()))
    await judge(database, GOOD + BAD)
    await drained(watcher)
    await past.execute(database, "UPDATE drift_series SET state = NULL")
    await judge(database, GOOD + BAD)
    await drained(watcher)
    assert await count(database, ALERTS) == 1
    assert seen.kinds == ["score_collapsed"]
    assert caplog.text.count("alert ") == 1


HELPFUL = ("helpfulness", "react")


async def test_the_gauge_is_of_the_worst_series_whatever_the_last_turn_took_in(database: Database) -> None:
    """The old prompts' fall goes on while the new ones are judged well, and is shown as often as somebody asks."""
    watcher = a_watcher(database, meter=(seen := Seen()))
    await judge(database, GOOD + BAD)
    await drained(watcher)
    await judge(database, GOOD[:20], prompts="p2")
    await drained(watcher)
    assert [seen.shown_by(watcher), seen.shown_by(watcher)] == [{HELPFUL: 1.0}] * 2


async def test_who_watches_next_shows_what_no_answer_has_changed_since(database: Database) -> None:
    """And who has watched before says 0 from then on."""
    seen = Seen()
    first, second = (a_watcher(database, meter=seen) for _ in range(2))
    await judge(database, GOOD + BAD)
    await drained(first)
    await past.execute(database, LONG_AGO)
    await second.take_turn()
    await first.take_turn()
    assert (seen.shown_by(second), seen.shown_by(first)) == ({HELPFUL: 1.0}, {HELPFUL: 0.0})


async def test_what_an_operator_has_accepted_is_shown_no_more(database: Database) -> None:
    """Though no answer has come since; likewise what has gone quiet."""
    watcher, store = a_watcher(database, meter=(seen := Seen())), DriftRepository(database, CHANNELS, new_id=uuid7)
    await judge(database, GOOD + BAD)
    await drained(watcher)
    async with database.raw() as connection:
        alert_id = await connection.fetchval("SELECT id FROM alerts")
    await store.rebaseline(UUID(int=alert_id.int))
    await watcher.take_turn()
    assert seen.shown_by(watcher) == {}


async def test_who_cannot_reach_the_database_shows_nothing(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another replica may watch by now, and know better."""
    watcher = a_watcher(database, meter=(seen := Seen()))
    await judge(database, GOOD + BAD)
    await drained(watcher)
    monkeypatch.setattr(DriftRepository, "turn", away)
    with pytest.raises(asyncio.CancelledError):
        await watcher.forever()
    assert seen.shown_by(watcher) == {}


def away(*_: object) -> None:
    raise StoreUnavailable("away")
