"""What answers are worth on average, over HTTP: the tenant's own, for whoever answers for it."""

from dataclasses import replace
from datetime import date

import pytest

from deployments.http.app import create_app
from services.samples import MeansWanted, ScoreMean
from services.security.permissions import Permission
from services.types import Principal
from tests.deployments.http.fakes import ADMIN_KEY, KEY, OTHER_KEY, Rig

MEAN = ScoreMean(
    graph="react",
    criterion="helpfulness",
    judge_model="judge/structured",
    rubric_version="2",
    day=None,
    n=12,
    unscored=1,
    flagged=2,
    runs=240.0,
    mean=7.5,
    standard_error=0.25,
)


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


async def test_a_mean_says_how_far_it_can_be_relied_on() -> None:
    """How many scores it stands on and for how many runs, its error, its judge, and whether anybody has measured that."""
    rig = Rig()
    rig.scores.means_of["acme"] = [
        MEAN,
        replace(MEAN, criterion="safety", n=0, mean=None, standard_error=None, runs=None),
    ]
    known = {"kappa": 0.8}
    services = replace(rig.services(), calibration=lambda mean: known if mean.criterion == "helpfulness" else None)
    rig.app = create_app(services, rig.settings)
    async with rig.client(bearer(ADMIN_KEY)) as client:
        body = (await client.get("/admin/scores")).json()
    helpfulness, safety = body["means"]
    assert helpfulness == {
        "graph": "react", "criterion": "helpfulness", "judge_model": "judge/structured", "rubric_version": "2", "day": None,
        "mean": 7.5, "standard_error": 0.25, "n": 12, "runs": 240.0, "unscored": 1, "flagged": 2,
        "calibrated": True, "calibration": known,
    }  # fmt: skip
    assert (safety["mean"], safety["runs"], safety["calibrated"], safety["calibration"]) == (None, None, False, None)


async def test_the_last_week_is_shown_unless_days_are_named() -> None:
    """To the end of the last day; the answer says which days they are."""
    rig = Rig()
    named = {"from": "2026-10-01", "to": "2026-10-31", "graph": "react", "criterion": "safety", "by_day": "true"}
    async with rig.client(bearer(ADMIN_KEY)) as client:
        week = (await client.get("/admin/scores")).json()
        month = (await client.get("/admin/scores", params=named)).json()
    assert (week["from"], week["to"]) == ("2026-11-12", "2026-11-18")
    assert (month["from"], month["to"]) == ("2026-10-01", "2026-10-31")
    assert rig.scores.wanted == [
        MeansWanted(first=date(2026, 11, 12), last=date(2026, 11, 18)),
        MeansWanted(first=date(2026, 10, 1), last=date(2026, 10, 31), graph="react", criterion="safety", by_day=True),
    ]


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"from": "2026-11-02", "to": "2026-11-01"}, "from"),
        ({"from": "2025-01-01", "to": "2026-11-01"}, "from"),
        ({"from": "yesterday"}, "from"),
        ({"to": "2026-02-30"}, "to"),
        ({"to": "0001-01-01"}, "to"),
        ({"graph": "x" * 1_025}, "graph"),
        ({"by_day": "perhaps"}, "by_day"),
    ],
)
async def test_days_that_are_none_are_refused_and_named(params: dict[str, str], param: str) -> None:
    """So is a stretch that no answer should be made of."""
    async with Rig().client(bearer(ADMIN_KEY)) as client:
        answer = await client.get("/admin/scores", params=params)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


async def test_another_tenant_sees_its_own_and_a_user_none() -> None:
    """An operator elsewhere gets nothing of this tenant's; whoever may only use the agents is told what they lack."""
    rig = Rig()
    rig.scores.means_of["acme"] = [MEAN]
    rig.authenticator.principals[OTHER_KEY] = Principal(
        tenant_id="other", user_id="bob", permissions=frozenset({Permission.SCORES_READ})
    )
    async with rig.client(bearer(OTHER_KEY)) as client:
        assert (await client.get("/admin/scores")).json()["means"] == []
    async with rig.client(bearer(KEY)) as client:
        refused = await client.get("/admin/scores")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "permission_denied")
