"""Criteria that code answers, from what is on record of a run: they cost nothing and need no judge."""

from dataclasses import dataclass

from evaluation.criteria.types import Context, Reading, Scale

SECONDS = Scale(kind="measure", unit="s", better="lower")
WORDS = Scale(kind="measure", unit="words")
SHARE = Scale(kind="measure", highest=1.0, better="higher")


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """How long the run took, in seconds, to its end; the first text is in the reason."""

    name: str = "latency"
    rubric_version: str = "1"
    scale: Scale = SECONDS
    needs_judge: bool = False

    async def read(self, context: Context) -> Reading:
        sample = context.sample
        if sample.first_text_s is not None:
            first = f"first text after {sample.first_text_s:.2f} s"
        else:
            first = "the first text is not on record" if sample.answer else "no text"
        return Reading(value=sample.duration_s, reason=first)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSuccess:
    """The share of the run's tool calls that gave a result, 0 to 1; unscored where none was made, or one is forgotten."""

    name: str = "tool_success"
    rubric_version: str = "1"
    scale: Scale = SHARE
    needs_judge: bool = False

    async def read(self, context: Context) -> Reading:
        uses = context.sample.tool_uses
        if not uses:
            return Reading(value=None, reason="no tool was called", applies=False)
        known = [use.succeeded for use in uses if use.succeeded is not None]
        if len(known) < len(uses):
            forgotten = f"what came of {len(uses) - len(known)} of {len(uses)} calls is not on record"
            return Reading(value=None, reason=forgotten, applies=False)
        failed = sorted({use.name for use in uses if not use.succeeded})
        succeeded = sum(known)
        reason = f"{succeeded} of {len(uses)} calls" + (f"; failed: {', '.join(failed)}" if failed else "")
        return Reading(value=succeeded / len(uses), reason=reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Length:
    """How many words the answer has, as spaces divide it: a jump is a sign that prompts or model have changed."""

    name: str = "length"
    rubric_version: str = "1"
    scale: Scale = WORDS
    needs_judge: bool = False

    async def read(self, context: Context) -> Reading:
        sample = context.sample
        return Reading(value=float(len(sample.answer.split())), reason=f"{sample.output_tokens} tokens of output")
