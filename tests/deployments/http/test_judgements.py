"""What is made of a run, over HTTP: its user's feedback, and judges' scores with how far they can be relied on."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import httpx
import pytest

from deployments.http.app import create_app
from services.samples import Score
from tests.deployments.http.fakes import AUTH, Rig


async def a_run(client: httpx.AsyncClient) -> str:
    done = await client.post("/chat/stream", json={"messages": [{"role": "user", "content": "Say hello."}]})
    return done.headers["x-run-id"]


async def test_the_last_feedback_of_a_user_counts() -> None:
    """There is none at first, and then one, whatever was said before."""
    async with Rig().client() as client:
        path = f"/runs/{await a_run(client)}/feedback"
        assert (await client.get(path)).json() == {"feedback": []}
        first = await client.post(path, json={"rating": "up"})
        assert (first.status_code, first.json()["rating"], first.json()["comment"]) == (200, "up", None)
        last = (await client.post(path, json={"rating": "down", "comment": "It is wrong."})).json()
        assert (last["rating"], last["comment"]) == ("down", "It is wrong.")
        assert (await client.get(path)).json() == {"feedback": [last]}


@pytest.mark.parametrize(
    ("body", "param"),
    [({}, "rating"), ({"rating": "meh"}, "rating"), ({"rating": "up", "comment": "x" * 4_001}, "comment"),
     ({"rating": "up", "why": "x"}, "why")],
)  # fmt: skip
async def test_wrong_feedback_is_refused_and_named(body: dict[str, Any], param: str) -> None:
    """And none is kept."""
    async with Rig().client() as client:
        path = f"/runs/{await a_run(client)}/feedback"
        refused = await client.post(path, json=body)
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)
        assert (await client.get(path)).json() == {"feedback": []}


async def test_a_score_is_shown_with_its_judges_calibration() -> None:
    """Or as what it is without one: not calibrated. Unscored is null."""
    rig = Rig()
    services = replace(rig.services(), calibration=lambda score: {"kappa": 0.8} if score.value is not None else None)
    rig.app = create_app(services, rig.settings)
    async with rig.client(AUTH) as client:
        run_id = await a_run(client)
        assert (await client.get(f"/runs/{run_id}/scores")).json() == {"run_id": run_id, "scores": []}
        score = Score(
            run_id=UUID(run_id), tenant_id="acme", criterion="helpfulness", value=0.5, reason="So-so.",
            judge_model="small", rubric_version="1", prompt_version="p1", graph="react",
        )  # fmt: skip
        rig.scores.scores = [
            score,
            replace(score, criterion="safety", value=None, reason="model_timeout", flagged=True),
        ]
        known, unknown = (await client.get(f"/runs/{run_id}/scores")).json()["scores"]
    assert known == {
        "criterion": "helpfulness", "value": 0.5, "reason": "So-so.", "judge_model": "small", "rubric_version": "1",
        "prompt_version": "p1", "flagged": False, "calibrated": True, "calibration": {"kappa": 0.8},
    }  # fmt: skip
    assert (unknown["value"], unknown["calibrated"], unknown["calibration"]) == (None, False, None)
    assert unknown["flagged"]
