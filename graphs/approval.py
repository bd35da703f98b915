"""Asking a person: which tools need approval, what is asked, and how what was decided comes back into the node.

A question ends the turn by LangGraph's `interrupt()`. What was decided comes as another run of the thread, in which LangGraph
executes the whole node anew and hands its `interrupt()` calls their answers in order. So a node asks before it does anything,
and asks the same again. Each answer says which run brought it and what that run's person was shown: nobody's decision is ever
taken for the answer to another question.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from langchain_core.messages.tool import ToolCall
from langchain_core.tools import BaseTool
from langgraph.types import interrupt

from services.types import JsonObject

_APPROVAL = "mainstay_approval"

FOR_A_CALL = ("approve", "edit", "reject", "respond")
"""What may be decided of a call before it is made: make it, make it otherwise, do not make it, take this for its result."""

FOR_AN_UNCERTAIN_CALL = ("approve", "reject", "respond")
"""What may be said of a call of which nobody knows what it did: it had no effect, make it now; it had none, and do not make
it; it had, and this is its result."""

_UNCERTAIN = (
    "Nobody knows whether this call took effect: what carried it out was lost meanwhile. Find out, then decide. "
    "approve: it did not, call it again. reject: it did not, do not call it. respond: it did, and this is its result."
)


def needing_approval(tool: BaseTool) -> BaseTool:
    """Return the tool with the mark that a person has to approve its calls."""
    return tool.model_copy(update={"metadata": {**(tool.metadata or {}), _APPROVAL: True}})


def needs_approval(tool: BaseTool) -> bool:
    return bool((tool.metadata or {}).get(_APPROVAL))


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a run brought to a question, one decision per call asked about, in order."""

    run_id: UUID
    question: JsonObject
    decisions: tuple[Mapping[str, Any], ...]

    def as_json(self) -> JsonObject:
        """Return it as LangGraph keeps it; with `decisions` where LangChain's own middleware looks for them."""
        return {"run_id": str(self.run_id), "question": self.question, "decisions": [dict(d) for d in self.decisions]}

    def is_to(self, question: JsonObject) -> bool:
        return _text(self.question) == _text(question)


def approval_question(calls: Sequence[ToolCall], descriptions: Sequence[str | None]) -> JsonObject:
    """Ask whether calls may be made, in the shape that Agent Chat UI shows. Each has a description if there is one."""
    requests = [
        {"name": call["name"], "args": call["args"]} | ({} if description is None else {"description": description})
        for call, description in zip(calls, descriptions, strict=True)
    ]
    return {"action_requests": requests, "review_configs": _reviews(calls, FOR_A_CALL)}


def uncertain_question(calls: Sequence[ToolCall]) -> JsonObject:
    """Ask what became of calls, in the same shape."""
    requests = [{"name": call["name"], "args": call["args"], "description": _UNCERTAIN} for call in calls]
    return {"action_requests": requests, "review_configs": _reviews(calls, FOR_AN_UNCERTAIN_CALL)}


def ask(question: JsonObject, accept: Callable[[Answer], bool]) -> Sequence[Mapping[str, Any]]:
    """Return what was decided. Where that is still open the turn ends here, by LangGraph's GraphInterrupt.

    `accept` looks at the answers to this very question: an older one may have served its purpose already.
    """
    while True:
        answer = _answer_from(interrupt(question))
        if answer is not None and answer.is_to(question) and accept(answer):
            return answer.decisions


def _answer_from(value: Any) -> Answer | None:
    """Read back an answer; None for what somebody else resumed the graph with."""
    if not isinstance(value, dict) or not value.keys() >= {"run_id", "question", "decisions"}:
        return None
    return Answer(run_id=UUID(value["run_id"]), question=value["question"], decisions=tuple(value["decisions"]))


def _reviews(calls: Sequence[ToolCall], allowed: Sequence[str]) -> list[JsonObject]:
    names = dict.fromkeys(call["name"] for call in calls)
    return [{"action_name": name, "allowed_decisions": list(allowed)} for name in names]


def _text(question: JsonObject) -> str:
    """JSON text compares where values do not: a model's NaN is unlike itself."""
    return json.dumps(question, sort_keys=True, default=str)
