"""The worked examples of CONTRIBUTING.md: printed as they are, registered by one line each, and run."""

import re
from pathlib import Path
from uuid import uuid4

import orjson
import pytest
from langchain_core.messages import HumanMessage

from deployments.protocols.types import Answer, Rules, Whole
from evaluation.criteria import CRITERIA
from evaluation.criteria import types as criteria
from graphs.build import build_tools, tool_breakers
from graphs.tools import TOOLS
from graphs.tools.care import ToolCare
from graphs.tools.execution import ToolExecution
from graphs.tools.spec import ToolSpec
from services.alerts.links import Links
from services.errors import InvalidRequest
from services.events import RunCompleted
from services.guard import Action, Stage
from services.guardrails import GUARDRAILS
from services.guardrails.chain import build_chain
from services.guardrails.semantic import CHECKS
from services.guardrails.semantic.tier import Mode, Tally, build_tier
from services.guardrails.semantic.types import Context
from services.llm import PROVIDERS
from services.llm.gateway import Gateway
from services.llm.route import Route
from services.llm.types import ModelCall, ProviderSpec
from services.runs.deadline import Deadline
from services.runs.webhook_post import Posted
from services.samples import Sample
from services.telemetry.metrics import UNMEASURED
from services.types import Usage
from tests.contributing.brevity import Brevity
from tests.contributing.canned import CannedProvider
from tests.contributing.chat import ChatChannel
from tests.contributing.no_urls import NoUrlsRule
from tests.contributing.plain_text import PROTOCOL
from tests.contributing.shouting import ShoutingCheck
from tests.evaluation.fakes import FakeJudge
from tests.graphs.examples.days_until import days_until
from tests.graphs.fakes import calls, resources, turn
from tests.services.alerts.values import due
from tests.services.llm.fakes import Shown
from tests.services.runs.fakes import a_run
from tests.services.runs.webhook_fakes import Scripted

ROOT = Path(__file__).parents[2]
PLACES = {
    "services/llm/canned.py": "tests/contributing/canned.py",
    "services/guardrails/no_urls.py": "tests/contributing/no_urls.py",
    "services/guardrails/semantic/shouting.py": "tests/contributing/shouting.py",
    "services/alerts/chat.py": "tests/contributing/chat.py",
    "evaluation/criteria/brevity.py": "tests/contributing/brevity.py",
    "deployments/protocols/plain_text.py": "tests/contributing/plain_text.py",
    "graphs/tools/days_until.py": "tests/graphs/examples/days_until.py",
    "graphs/draft_review.py": "tests/graphs/examples/draft_review.py",
}
"""Where the guide tells a reader to put each example, and where it is run from here."""


