"""The chain: every rule sees every text, and the most severe verdict decides."""

from dataclasses import dataclass

import pytest

from services.guard import Action, Stage, Verdict
from services.guardrails.chain import GuardrailChain
from services.guardrails.types import ScreenedText


@dataclass
class WordRule:
    """Does `action` to a text that holds `word`; redacting puts stars there, or withholds the text if it is `opaque`."""

    word: str
    action: Action
    opaque: bool = False

    @property
    def name(self) -> str:
        return self.word

    def check(self, text: ScreenedText, stage: Stage) -> Verdict:
        if self.word not in text.raw:
            return Verdict(action=Action.ALLOW)
        stars = None if self.opaque or self.action is Action.BLOCK else text.raw.replace(self.word, "*")
        return Verdict(action=self.action, rule=self.word, message="no", replacement=stars)


RULES = (WordRule("mail", Action.REDACT), WordRule("phone", Action.REDACT), WordRule("bomb", Action.BLOCK))


@pytest.mark.parametrize("texts", [["mail bomb"], ["mail", "bomb"], ["bomb", "mail"], ["fine", "mail phone", "a bomb"]])
async def test_a_redaction_does_not_hide_a_block(texts: list[str]) -> None:
    """A later rule, or a later text, that is blocked decides over what an earlier one redacts."""
    verdict = await GuardrailChain(RULES).check(texts, Stage.INPUT)
    assert (verdict.action, verdict.rule) == (Action.BLOCK, "bomb")


async def test_rules_redact_one_after_another() -> None:
    """The replacement is free of what either rule found."""
    verdict = await GuardrailChain(RULES).check(["mail and phone"], Stage.TOOL_RESULT)
    assert (verdict.action, verdict.rule, verdict.replacement) == (Action.REDACT, "mail", "* and *")


@pytest.mark.parametrize("first", [True, False])
async def test_a_rule_that_withholds_a_text_is_not_softened_by_one_that_replaces_it(first: bool) -> None:
    """Without a replacement from one of the rules there is none, in either order."""
    rules = (WordRule("mail", Action.REDACT, opaque=first), WordRule("phone", Action.REDACT, opaque=not first))
    verdict = await GuardrailChain(rules).check(["mail and phone"], Stage.TOOL_RESULT)
    assert (verdict.action, verdict.replacement) == (Action.REDACT, None)


@pytest.mark.parametrize("other", [Action.REDACT, Action.BLOCK])
async def test_a_flag_is_less_than_any_other_finding(other: Action) -> None:
    """What else is found decides, whichever rule or text comes first; alone, a flag is the verdict."""
    rules = (WordRule("odd", Action.FLAG), WordRule("bad", other))
    for chain in (GuardrailChain(rules), GuardrailChain(rules[::-1])):
        assert (await chain.check(["odd bad"], Stage.INPUT)).action is other
        assert (await chain.check(["odd", "bad"], Stage.INPUT)).action is other
        assert (await chain.check(["bad", "odd"], Stage.INPUT)).action is other
        flagged = await chain.check(["fine", "odd"], Stage.INPUT)
        assert (flagged.action, flagged.rule) == (Action.FLAG, "odd")


async def test_a_flag_passes_and_so_does_what_is_allowed() -> None:
    """The other two do not."""
    assert [action for action in Action if action.passes] == [Action.ALLOW, Action.FLAG]


async def test_a_redaction_that_is_flagged_again_stands() -> None:
    """A later rule that only flags what an earlier one has left does not undo the redaction."""

    class Then:
        name = "then"

        def check(self, text: ScreenedText, stage: Stage) -> Verdict:
            if "mail" in text.raw:
                return Verdict(action=Action.REDACT, rule="then", message="no", replacement="-")
            return Verdict(action=Action.FLAG, rule="then", message="hm")

    verdict = await GuardrailChain((RULES[0], Then())).check(["a mail"], Stage.INPUT)
    assert (verdict.action, verdict.rule, verdict.replacement) == (Action.REDACT, "mail", "a *")


async def test_the_first_text_that_needs_a_replacement_gives_it() -> None:
    """A verdict over several texts carries the first redaction."""
    verdict = await GuardrailChain(RULES).check(["fine", "a phone", "a mail"], Stage.INPUT)
    assert (verdict.action, verdict.rule, verdict.replacement) == (Action.REDACT, "phone", "a *")
