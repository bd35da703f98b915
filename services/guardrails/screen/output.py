"""The output screen: the one object through which everything goes that a run says, shows or keeps.

What a model writes is screened as it comes, before it is shown, logged, or put into a graph's state; what tools return before
a model or anybody else reads it; and what ends a run before it is recorded. So what is stored is what was released, and a
protocol, a replay or a later turn has nothing else to show. An error in here is no verdict: it ends the run.

Formats are looked for on the stream. What sentences mean is judged behind that, by `services.guardrails.semantic`, if it is on.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, TypeVar

from services.errors import ContentBlocked
from services.events import (
    GuardrailTripped,
    HandedOver,
    ReasoningDelta,
    RunEvent,
    TextDelta,
    ToolFinished,
    ToolStarted,
)
from services.guard import Action, Stage, Verdict
from services.guardrails.screen.decisions import Decisions, version_of
from services.guardrails.screen.hold_back import HoldBack, RuleSet
from services.guardrails.screen.leak import LeakWatch, Prompts, words_of
from services.guardrails.screen.policy import OutputPolicy
from services.guardrails.screen.rules import Rule
from services.guardrails.screen.text import TextScreen
from services.guardrails.semantic.hidden import Hidden
from services.guardrails.semantic.judging import RunJudging
from services.guardrails.semantic.reading import Ahead, Reading
from services.guardrails.semantic.tier import SemanticTier, Tally
from services.llm.screening import Outlet
from services.telemetry.metrics import OUTPUT_RETRACTED, OUTPUT_WITHHELD, UNMEASURED, Meter
from services.types import Message, Run, RunOutcome, ToolCall

EventT = TypeVar("EventT", bound=RunEvent)
Report = Callable[[GuardrailTripped], None]

WITHHELD = "[withheld by a guardrail]"
"""What stands for a whole text in which something was blocked."""

PROMPT_NOTICE = "[redacted: instructions]"

_KEPT_PROMPTS = 64

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

    def __init__(
        self,
        policy: OutputPolicy = OutputPolicy(),  # noqa: B008  frozen
        *,
        semantic: Callable[[], SemanticTier | None] = lambda: None,
        meter: Meter = UNMEASURED,
    ) -> None:
        self.policy = policy
        self.semantic = semantic
        """Asked at the start of every run, so it can change live."""
        self.meter = meter
        self.version = version_of(policy)
        rules = policy.rules()
        self.data = RuleSet(rules)
        """For what tools return and errors say."""
        self.prose = RuleSet((*rules, *policy.link_rules()))
        """For what a model writes."""
        self._prompts: dict[tuple[str, ...], Prompts] = {}
        self._letters: dict[tuple[str, ...], Hidden] = {}

    def open(self, run: Run, prompts: Mapping[str, str], report: Report, ahead: Ahead | None = None) -> "RunScreen":
        """Return the screen of a run. `report` is told, once for each rule, that something was not let through.

        `ahead` is where its answer goes that is shown before it is judged; without it nothing is.
        """
        said = "\n".join(message.content for message in run.messages if message.role == "user")
        screen = RunScreen(self, said, self._known(prompts), report)
        if (tier := self.semantic()) is not None:
            hidden = self._hidden(prompts)
            screen.judging = RunJudging(tier, said, hidden, flagged=run.flagged, ahead=ahead, told=screen.ruled)
        return screen

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

    def _hidden(self, prompts: Mapping[str, str]) -> Hidden | None:
        """Return what no spelling may give away, by this policy."""
        texts = tuple(prompts.values()) if self.policy.prompt is not Action.ALLOW else ()
        canaries = self.policy.canaries if self.policy.canary is not Action.ALLOW else ()
        if not (texts or canaries):
            return None
        if texts not in self._letters:
            if len(self._letters) >= _KEPT_PROMPTS:
                self._letters.clear()
            self._letters[texts] = Hidden(texts, canaries)
        return self._letters[texts]


class RunScreen:
    """The screen of one run: `stream` for text that comes in pieces, the others for what is whole.

    Everything here raises GuardrailUnavailable where it cannot say whether a text may go out.
    """

    def __init__(self, screen: OutputScreen, said: str, prompts: Prompts | None, report: Report) -> None:
        self._screen = screen
        self._said = said
        self._prompts = prompts
        self._report = report
        self.judging: RunJudging | None = None
        self.decisions = Decisions(version=screen.version)
        self._passed: dict[RuleSet, set[str]] = {screen.prose: set(), screen.data: set()}

    def stream(self) -> TextScreen:
        """Return the screen of one text by a model."""
        leak = None if self._prompts is None else self._leak_watch(self._prompts)
        return TextScreen(HoldBack(self._screen.prose, self._said, self._tripped), leak)

    def reading(self, outlet: Outlet, *, trusted: bool, answer: bool) -> Reading | None:
        """Return how a text by a model is judged behind its screen; None where the semantic tier is off."""
        self.decisions.tainted |= not trusted
        return None if self.judging is None else self.judging.reading(outlet, trusted=trusted, answer=answer)

    async def judged(self, value: Any) -> None:
        """Return if a model may say this, as the semantic tier sees it. Raises ContentBlocked and GuardrailUnavailable."""
        if self.judging is not None:
            await self.judging.judged(value)

    def written(self, value: Any) -> Any:
        """Return what a model wrote as it may be kept: a text, or lists and mappings of texts, such as a call's arguments.

        Raises ContentBlocked where the policy is to end the answer.
        """
        return _mapped(self._written, value)

    def kept(self, text: str) -> str:
        """Return a text that a tool returned, or an error, as it may be read, shown and stored."""
        return self._by(self._screen.data, text)

    def passed(self, text: str, taken_chars: int = 0) -> None:
        """Take note that this is what was released of so much of a model's text: it is shown and stored as it is."""
        if taken_chars:
            self.decisions.chars_in += taken_chars
            self.decisions.chars_out += len(text)
        for passed in self._passed.values():
            passed.add(text)

    def close(self, run: Run) -> None:
        """Put on record what was decided: the run has ended, and nothing more of it is judged."""
        judging, self.judging = self.judging, None  # it holds this
        tally = Tally() if judging is None else judging.tally
        if judging is not None:
            judging.record()
        self.decisions.log(run, tally.verdicts, tally.longest_s)

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
        self._tell("prompt", action, _done(action, "instructions"))

    def ruled(self, verdict: Verdict, retracted_chars: int) -> None:
        """Take note of a verdict of the semantic tier's: see `services.guardrails.semantic.reading.Told`."""
        rule = verdict.rule or "semantic"
        self.decisions.retracted_chars += retracted_chars
        if retracted_chars:
            self._screen.meter.record(OUTPUT_RETRACTED, float(retracted_chars), {"rule": rule})
        if verdict.action is not Action.ALLOW:
            action = verdict.action if verdict.action.passes else Action.BLOCK
            self._tell(rule, action, verdict.message or "The answer was stopped.")

    def _tripped(self, rule: Rule) -> None:
        self._tell(rule.name, rule.action, _done(rule.action, rule.label))

    def _tell(self, rule: str, action: Action, message: str) -> None:
        self.decisions.found[rule, action] += 1
        if self.decisions.found[rule, action] > 1:
            return
        self._screen.meter.record(OUTPUT_WITHHELD, 1.0, {"rule": rule, "action": action.value})
        self._report(GuardrailTripped(stage=Stage.OUTPUT, rule=rule, action=action, message=message))


def _done(action: Action, label: str) -> str:
    return f"{'The answer was stopped' if action is Action.BLOCK else 'Something was withheld'}: {label}."


def _mapped(change: Callable[[str], str], value: Any) -> Any:
    """Return a JSON value with every text in it changed, the value itself where none was."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {change(key) if isinstance(key, str) else key: _mapped(change, item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_mapped(change, item) for item in value)
    return value