def blocks() -> dict[str, str]:
    """The guide's Python blocks that begin with a path, by that path."""
    found = re.findall(r"```python\n# (\S+\.py)\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)
    return dict(found)


@pytest.mark.parametrize("place", PLACES)
def test_the_guide_prints_what_is_run(place: str) -> None:
    """Each example in the guide is, line for line, the file that the tests execute."""
    assert blocks()[place].strip() == (ROOT / PLACES[place]).read_text().strip()


def test_every_block_of_the_guide_is_run() -> None:
    """No example is printed that no test executes."""
    assert set(blocks()) == set(PLACES)


def registry_line(name: str) -> str:
    """The one line that the guide adds to a registry."""
    [line] = re.findall(rf'^```python\n    ("{name}": .*),\n```$', (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    return str(line)


async def test_the_tool_answers_by_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Registered by the very line that the guide prints, settings may name it, and an agent's call is answered."""
    names = {"ToolSpec": ToolSpec, "days_until": days_until}
    monkeypatch.setattr("graphs.build.TOOLS", {**TOOLS, **eval(f"{{{registry_line('days_until')}}}", names)})
    tools = build_tools(["clock", "days_until"], resources())
    execution = ToolExecution(tools, ToolCare())
    [message] = await execution.run([calls(("days_until", {"day": "2026-12-24"}))], turn().context)
    assert message.content == "32 days until Thursday, 24 December 2026"
    assert "days_until" not in tool_breakers()


async def test_the_provider_answers_through_the_gateway() -> None:
    """Registered by one line, it streams and is billed like any other."""
    extended = {**PROVIDERS, "canned": CannedProvider}
    spec = ProviderSpec(name="demo", model="none", arguments={"answer": "one two three"})
    shown = Shown()
    model = Gateway([Route.of(extended["canned"](spec))]).bind(shown, Deadline.after(5.0))
    answer = await model.generate(ModelCall(messages=[HumanMessage("hi")]))
    assert answer.text == "".join(text for text, _ in shown.pieces) == "one two three"
    assert model.usage.output_tokens == 3


async def test_the_guardrail_blocks_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Registered by one line, settings may name it, and it decides by stage."""
    monkeypatch.setattr("services.guardrails.chain.GUARDRAILS", {**GUARDRAILS, "no_urls": NoUrlsRule})
    chain = build_chain(["length", "no_urls"], {})
    assert (await chain.check(["see HTTPS://x.example"], Stage.INPUT)).action is Action.BLOCK
    assert (await chain.check(["see https://x.example"], Stage.TOOL_RESULT)).action is Action.ALLOW


async def test_the_check_ends_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Registered by one line, settings may name it, and its knob counts."""
    monkeypatch.setattr("services.guardrails.semantic.tier.CHECKS", {**CHECKS, "shouting": ShoutingCheck})

    async def nobody(instruction: str, material: str) -> str:
        return ""

    tier = build_tier({"shouting": {"least_letters": 5}}, Mode.AUTO, nobody, UNMEASURED)
    assert (await tier.judge("COME HERE!", Context(), Tally())).action is Action.BLOCK
    assert (await tier.judge("Come here!", Context(), Tally())).action is Action.ALLOW
    assert (await tier.judge("YES!", Context(), Tally())).action is Action.ALLOW


@pytest.mark.parametrize(("words", "value"), [(10, 10.0), (50, 10.0), (275, 5.0), (5_000, 0.0)])
async def test_the_criterion_scores(words: int, value: float) -> None:
    """Its score falls with the length, within its bounds, and it is a criterion like those listed."""
    sample = Sample(run_id=uuid4(), tenant_id="t", graph="react", question="?", answer="word " * words)
    assert {"brevity": Brevity, **CRITERIA}["brevity"]().name == "brevity"
    assert (await Brevity().read(criteria.Context(sample=sample, judge=FakeJudge()))).value == pytest.approx(value)


async def test_the_channel_tells_what_changed_and_where() -> None:
    """In one message, with links to the runs."""
    post = Scripted()
    assert await ChatChannel("https://chat.example/hook", post, Links()).tell(due()) == Posted()
    [(url, _, body)] = post.sent
    assert url == "https://chat.example/hook"
    assert orjson.loads(body)["text"].startswith("firing (warning): helpfulness of react")
    assert f"/v1/runs/{due().alert.run_ids[0]}" in orjson.loads(body)["text"]


def test_the_protocol_maps_both_ways() -> None:
    """A body becomes a turn, an answer becomes text, and a wrong body names its field."""
    rules = Rules(
        default_graph="react", max_messages=8, max_message_chars=100, max_run_s=60.0, check_webhook=lambda _: None
    )
    turn = PROTOCOL.parse({"question": "why?"}, {}, rules)
    assert turn.request.messages[0].content == "why?"
    assert isinstance(turn.reply, Whole)
    done = RunCompleted(finish_reason="stop", usage=Usage(), duration_s=0.1)
    assert turn.reply.render(a_run(), 0, Answer(text="because", reasoning="", ending=done)) == b"because"
    with pytest.raises(InvalidRequest) as caught:
        PROTOCOL.parse({}, {}, rules)
    assert caught.value.param == "question"
