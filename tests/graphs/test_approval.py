"""A person is asked before a tool is called: what is asked, and what each decision makes of the call."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.tools import BaseTool
from langgraph.graph import START, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import Interrupt, interrupt

from graphs.build import build, build_tools
from graphs.decisions import told_of
from graphs.runner import GraphRunner
from graphs.spec import GraphOptions
from graphs.state import State
from graphs.tools.care import ToolCare
from graphs.tools.outcomes import Outcome
from services.errors import ConfigurationError, InvalidRequest
from services.events import ToolFinished, ToolStarted
from services.guard import Stage, Verdict
from services.runs.types import GraphResult, RunContext
from tests.graphs.durable import Site
from tests.graphs.fakes import (
    AllowAllGuard,
    RecordingToolObserver,
    Reply,
    Turn,
    acting,
    calls,
    make_graph,
    resources,
    says,
    shape,
    tool_of,
    turn,
)

MAIL = ("send_mail", {"to": "alice", "copies": 1})


class Office:
    """An agent that may send mails if a person approves, in as many replicas as are asked for."""

    def __init__(self) -> None:
        self.site, self.sent = Site(), list[tuple[str, int]]()
        self.observer = RecordingToolObserver()

    def replica(self, approve: Sequence[str] = ("send_mail",)) -> GraphRunner:
        async def send_mail(to: str, copies: int = 1) -> str:
            self.sent.append((to, copies))
            return f"sent to {to}"

        tools = [tool_of(send_mail, "send_mail"), *build_tools(["calculator"], resources())]
        options = GraphOptions(approve=tuple(approve), tool_care=ToolCare(observer=self.observer))
        return build("react", options, tools, self.site.checkpointing)

    async def ask(self, *asked: tuple[str, Mapping[str, Any]], **options: Any) -> tuple[Turn, GraphResult]:
        turned = turn(calls(*asked, text="I write."), **options)
        return turned, await self.replica().invoke(turned.context)

    async def decide(
        self, asking: Turn, *decisions: Mapping[str, Any], then: Sequence[Reply] = (says("Done."),), **options: Any
    ) -> tuple[Turn, GraphResult]:
        """Go on with what was decided, in another replica."""
        turned = self.site.decided(asking, decisions, *then, **options)
        return turned, await self.replica().invoke(turned.context)


def requests(result: GraphResult) -> list[Mapping[str, Any]]:
    [question] = result.interrupts
    asked: list[Mapping[str, Any]] = question.value["action_requests"]
    return asked


async def test_a_call_is_asked_about_before_it_is_made() -> None:
    """The turn ends with the call and what may be decided of it, and nothing has been done or shown as begun."""
    office = Office()
    turned, result = await office.ask(MAIL)
    [question] = result.interrupts
    assert question.value == {
        "action_requests": [{"name": "send_mail", "args": {"to": "alice", "copies": 1}}],
        "review_configs": [
            {"action_name": "send_mail", "allowed_decisions": ["approve", "edit", "reject", "respond"]},
        ],
    }
    assert shape(result.messages) == ["assistant(c0)"]
    assert (office.sent, turned.events.of(ToolStarted)) == ([], [])


async def test_an_approved_call_is_made() -> None:
    """Another replica makes the call as it was asked for, and answers; its messages are those after the question."""
    office = Office()
    asking, _ = await office.ask(MAIL)
    turned, result = await office.decide(asking, {"type": "approve"})
    assert office.sent == [("alice", 1)]
    assert shape(result.messages) == ["tool(c0)", "assistant"]
    assert [message.content for message in result.messages] == ["sent to alice", "Done."]
    assert shape(turned.model.asked[0].call.messages) == ["system", "human", "ai(c0)", "tool(c0)"]
    [finished] = turned.events.of(ToolFinished)
    assert (finished.ok, finished.result) == (True, "sent to alice")


async def test_an_edited_call_is_made_as_it_was_edited() -> None:
    """The tool gets what the person wrote, and the model sees that as its own call."""
    office = Office()
    asking, _ = await office.ask(MAIL)
    action = {"name": "send_mail", "args": {"to": "bob"}}
    turned, result = await office.decide(asking, {"type": "edit", "edited_action": action})
    assert office.sent == [("bob", 1)]
    assert shape(result.messages) == ["tool(c0)", "assistant"]
    call = turned.model.asked[0].call.messages[2]
    assert isinstance(call, AIMessage)
    assert [(one["name"], one["args"]) for one in call.tool_calls] == [("send_mail", {"to": "bob"})]
    assert turned.events.of(ToolStarted)[0].arguments == '{"to": "bob"}'


async def test_a_call_may_be_edited_into_another() -> None:
    """The person may have another tool called instead."""
    office = Office()
    asking, _ = await office.ask(MAIL)
    action = {"name": "calculator", "args": {"expression": "6 * 7"}}
    _, result = await office.decide(asking, {"type": "edit", "edited_action": action})
    assert office.sent == []
    assert (result.messages[0].name, result.messages[0].content) == ("calculator", "6 * 7 = 42")


@pytest.mark.parametrize("message", [None, "Not on a Sunday."])
async def test_a_rejected_call_is_not_made(message: str | None) -> None:
    """The model reads that it was not allowed, and why if that was said; it is no failure of the tool."""
    office = Office()
    asking, _ = await office.ask(MAIL)
    decision = {"type": "reject"} | ({} if message is None else {"message": message})
    turned, result = await office.decide(asking, decision)
    assert office.sent == []
    read = result.messages[0].content
    assert read.startswith("send_mail was not called: a person did not allow it.")
    assert read.endswith(f"They say: {message}") is (message is not None)
    assert turned.events.of(ToolFinished)[0].ok is False
    assert [(called.outcome, called.duration_s) for called in office.observer.called] == [(Outcome.REJECTED, None)]


async def test_a_person_may_answer_in_the_tools_place() -> None:
    """What the person says is the call's result, and as such for the guard to see."""
    seen: list[str] = []

    class Watchful(AllowAllGuard):
        async def check(self, texts: Sequence[str], stage: Stage) -> Verdict:
            seen.extend(texts)
            return await super().check(texts, stage)

    office = Office()
    asking, _ = await office.ask(MAIL)
    decision = {"type": "respond", "message": "I have told her."}
    turned, result = await office.decide(asking, decision, guard=Watchful())
    assert (office.sent, result.messages[0].content, seen) == ([], "I have told her.", ["I have told her."])
    assert turned.events.of(ToolFinished)[0].ok is True
    assert [called.outcome for called in office.observer.called] == [Outcome.ANSWERED]


