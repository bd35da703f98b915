"""What is to be done about each call of an answer, settled before any of them is made.

LangGraph executes a node anew when its run goes on, after a crash or after a person was asked. So all questions come first,
in one order: which calls are refused, which of them a person approves, what the ledger knows, what a person knows.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.messages.tool import ToolCall
from langchain_core.tools import BaseTool

from graphs.approval import approval_question, ask, needs_approval, uncertain_question
from graphs.messages import arguments_of, malformed_arguments, shortened
from graphs.provenance import Seen
from graphs.tools.calling import wrong_arguments
from graphs.tools.care import ToolLimits
from graphs.tools.declaration import declaration_of
from graphs.tools.effects import recorded, remembered
from graphs.tools.gate import EffectGate, EffectPolicy, Held
from graphs.tools.outcomes import Outcome, Problem, Reply, told
from graphs.tools.results import readable
from graphs.tools.targets import UsersWords
from services.errors import ConfigurationError
from services.runs.effects import EffectCall, Effects, Entry, Ruling
from services.runs.types import RunContext

MAX_ORIGINS_CHARS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedCall:
    """One call of an answer. With a `reply` it is not made; `old` says that the reply was given before this.

    `id` is what the ledger knows it by: the id of the message that asks for it, and its place among that message's calls.
    Ids that models give to calls are often the same in every answer. `entry` is what the ledger holds of a call that is to be
    made again, and `ruled` says that its new intent is recorded already. `held` is why the gate does not let it pass by itself.
    """

    id: str
    index: int
    call: ToolCall
    arguments: str
    reply: Reply | None = None
    old: bool = False
    entry: Entry | None = None
    ruled: bool = False
    held: Held | None = None

    @property
    def name(self) -> str:
        return self.call["name"]


class Planner:
    """Plans the calls of one agent's answers. The tools' marks say which have an effect, and which a person approves."""

    def __init__(
        self, tools: Mapping[str, BaseTool], limits: ToolLimits, ledger: Effects | None, policy: EffectPolicy
    ) -> None:
        self._tools = tools
        self._limits = limits
        self._ledger = ledger
        self._gate = EffectGate(tools, policy.allowed)
        self._hold = policy.hold
        self._declared = {name: declaration_of(tool) for name, tool in tools.items()}
        self._effects = frozenset(name for name, declared in self._declared.items() if declared.ledgered)
        self._approve = frozenset(name for name, tool in tools.items() if needs_approval(tool))

    async def plan(self, answer: AIMessage, context: RunContext, seen: Seen) -> list[PlannedCall]:
        """Return the calls of `answer` in order, ready to be made. The turn may end here, with a question to a person.

        `seen` is what the model had read that gave the answer.
        Raises StoreUnavailable and RunSuperseded where calls have effects.
        """
        words = UsersWords(seen.words)
        plans = [self._first_look(answer, index, seen, words) for index in range(len(answer.tool_calls))]
        known = await self._recalled(plans, context)
        plans = self._approved(plans, known, context)
        plans = await self._resolved(plans, known, context)
        if any(plan.reply is None and plan.name in self._effects for plan in plans):
            if answer.id is None:
                raise ConfigurationError(
                    "A tool with an effect was asked for by a message that is not in the graph's state."
                )
            # From here on whoever takes the run over has to find these very calls again.
            await context.checkpoints.flush()
        return plans

    def _first_look(self, answer: AIMessage, index: int, seen: Seen, words: UsersWords) -> PlannedCall:
        call, arguments = answer.tool_calls[index], arguments_of(answer, answer.tool_calls[index])
        held = self._gate.held(call, seen, words)
        reply = self._refusal(answer, index, arguments, asked=held is not None or call["name"] in self._approve)
        return PlannedCall(
            id=f"{answer.id}:{index}", index=index, call=call, arguments=arguments, reply=reply, held=held
        )

    def _refusal(self, answer: AIMessage, index: int, arguments: str, *, asked: bool) -> Reply | None:
        """Why the call is not made at all, None where it can be."""
        call, limits = answer.tool_calls[index], self._limits
        name = call["name"]
        if index >= limits.max_calls:
            return told(Problem.TOO_MANY, max_calls=limits.max_calls)
        if name not in self._tools:
            return told(Problem.NO_SUCH_TOOL, asked=name[:100], known=", ".join(self._tools) or "none")
        if malformed_arguments(answer, call) is not None:
            return told(Problem.NO_OBJECT, name=name, arguments=arguments[:500])
        if len(arguments) > limits.max_argument_chars:
            return told(Problem.TOO_LONG, name=name, chars=len(arguments), max_chars=limits.max_argument_chars)
        # Nobody is asked about a call that cannot be made. Of the others the tool says so itself.
        wrong = wrong_arguments(self._tools[name], call["args"]) if asked else None
        return None if wrong is None else told(Problem.WRONG_ARGUMENTS, name=name, details=wrong)

    async def _recalled(self, plans: Sequence[PlannedCall], context: RunContext) -> Mapping[str, Entry]:
        """What is known of the calls. Of those of a run that was neither taken over nor resumed nothing can be."""
        went_on = context.run.attempt > 1 or context.run.decisions is not None
        if not self._effects or self._ledger is None or not went_on:
            return {}
        return await self._ledger.recall(context.run, [plan.id for plan in plans])

    def _approved(
        self, plans: Sequence[PlannedCall], known: Mapping[str, Entry], context: RunContext
    ) -> list[PlannedCall]:
        run = context.run
        asked = [plan for plan in plans if plan.reply is None and (plan.held or plan.name in self._approve)]
        alone = [plan for plan in asked if run.ephemeral or (self._hold == "refuse" and plan.name not in self._approve)]
        plans = _with(plans, [_unattended(plan) for plan in alone])
        asked = [plan for plan in asked if plan not in alone]
        if not asked:
            return plans
        # What an earlier run was told is good only if that run went ahead: it may have ended first, and this one been asked.
        acted = {run_id for entry in known.values() for run_id in entry.runs}
        decisions = ask(
            approval_question(
                [plan.call for plan in asked], [plan.held.description if plan.held else None for plan in asked]
            ),
            lambda answer: answer.run_id == run.id or answer.run_id in acted,
        )
        return _with(plans, [self._decided(plan, decision) for plan, decision in zip(asked, decisions, strict=True)])

    async def _resolved(
        self, plans: Sequence[PlannedCall], known: Mapping[str, Entry], context: RunContext
    ) -> list[PlannedCall]:
        """Look up what the ledger knows, and have a person say what it does not."""
        plans = [self._looked_up(plan, known) for plan in plans]
        uncertain = [
            plan for plan in plans if plan.reply is None and plan.entry and self._declared[plan.name].repeat == "once"
        ]
        if not uncertain or self._ledger is None:
            return plans
        run = context.run
        if run.ephemeral:
            return _with(plans, [replace(plan, reply=told(Problem.UNCERTAIN, name=plan.name)) for plan in uncertain])
        # A person's word is good for one attempt: rows of this run say that it was taken, and the replica lost again.
        begun_here = any(plan.entry and run.id in plan.entry.runs for plan in uncertain)
        decisions = ask(
            uncertain_question([plan.call for plan in uncertain]),
            lambda answer: answer.run_id == run.id and not begun_here,
        )
        ruled = [
            replace(self._decided(plan, decision), ruled=True)
            for plan, decision in zip(uncertain, decisions, strict=True)
        ]
        await self._ledger.rule(context.claim.fence, [_ruling(plan) for plan in ruled])
        return _with(plans, ruled)

    def _looked_up(self, plan: PlannedCall, known: Mapping[str, Entry]) -> PlannedCall:
        """What the ledger knows goes before what a person decided: an earlier run may have made the call, and then failed."""
        entry = known.get(plan.id)
        if entry is None:
            return plan
        if entry.outcome is not None:
            return replace(plan, reply=remembered(entry.outcome), old=True)
        if plan.reply is not None:
            return replace(plan, reply=told(Problem.UNCERTAIN, name=plan.name))
        return replace(plan, entry=entry)

    def _decided(self, plan: PlannedCall, decision: Mapping[str, Any]) -> PlannedCall:
        """Return the call with what a person decided of it."""
        match decision["type"]:
            case "edit":
                action = decision["edited_action"]
                call = ToolCall(name=action["name"], args=dict(action["args"]), id=plan.call["id"], type="tool_call")
                return replace(plan, call=call, arguments=json.dumps(call["args"], ensure_ascii=False, default=str))
            case "reject":
                reply = told(Problem.REJECTED, name=plan.name)
                why = decision.get("message")
                text = f"{reply.text} They say: {self._text(why)}" if why else reply.text
                return replace(plan, reply=replace(reply, text=text, own=not why))
            case "respond":
                reply = Reply(outcome=Outcome.ANSWERED, text=self._text(decision["message"]))
                return replace(plan, reply=reply)
            case _:
                return plan

    def _text(self, said: str) -> str:
        return readable(said, self._limits.max_result_chars)


def _unattended(plan: PlannedCall) -> PlannedCall:
    """The call where nobody can be asked about it."""
    if plan.held is None:
        return replace(plan, reply=told(Problem.UNATTENDED, name=plan.name))
    origins = shortened(", ".join(plan.held.tainted_by), MAX_ORIGINS_CHARS)
    return replace(plan, reply=told(Problem.HELD, name=plan.name, origins=origins))


def _ruling(plan: PlannedCall) -> Ruling:
    call = EffectCall(id=plan.id, tool=plan.name)
    return Ruling(call=call, outcome=None if plan.reply is None else recorded(plan.reply))


def _with(plans: Sequence[PlannedCall], changed: Sequence[PlannedCall]) -> list[PlannedCall]:
    by_index = {plan.index: plan for plan in changed}
    return [by_index.get(plan.index, plan) for plan in plans]
