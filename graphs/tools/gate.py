"""What a tainted turn may not do unasked: reach somebody, or do what cannot be undone, unless that is whom the user means.

Text detection cannot tell a plain instruction in a document from the document, so it is assumed that the model obeys whatever
it has read, and what its calls could do is held instead. After something from outside was read, a call of a guarded tool is
made only where each target that it names stands in the user's own words or on the operator's list. Otherwise a person is asked,
or the call is not made. What the call says to such a target is its own business.

The calls of one answer were all decided by a model that had read what came before the answer. So taint is what stood before it,
and no result of these calls changes what becomes of the others, in whatever order they end.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from langchain_core.messages.tool import ToolCall
from langchain_core.tools import BaseTool

from graphs.messages import shortened
from graphs.provenance import Seen
from graphs.tools.declaration import Effect, declaration_of
from graphs.tools.targets import UsersWords, allows, targets_of

Hold = Literal["ask", "refuse"]
"""What becomes of a call that is held: a person is asked, or it is not made. In an ephemeral thread nobody can be asked."""

MAX_SHOWN_CHARS = 200
TAINT_RULE = "taint"
"""The rule that a call which is not made has broken, in its event."""

_EFFECTS: Mapping[Effect, str] = {"egress": "sends data out", "irreversible": "does what cannot be undone"}
_UNDECLARED = "may do anything, since it declares nothing"
_CAUTION = "Text from outside can make an agent do what nobody wants. Approve this only if you want it yourself."


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectPolicy:
    """What an operator says of one agent's guarded calls. `allowed` are the targets that they may reach in any turn, by the
    tool; `graphs.tools.targets.allows` says what patterns mean.
    """

    allowed: Mapping[str, Sequence[str]] = field(default_factory=dict)
    hold: Hold = "ask"


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A call that needs a person's leave. `unnamed` are the targets that nobody has named; none where they cannot be told."""

    tool: str
    effect: Effect
    unnamed: tuple[str, ...]
    tainted_by: tuple[str, ...]

    @property
    def reason(self) -> str:
        """Why, for a person to read. What is not ours in it is quoted, cut and escaped."""
        targets = ", ".join(ascii(shortened(target, MAX_SHOWN_CHARS)) for target in self.unnamed[:8])
        whom = f"to {targets}, which the user has not named" if targets else "to a target that cannot be told"
        read = shortened(", ".join(self.tainted_by), MAX_SHOWN_CHARS)
        return f"{self.tool} {_EFFECTS.get(self.effect, _UNDECLARED)}, {whom}. Before that the agent had read: {read}."

    @property
    def description(self) -> str:
        """The same as a question."""
        return f"{self.reason} {_CAUTION}"


class EffectGate:
    """The gate of one agent's tools. `allowed` are the operator's lists, by the tool."""

    def __init__(self, tools: Mapping[str, BaseTool], allowed: Mapping[str, Sequence[str]]) -> None:
        self._guarded = {
            name: (declared, frozenset(tool.args))
            for name, tool in tools.items()
            if (declared := declaration_of(tool)).guarded
        }
        self._allowed = allowed

    def held(self, call: ToolCall, seen: Seen, words: UsersWords) -> Held | None:
        """Return why a call is held, None where it may be made.

        `seen` is what the model had read that asked for it, `words` are the user's in that.
        """
        guarded = self._guarded.get(call["name"])
        if guarded is None or not seen.tainted:
            return None
        declared, known = guarded
        patterns = self._allowed.get(call["name"], ())
        unnamed: list[str] = []
        reached = 0
        # An argument that the schema does not show could be another name of a sink.
        unreadable = not known.issuperset(call["args"])
        for argument, sink in declared.sinks.items():
            targets = targets_of(call["args"].get(argument), sink)
            unreadable = unreadable or targets is None
            reached += len(targets or ())
            unnamed += [
                target for target in targets or () if not (words.name(target, sink) or allows(patterns, target, sink))
            ]
        if reached and not unnamed and not unreadable:
            return None
        return Held(
            tool=call["name"],
            effect=declared.effect,
            unnamed=() if unreadable else tuple(dict.fromkeys(unnamed)),
            tainted_by=seen.tainted_by,
        )