async def test_the_calls_of_an_answer_are_one_question() -> None:
    """All calls that need approval are asked about at once and decided in order; nothing is called before."""
    office = Office()
    bob = ("send_mail", {"to": "bob"})
    asking, result = await office.ask(MAIL, ("calculator", {"expression": "6 * 7"}), bob)
    assert [request["args"]["to"] for request in requests(result)] == ["alice", "bob"]
    assert asking.events.of(ToolStarted) == []
    _, result = await office.decide(asking, {"type": "reject"}, {"type": "approve"})
    assert office.sent == [("bob", 1)]
    assert shape(result.messages) == ["tool(c0)", "tool(c1)", "tool(c2)", "assistant"]
    assert result.messages[1].content == "6 * 7 = 42"


@pytest.mark.parametrize("asked", [("send_mail", {"copies": 1}), ("send_fax", {"to": "alice"})])
async def test_nobody_is_asked_about_a_call_that_cannot_be_made(asked: tuple[str, Mapping[str, Any]]) -> None:
    """Wrong arguments and invented tools are the model's business."""
    office = Office()
    turned = turn(calls(asked), says("Sorry."))
    result = await office.replica().invoke(turned.context)
    assert (result.interrupts, result.messages[-1].content) == ((), "Sorry.")
    assert turned.events.of(ToolFinished)[0].ok is False


async def test_where_nobody_can_be_asked_a_call_is_refused() -> None:
    """A run of an ephemeral thread does not end with a question that nobody can answer: the model reads that it cannot."""
    office = Office()
    turned = turn(calls(MAIL), says("I cannot send it."), ephemeral=True)
    result = await office.replica().invoke(turned.context)
    assert (office.sent, result.interrupts) == ([], ())
    assert "nobody can be asked here" in turned.model.asked[1].texts[-1][1]


async def test_who_writes_instead_of_deciding_goes_on() -> None:
    """A new message leaves the question and its call behind."""
    office = Office()
    asking, _ = await office.ask(MAIL)
    later = turn(says("As you like."), user="Never mind.", thread_id=asking.context.run.thread_id)
    result = await office.replica().invoke(later.context)
    assert (office.sent, [message.content for message in result.messages]) == ([], ["As you like."])
    assert shape(later.model.asked[0].call.messages) == ["system", "human", "human"]


APPROVE = {"type": "approve"}


