"""What an operator decides: what becomes of each kind of item that a run is about to say."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.guard import Action
from services.guardrails.screen.links import images, links
from services.guardrails.screen.personal import KINDS, said_or_allowed
from services.guardrails.screen.rules import Rule
from services.guardrails.screen.secrets import SECRETS
from services.guardrails.screen.shapes import Word

REDACT, ALLOW, BLOCK = Action.REDACT, Action.ALLOW, Action.BLOCK


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputPolicy:
    """`redact` puts a notice in the item's place, `block` ends the answer there.

    Addresses that people are meant to write to and call are allowed by default, since an assistant has to name them. Of what is
    looked for, `allow_texts` are items that may be said (`@example.com`: every address there), `allow_hosts` those that images
    and links may lead to. `canaries` are texts that stand in prompts or documents so as never to be said.
    """

    secrets: Action = REDACT
    cards: Action = REDACT
    ibans: Action = REDACT
    ssns: Action = REDACT
    emails: Action = ALLOW
    phones: Action = ALLOW
    ips: Action = ALLOW
    images: Action = REDACT
    links: Action = ALLOW
    prompt: Action = REDACT
    canary: Action = BLOCK
    canaries: tuple[str, ...] = ()
    allow_texts: tuple[str, ...] = ()
    allow_hosts: tuple[str, ...] = ()

    def rules(self) -> tuple[Rule, ...]:
        """What is looked for in every text, whoever wrote it."""
        canaries = tuple(
            Rule(name="canary", label="withheld", shape=(Word(text),)) for text in dict.fromkeys(self.canaries) if text
        )
        spares = said_or_allowed(self.allow_texts)
        personal = [
            with_action
            for kind, rules in KINDS.items()
            for with_action in _with(getattr(self, kind), [replace(rule, spares=spares) for rule in rules])
        ]
        return (*_with(self.canary, canaries), *_with(self.secrets, SECRETS), *personal)

    def link_rules(self) -> tuple[Rule, ...]:
        """What is looked for besides in what a model writes, which a client may show as Markdown."""
        return (*_with(self.images, images(self.allow_hosts)), *_with(self.links, links(self.allow_hosts)))


def _with(action: Action, rules: Sequence[Rule]) -> list[Rule]:
    return [] if action is ALLOW else [replace(rule, action=action) for rule in rules]
