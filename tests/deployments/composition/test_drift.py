"""From a judged answer to a pager: the watch as the settings have it, over a real database and real sockets."""

import asyncio
import base64
from collections.abc import Mapping

import orjson
import pytest

from configs.settings import load
from deployments.composition.drift import alerting, open_drift, policy_for
from services.errors import ConfigurationError
from services.samples import Score
from services.storage.database import Database
from services.storage.scores import ScoreRepository
from services.telemetry.metrics import ALERT_DELIVERIES, UNMEASURED, Metric
from tests.services.security.receiver import receiver
from tests.services.storage import past
from tests.services.storage.conftest import ALICE

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
SETTINGS = load(
    [], {"alerts": {"public_url": "https://agents.example"}, "evaluator": {"criteria": ["helpfulness", "safety"]}}
)


class Delivered:
    """A meter that knows when so many deliveries were counted."""

    def __init__(self, expected: int) -> None:
        self.all = asyncio.Event()
        self._left = expected

    def record(self, metric: Metric, value: float, labels: Mapping[str, str]) -> None:
        self._left -= metric is ALERT_DELIVERIES and labels["outcome"] == "delivered"
        if self._left == 0:
            self.all.set()


@pytest.mark.postgres
async def test_an_unsafe_answer_is_at_the_webhook_and_the_alertmanager_at_once(
    migrated_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stored by the evaluator's own way, told by its own sender; the link leads to the run."""
    database = Database.open(migrated_database_url)
    [run_id] = await past.turns(database, ALICE, 1)
    score = Score(
        run_id=run_id,
        tenant_id=ALICE.tenant_id,
        criterion="safety",
        value=1.0,
        reason="harmful",
        judge_model="judge",
        rubric_version="1",
        graph="react",
    )
    async with receiver() as pager, receiver() as alertmanager:
        monkeypatch.setenv("MAINSTAY_ALERT_WEBHOOK_URL", f"http://127.0.0.1:{pager.port}/hook")
        monkeypatch.setenv("MAINSTAY_ALERT_WEBHOOK_SECRET", SECRET)
        monkeypatch.setenv("MAINSTAY_ALERTMANAGER_URL", f"http://127.0.0.1:{alertmanager.port}")
        await alerting(ScoreRepository(database), SETTINGS, database, UNMEASURED).add([score])
        drift = open_drift(SETTINGS, database, meter := Delivered(2))
        async with asyncio.timeout(20):
            await meter.all.wait()
        await drift.close()
    await database.close()
    link = f"https://agents.example/v1/runs/{run_id}"
    assert orjson.loads(pager.received[0].body)["data"]["runs"] == [link]
    assert pager.received[0].headers["webhook-signature"].startswith("v1,")
    assert alertmanager.received[0].line == "POST /api/v2/alerts HTTP/1.1"
    [alert] = orjson.loads(alertmanager.received[0].body)
    assert (alert["labels"]["alertname"], alert["generatorURL"]) == ("MainstayUnsafeAnswer", link)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://alertmanager:9093",
        "http://alertmanager:port",
        "http://169.254.169.254/latest",
        "http://me:word@host/",
        "x",
    ],
)
def test_a_url_that_cannot_be_called_is_an_error_of_the_configuration(url: str) -> None:
    """Which names the variable, and repeats nothing of the URL."""
    with pytest.raises(ConfigurationError, match="MAINSTAY_ALERTMANAGER_URL") as caught:
        policy_for(url, "MAINSTAY_ALERTMANAGER_URL")
    assert url not in str(caught.value)


def test_a_url_of_the_operator_may_be_private_and_opens_nothing_else() -> None:
    policy = policy_for("http://alertmanager:9093", "MAINSTAY_ALERTMANAGER_URL")
    policy.check("http://alertmanager:9093/api/v2/alerts")
    assert policy.permits("10.1.2.3")
    assert not policy.permits("169.254.169.254")
    for other in ("http://other:9093/", "http://alertmanager:9094/"):
        with pytest.raises(Exception, match="URL"):
            policy.check(other)


async def test_a_webhook_without_a_secret_is_an_error_of_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody could tell whose alerts they are."""
    monkeypatch.setenv("MAINSTAY_ALERT_WEBHOOK_URL", "https://pager.example/hook")
    monkeypatch.delenv("MAINSTAY_ALERT_WEBHOOK_SECRET", raising=False)
    with pytest.raises(ConfigurationError, match="MAINSTAY_ALERT_WEBHOOK_SECRET"):
        open_drift(SETTINGS, Database.open("postgresql://nobody@localhost/none"), UNMEASURED)


async def test_where_nobody_asks_whether_answers_are_safe_the_log_says_so(caplog: pytest.LogCaptureFixture) -> None:
    """As it is where nothing was set: who reads of the alert in the settings would wait for it for ever."""
    database = Database.open("postgresql://nobody@localhost/none")
    scores = ScoreRepository(database)
    assert alerting(scores, load(), database, UNMEASURED) is scores
    assert "no unsafe answer alerts: 'safety' is not one of evaluator.criteria" in caplog.text
    assert alerting(scores, SETTINGS, database, UNMEASURED) is not scores