@pytest.mark.parametrize(
    ("decisions", "param"),
    [
        ((), "decisions"),
        ((APPROVE, APPROVE), "decisions"),
        (({"type": "perhaps"},), "decisions.0.type"),
        (({},), "decisions.0.type"),
        (({"type": "edit"},), "decisions.0.edited_action"),
        (({"type": "edit", "edited_action": {"name": "send_fax", "args": {}}},), "decisions.0.edited_action.name"),
        (({"type": "edit", "edited_action": {"name": "send_mail"}},), "decisions.0.edited_action.args"),
        (
            ({"type": "edit", "edited_action": {"name": "send_mail", "args": {"copies": "x"}}},),
            "decisions.0.edited_action.args",
        ),
        (({"type": "respond"},), "decisions.0.message"),
        (({"type": "reject", "message": 7},), "decisions.0.message"),
    ],
)
async def test_a_decision_that_cannot_be_carried_out_is_refused(
    decisions: tuple[Mapping[str, Any], ...], param: str
) -> None:
    """The caller is told which field is wrong, nothing is done, and the question stays open."""
    office = Office()
    asking, _ = await office.ask(MAIL)
    with pytest.raises(InvalidRequest) as refused:
        await office.decide(asking, *decisions)
    assert refused.value.param == param
    assert office.sent == []
    await office.decide(asking, APPROVE)
    assert office.sent == [("alice", 1)]


async def test_without_a_question_there_is_nothing_to_decide() -> None:
    """Decisions for a thread that has no open question, or is not remembered, are refused."""
    office = Office()
    first = turn(says("Hello."))
    await office.replica().invoke(first.context)
    with pytest.raises(InvalidRequest, match="no open question"):
        await office.decide(first, APPROVE)
    with pytest.raises(InvalidRequest, match="no open question"):
        await make_graph().invoke(office.site.decided(first, [APPROVE]).context)


async def test_the_messages_of_a_run_that_was_taken_over_are_its_own() -> None:
    """A run that goes on with another's turn, and was taken over itself, returns what came after the question."""
    office = Office()
    asking, _ = await office.ask(MAIL)

    def fail(call: object) -> object:
        raise ConfigurationError("The replica is about to die.")

    decided = office.site.decided(asking, [APPROVE], fail)
    with pytest.raises(ConfigurationError):
        await office.replica().invoke(decided.context)
    later = office.site.taken_over(decided, says("Done."))
    assert later.context.claim.progress is not None
    result = await office.replica().invoke(later.context)
    assert shape(result.messages) == ["tool(c0)", "assistant"]
    assert office.sent == [("alice", 1)]


async def test_a_question_of_a_graphs_own_takes_one_decision_as_it_is() -> None:
    """What a graph asks in a shape of its own is answered with whatever was sent."""
    site = Site()

    async def ask(state: State, runtime: Runtime[RunContext]) -> Mapping[str, Any]:
        answer = interrupt("Tea or coffee?")
        return {"messages": [AIMessage(f"You get {answer['drink']}.")]}

    graph = StateGraph(State, context_schema=RunContext).add_node("ask", ask).add_edge(START, "ask")
    asking = turn()
    result = await site.runner(graph).invoke(asking.context)
    assert [question.value for question in result.interrupts] == ["Tea or coffee?"]
    result = await site.runner(graph).invoke(site.decided(asking, [{"drink": "tea"}]).context)
    assert [message.content for message in result.messages] == ["You get tea."]


async def test_what_is_asked_can_be_recorded() -> None:
    """Whatever a model writes into a call, what is told of the question is JSON that every store takes."""
    deep: Any = "end"
    for _ in range(400):
        deep = [deep]
    asked = {"text": "a\x00b", "half": "\ud800", "n": 10**30, "x": float("nan"), "deep": deep, 7: ()}
    [question] = told_of([Interrupt(value=asked, id="1")])
    shallow = question.value.pop("deep")
    for _ in range(49):
        [shallow] = shallow
    assert shallow == "…"
    assert question.value == {"text": "a\ufffdb", "half": "\ufffd", "n": str(10**30), "x": "nan", "7": []}


@pytest.mark.parametrize("kind", ["plan_execute", "supervisor"])
def test_specialists_have_no_tools_that_ask_or_act(kind: str) -> None:
    """Where specialists call the tools, which begin anew after a question or a crash, such tools are refused."""

    async def research(topic: str) -> str:
        return topic

    tools: list[BaseTool] = [tool_of(research, "research")]
    with pytest.raises(ConfigurationError, match="approval"):
        build(kind, GraphOptions(approve=("research",)), tools)
    with pytest.raises(ConfigurationError, match="has an effect"):
        build(kind, GraphOptions(), [acting(tools[0], "once")])


def test_approval_is_for_tools_that_there_are() -> None:
    """A misspelt name would let the tool go unasked, so it is refused."""
    with pytest.raises(ConfigurationError, match="'send_mial' is not one of the tools") as refused:
        Office().replica(approve=("send_mial",))
    assert refused.value.param == "approve"
