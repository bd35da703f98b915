"""What a webhook and an Alertmanager are told of an alert."""

import base64
from datetime import UTC, datetime, timedelta

import orjson

from services.alerts.alertmanager import AlertmanagerChannel
from services.alerts.links import Links
from services.alerts.types import News
from services.alerts.webhook import WebhookChannel
from services.runs.webhook_message import MessageSigner, signature
from services.runs.webhook_post import Posted
from tests.services.alerts.values import RAISED_AT, due
from tests.services.runs.webhook_fakes import Scripted

KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()
LINKS = Links(base_url="https://agents.example/")
NOW = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
RUN = "https://agents.example/v1/runs/00000000-0000-0000-0000-000000000001"


async def test_a_webhook_is_told_what_changed_and_which_runs_show_it() -> None:
    """Signed with the operator's own secret, under an id that is the same in every attempt at this news."""
    post = Scripted()
    channel = WebhookChannel("https://pager.example/x", post, MessageSigner(SECRET), LINKS, now=lambda: 1_000.7)
    assert await channel.tell(due()) == Posted()
    [(url, headers, body)] = post.sent
    id_ = "msg_00000000-0000-0000-0000-000000000007_firing"
    assert url == "https://pager.example/x"
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == (id_, "1000")
    assert headers["webhook-signature"] == signature(KEY, id_, 1000, body)
    told = orjson.loads(body)
    assert (told["type"], told["timestamp"]) == ("alert.firing", "2026-03-01T12:00:00Z")
    assert told["data"]["kind"] == "score_worsened"
    assert told["data"]["severity"] == "warning"
    assert told["data"]["facts"] == {"test": "slow CUSUM", "before": 8.5, "after": 8.0, "answers": 143}
    assert (told["data"]["since"], told["data"]["resolution"]) == ("2026-03-01T11:00:00Z", None)
    assert told["data"]["runs"][0] == RUN


async def test_that_an_alert_is_over_is_another_message_to_a_webhook() -> None:
    post = Scripted()
    channel = WebhookChannel("https://pager.example/x", post, MessageSigner(SECRET), LINKS)
    await channel.tell(due(news=News.RESOLVED, resolution="recovered"))
    [(_, headers, body)] = post.sent
    assert headers["webhook-id"].endswith("_resolved")
    assert orjson.loads(body)["type"] == "alert.resolved"
    assert orjson.loads(body)["data"]["resolution"] == "recovered"


async def alertmanager_hears(**changes: object) -> dict[str, object]:
    post = Scripted()
    channel = AlertmanagerChannel("http://alertmanager:9093/am/", post, LINKS, repeat_s=60.0, now=lambda: NOW)
    await channel.tell(due("alertmanager", **changes))  # type: ignore[arg-type]
    [(url, _, body)] = post.sent
    assert url == "http://alertmanager:9093/am/api/v2/alerts"
    [alert] = orjson.loads(body)
    assert isinstance(alert, dict)
    return alert


async def test_an_alertmanager_is_told_what_its_api_asks_for() -> None:
    """Labels that stay the same for as long as it fires, without empty ones; and it ends by itself should nobody repeat it."""
    assert await alertmanager_hears() == {
        "labels": {
            "alertname": "MainstayScoreWorsened",
            "severity": "warning",
            "criterion": "helpfulness",
            "graph": "react",
        },
        "annotations": {
            "summary": "helpfulness of react (small, prompts p2) fell from 8.5 to 8 over 143 judged answers.",
            "runs": f"{RUN}\n{RUN[:-1]}2",
            "test": "slow CUSUM",
            "before": "8.5",
            "after": "8.0",
            "answers": "143",
        },
        "startsAt": "2026-03-01T12:00:00+00:00",
        "endsAt": "2026-03-01T12:34:00+00:00",
        "generatorURL": RUN,
    }


async def test_an_alertmanager_is_told_the_end_by_its_time() -> None:
    """Of what is over now, and of what holds for a time of its own."""
    assert (await alertmanager_hears(news=News.RESOLVED))["endsAt"] == NOW.isoformat()
    until = RAISED_AT + timedelta(hours=1)
    assert (await alertmanager_hears(ends_at=until))["endsAt"] == until.isoformat()
