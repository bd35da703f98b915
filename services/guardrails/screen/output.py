"""The output screen: the one object through which everything goes that a run says, shows or keeps.

What a model writes is screened as it comes, before it is shown, logged, or put into a graph's state; what tools return before
a model or anybody else reads it; and what ends a run before it is recorded. So what is stored is what was released, and a
protocol, a replay or a later turn has nothing else to show. An error in here is no verdict: it ends the run.
"""

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, TypeVar

from services.errors import ContentBlocked, GuardrailUnavailable
from services.events import (
    GuardrailTripped,
    HandedOver,
    ReasoningDelta,
    RunEvent,
    TextDelta,
    ToolFinished,
    ToolStarted,
)
from services.guard import Action, Stage
from services.guardrails.screen.hold_back import HoldBack, RuleSet
from services.guardrails.screen.leak import LeakWatch, Prompts, words_of
from services.guardrails.screen.policy import OutputPolicy
from services.guardrails.screen.rules import Rule
from services.telemetry.metrics import OUTPUT_WITHHELD, UNMEASURED, Meter
from services.types import Message, Run, RunOutcome, ToolCall

logger = logging.getLogger(__name__)

EventT = TypeVar("EventT", bound=RunEvent)
Report = Callable[[GuardrailTripped], None]

WITHHELD = "[withheld by a guardrail]"
"""What stands for a whole text in which something was blocked."""

PROMPT_NOTICE = "[redacted: instructions]"

_KEPT_PROMPTS = 64

_BUGS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    NameError,
    RuntimeError,
    TypeError,
    ValueError,
    re.error,
)
"""What is raised where a rule is wrong. Anything else would not let the text pass either, only under another name."""

_TEXTS: Mapping[type[Any], tuple[str, ...]] = {
    TextDelta: ("text",),
    ReasoningDelta: ("text",),
    ToolStarted: ("name", "arguments"),
    ToolFinished: ("name", "result"),
    HandedOver: ("reason",),
    GuardrailTripped: ("message",),
}
"""What of an event a model or a tool may have written."""


class OutputScreen:
    """Built once per replica; immutable but for what it knows of prompts."""

    def __init__(self, policy: OutputPolicy = OutputPolicy(), *, meter: Meter = UNMEASURED) -> None:  # noqa: B008  frozen
        self.policy = policy
        self.meter = meter
        rules = policy.rules()
        self.data = RuleSet(rules)
        """For what tools return and errors say."""
        self.prose = RuleSet((*rules, *policy.link_rules()))
        """For what a model writes."""
        self._prompts: dict[tuple[str, ...], Prompts] = {}

    def open(self, run: Run, prompts: Mapping[str, str], report: Report) -> "RunScreen":
        """Return the screen of a run. `report` is told, once for each rule, that something was not let through."""
        said = "\n".join(message.content for message in run.messages if message.role == "user")
        return RunScreen(self, said, self._known(prompts), report)

    def _known(self, prompts: Mapping[str, str]) -> Prompts | None:
        if self.policy.prompt is Action.ALLOW:
            return None
        texts = tuple(prompts.values())
        known = self._prompts.get(texts)
        if known is None:
            if len(self._prompts) >= _KEPT_PROMPTS:
                self._prompts.clear()
            known = self._prompts[texts] = Prompts(texts)
        return known if known.grams else None


