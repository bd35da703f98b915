"""What people decided, checked against what they were asked: before the graph goes on, so that nothing has run yet."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from langchain_core.tools import BaseTool
from langgraph.types import Interrupt

from graphs.approval import Answer
from graphs.tools.calling import wrong_arguments
from services.errors import InvalidRequest
from services.storage.encoding import storable
from services.types import Interruption, JsonObject, Run

Decision = Mapping[str, Any]

MAX_DEPTH = 50
"""Of what is shown of a question; deeper is left out."""


class DecisionDesk:
    """Takes the decisions that runs bring for one graph, with these tools."""

    def __init__(self, tools: Sequence[BaseTool]) -> None:
        self._tools = {tool.name: tool for tool in tools}

    def answers(self, run: Run, questions: Sequence[Interrupt]) -> Mapping[str, JsonObject]:
        """Return what answers each open question, by its id.

        A question with `action_requests` takes one decision for each of them, any other question takes one, as it is.
        Raises InvalidRequest, naming the field, for decisions that nobody asked for or that cannot be carried out.
        """
        decisions, questions = run.decisions or (), in_order(questions)
        if not questions:
            raise InvalidRequest("The thread has no open question, so there is nothing to decide.", param="decisions")
        requested = [_requests(question.value) for question in questions]
        expected = sum(1 if requests is None else len(requests) for requests in requested)
        if len(decisions) != expected:
            raise InvalidRequest(
                f"There must be one decision for each of the {expected} that were asked for, in order, and there are "
                f"{len(decisions)}.",
                param="decisions",
            )
        answers: dict[str, JsonObject] = {}
        first = 0
        for question, requests in zip(questions, requested, strict=True):
            if requests is None:
                answers[question.id] = dict(decisions[first])
                first += 1
                continue
            taken = decisions[first : first + len(requests)]
            for number, (request, decision) in enumerate(zip(requests, taken, strict=True), first):
                self._check(f"decisions.{number}", decision, _allowed(question.value, request))
            answers[question.id] = Answer(run_id=run.id, question=question.value, decisions=taken).as_json()
            first += len(requests)
        return answers

    def _check(self, field: str, decision: Decision, allowed: Sequence[str]) -> None:
        kind = decision.get("type")
        if kind not in allowed:
            raise InvalidRequest(f"The decision must be one of: {', '.join(allowed)}.", param=f"{field}.type")
        if kind == "edit":
            self._check_edit(f"{field}.edited_action", decision.get("edited_action"))
        message = decision.get("message", "" if kind == "reject" else None)
        if kind in ("reject", "respond") and not isinstance(message, str):
            raise InvalidRequest("There must be a text.", param=f"{field}.message")

    def _check_edit(self, field: str, action: object) -> None:
        if not isinstance(action, Mapping):
            raise InvalidRequest("There must be an object with `name` and `args`.", param=field)
        tool = self._tools.get(str(action.get("name")))
        if tool is None:
            raise InvalidRequest(f"The agent has these tools: {', '.join(self._tools)}.", param=f"{field}.name")
        arguments = action.get("args")
        if not isinstance(arguments, Mapping):
            raise InvalidRequest("There must be an object of arguments.", param=f"{field}.args")
        wrong = wrong_arguments(tool, arguments)
        if wrong is not None:
            raise InvalidRequest(f"{tool.name} does not take this: {wrong}", param=f"{field}.args")


def in_order(questions: Iterable[Interrupt]) -> list[Interrupt]:
    """Return each question once, in an order that is the same whenever they are asked."""
    return [question for _, question in sorted({question.id: question for question in questions}.items())]


def told_of(questions: Iterable[Interrupt]) -> tuple[Interruption, ...]:
    """Return questions as they are recorded and shown: plain data that can be stored, whatever a model wrote into a call."""
    return tuple(Interruption(id=question.id, value=_plain(question.value)) for question in in_order(questions))


def _plain(value: Any, depth: int = 0) -> Any:
    if isinstance(value, Mapping | list | tuple) and depth == MAX_DEPTH:
        return "…"
    match value:
        case Mapping():
            return {storable(str(key)): _plain(item, depth + 1) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item, depth + 1) for item in value]
        case None | bool():
            return value
        case int() if -(2**63) <= value < 2**64:
            return value
        case float() if math.isfinite(value):
            return value
        case _:
            return storable(str(value))


def _requests(value: object) -> Sequence[JsonObject] | None:
    """The calls that a question asks about, None for a question in a shape of its own."""
    requests = value.get("action_requests") if isinstance(value, Mapping) else None
    return requests if isinstance(requests, list) else None


def _allowed(question: JsonObject, request: JsonObject) -> Sequence[str]:
    for review in question.get("review_configs", ()):
        if review["action_name"] == request["name"]:
            allowed: Sequence[str] = review["allowed_decisions"]
            return allowed
    return ()
