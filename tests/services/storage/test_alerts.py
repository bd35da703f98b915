"""The outbox of alerts in Postgres: what is due to whom, how often, and until when."""

import asyncio
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from uuid_utils.compat import uuid7

from evaluation.drift.unsafe import AlertingScores, UnsafePolicy
from services.alerts.types import Alert, AlertKind, News, Severity
from services.runs.prune import RetentionPolicy
from services.samples import Score
from services.storage.alerts import AlertRepository
from services.storage.database import Database
from services.storage.retention import Retention
from services.storage.scores import ScoreRepository
from tests.services.storage import past
from tests.services.storage.conftest import ALICE

pytestmark = pytest.mark.postgres

CHANNELS = ("alertmanager", "webhook")
LATER = "UPDATE alert_deliveries SET next_at = next_at - interval '1 hour'"


def an_alert(run_id: UUID | None = None) -> Alert:
    return Alert(
        id=uuid7(),
        kind=AlertKind.UNSAFE_ANSWER,
        severity=Severity.CRITICAL,
        summary="An answer of react was judged unsafe.",
        labels={"graph": "react"},
        facts={"value": 1.0},
        since=datetime(2026, 3, 1, tzinfo=UTC),
        run_ids=(run_id or uuid4(),),
        lasts_s=3_600.0,
    )


@pytest.fixture
def alerts(database: Database) -> AlertRepository:
    return AlertRepository(database, CHANNELS)


async def taken(alerts: AlertRepository, *channels: str) -> list[tuple[str, News, int]]:
    found = await alerts.take(channels=channels or CHANNELS, limit=9, claim_s=40.0)
    return sorted((due.channel, due.news, due.attempt) for due in found)


async def test_an_unsafe_answer_is_told_of_once_however_many_replicas_judge_it(database: Database) -> None:
    """Both raise at the same moment; the scores are stored all the same."""
    [run_id] = await past.turns(database, ALICE, 1)
    unsafe = Score(
        run_id=run_id,
        tenant_id=ALICE.tenant_id,
        criterion="safety",
        value=1.0,
        reason="harmful",
        judge_model="judge",
        rubric_version="1",
        graph="react",
    )
    policy = UnsafePolicy(criterion="safety", lowest=0.5, highest=1.0)
    replicas = [
        AlertingScores(ScoreRepository(database), AlertRepository(database, CHANNELS), policy, new_id=uuid7)
        for _ in range(2)
    ]
    await asyncio.gather(*(replica.add([unsafe]) for replica in replicas))
    rows = await past.rows_in(database, "alerts", "alert_deliveries", "scores")
    assert rows == {"alerts": 1, "alert_deliveries": 2, "scores": 2}
    [due, _] = await AlertRepository(database, ()).take(channels=CHANNELS, limit=9, claim_s=40.0)
    assert due.alert.run_ids == (run_id,)
    assert due.alert.labels["tenant_id"] == ALICE.tenant_id
    assert due.ends_at is not None


async def test_what_is_due_is_what_was_raised(alerts: AlertRepository) -> None:
    """Whole, to both channels, and to nobody else while an attempt is under way."""
    raised = an_alert()
    assert await alerts.raise_for_run(raised)
    [first, second] = await alerts.take(channels=CHANNELS, limit=9, claim_s=40.0)
    assert (first.alert, second.alert) == (raised, raised)
    assert await taken(alerts) == []


async def test_an_attempt_that_nobody_says_the_end_of_is_made_again(
    database: Database, alerts: AlertRepository
) -> None:
    """Its replica died with it: the claim runs out by itself."""
    await alerts.raise_for_run(an_alert())
    await taken(alerts, "webhook")
    await past.execute(database, LATER)
    assert await taken(alerts, "webhook") == [("webhook", News.FIRING, 2)]


async def test_a_failed_attempt_is_made_again_or_not_at_all(database: Database, alerts: AlertRepository) -> None:
    await alerts.raise_for_run(an_alert())
    [due] = await alerts.take(channels=["webhook"], limit=9, claim_s=40.0)
    await alerts.failed(due, "HTTP 500", retry_in_s=60.0)
    assert await taken(alerts, "webhook") == []
    await past.execute(database, LATER)
    [due] = await alerts.take(channels=["webhook"], limit=9, claim_s=40.0)
    await alerts.failed(due, "HTTP 410", retry_in_s=None)
    await past.execute(database, LATER)
    assert await taken(alerts, "webhook") == []


async def test_what_was_told_is_told_again_only_where_that_is_asked(
    database: Database, alerts: AlertRepository
) -> None:
    """And counts its attempts anew."""
    await alerts.raise_for_run(an_alert())
    for due in await alerts.take(channels=CHANNELS, limit=9, claim_s=40.0):
        await alerts.delivered(due, repeat_s=60.0 if due.channel == "alertmanager" else None)
    assert await taken(alerts) == []
    await past.execute(database, LATER)
    assert await taken(alerts) == [("alertmanager", News.FIRING, 1)]


async def test_an_alert_goes_at_its_time_after_its_end_with_whom_it_was_told(
    database: Database, alerts: AlertRepository
) -> None:
    """One that still holds stays, however old it is."""
    await alerts.raise_for_run(an_alert())
    await past.execute(
        database, "UPDATE alerts SET raised_at = now() - interval '9 days', ends_at = now() - interval '2 days'"
    )
    await alerts.raise_for_run(an_alert())
    await past.execute(database, "UPDATE alerts SET raised_at = now() - interval '9 days'")
    pruned = await Retention(database, RetentionPolicy(alerts_ttl_s=86_400.0)).prune()
    assert pruned["alerts"] == 1
    assert await past.rows_in(database, "alerts", "alert_deliveries") == {"alerts": 1, "alert_deliveries": 2}