class RunScreen:
    """The screen of one run: `stream` for text that comes in pieces, the others for what is whole.

    Everything here raises GuardrailUnavailable where it cannot say whether a text may go out.
    """

    def __init__(self, screen: OutputScreen, said: str, prompts: Prompts | None, report: Report) -> None:
        self._screen = screen
        self._said = said
        self._prompts = prompts
        self._report = report
        self._reported: set[tuple[str, Action]] = set()
        self._passed: dict[RuleSet, set[str]] = {screen.prose: set(), screen.data: set()}

    def stream(self) -> "TextScreen":
        """Return the screen of one text by a model."""
        leak = None if self._prompts is None else self._leak_watch(self._prompts)
        return TextScreen(HoldBack(self._screen.prose, self._said, self._tripped), leak)

    def written(self, value: Any) -> Any:
        """Return what a model wrote as it may be kept: a text, or lists and mappings of texts, such as a call's arguments.

        Raises ContentBlocked where the policy is to end the answer.
        """
        return _mapped(self._written, value)

    def kept(self, text: str) -> str:
        """Return a text that a tool returned, or an error, as it may be read, shown and stored."""
        return self._by(self._screen.data, text)

    def passed(self, text: str) -> None:
        """Take note that this is what was released of a model's text: it is shown and stored as it is."""
        for passed in self._passed.values():
            passed.add(text)

    def _by(self, rules: RuleSet, text: str) -> str:
        if text in self._passed[rules]:
            return text
        stream = TextScreen(HoldBack(rules, self._said, self._tripped), None)
        released = stream.feed(text) + stream.finish()
        kept = WITHHELD if stream.blocked else released
        self._passed[rules].add(kept)
        return kept

    def _spoken(self, text: str) -> str:
        """Return a text that a graph wrote by itself into its answer."""
        return self._by(self._screen.prose, text)

    def event(self, event: EventT) -> EventT:
        """Return an event as it may be logged and shown."""
        changed: dict[str, Any] = {}
        screened = self._spoken if isinstance(event, TextDelta | ReasoningDelta) else self.kept
        for name in _TEXTS.get(type(event), ()):
            text = getattr(event, name)
            if (shown := screened(text)) != text:
                changed[name] = shown
        return replace(event, **changed) if changed else event

    def outcome(self, outcome: RunOutcome) -> RunOutcome:
        """Return how a run ended as it may be recorded and told."""
        failure = outcome.failure
        return replace(
            outcome,
            messages=tuple(map(self._message, outcome.messages)),
            failure=None if failure is None else replace(failure, message=self.kept(failure.message)),
            interrupts=tuple(
                replace(question, value=_mapped(self.kept, question.value)) for question in outcome.interrupts
            ),
        )

    def _message(self, message: Message) -> Message:
        calls = tuple(self._call(call) for call in message.tool_calls)
        screened = self._spoken if message.role == "assistant" else self.kept
        return replace(message, content=screened(message.content), tool_calls=calls)

    def _call(self, call: ToolCall) -> ToolCall:
        return replace(call, name=self.kept(call.name), arguments=self.kept(call.arguments))

    def _written(self, text: str) -> str:
        stream = self.stream()
        released = stream.feed(text) + stream.finish()
        if stream.blocked:
            raise ContentBlocked("A guardrail stopped the answer.")
        return released

    def _leak_watch(self, prompts: Prompts) -> LeakWatch:
        notice = None if self._screen.policy.prompt is Action.BLOCK else PROMPT_NOTICE
        return LeakWatch(prompts, lambda: self._said_words, self._leaked, notice)

    @cached_property
    def _said_words(self) -> Sequence[str]:
        return words_of(self._said)

    def _leaked(self, action: Action) -> None:
        self._tell("prompt", action, "instructions")

    def _tripped(self, rule: Rule) -> None:
        self._tell(rule.name, rule.action, rule.label)

    def _tell(self, rule: str, action: Action, label: str) -> None:
        if (rule, action) in self._reported:
            return
        self._reported.add((rule, action))
        done = "The answer was stopped" if action is Action.BLOCK else "Something was withheld"
        message = f"{done}: {label}."
        self._screen.meter.record(OUTPUT_WITHHELD, 1.0, {"rule": rule, "action": action.value})
        self._report(GuardrailTripped(stage=Stage.OUTPUT, rule=rule, action=action, message=message))


class TextScreen:
    """One text on its way out. Once it is `blocked` nothing more comes out of it. Raises GuardrailUnavailable."""

    __slots__ = ("_hold_back", "_leak")

    def __init__(self, hold_back: HoldBack, leak: LeakWatch | None) -> None:
        self._hold_back = hold_back
        self._leak = leak

    @property
    def blocked(self) -> bool:
        return self._hold_back.blocked or (self._leak is not None and self._leak.blocked)

    def feed(self, piece: str) -> str:
        """Take a piece, and return what may go out now."""
        try:
            released = self._hold_back.feed(piece)
            return released if self._leak is None or not released else self._leak.feed(released)
        except _BUGS as error:
            raise _unavailable(error) from error

    def finish(self) -> str:
        """Nothing follows: return what was held of it."""
        try:
            rest = self._hold_back.finish()
            return rest if self._leak is None else self._leak.feed(rest) + self._leak.finish()
        except _BUGS as error:
            raise _unavailable(error) from error


def _unavailable(error: BaseException) -> GuardrailUnavailable:
    logger.error("the output screen failed", exc_info=error)
    return GuardrailUnavailable("The answer could not be screened, so it was stopped.")


def _mapped(change: Callable[[str], str], value: Any) -> Any:
    """Return a JSON value with every text in it changed, the value itself where none was."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {change(key) if isinstance(key, str) else key: _mapped(change, item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_mapped(change, item) for item in value)
    return value
