"""remember and recall: what an agent notes about its user, for this conversation and later ones.

A note of a tainted turn may be somebody else's instruction for a later one. So it says what taints it, and taints the turn in
which it is recalled.
"""

import hashlib
from typing import Any

from langchain_core.tools import BaseTool, ToolException, tool
from langgraph.store.base import BaseStore

from graphs.memories import UserStores
from graphs.provenance import MEMORY
from graphs.tools.caller import bring_in, caller, tainted_by
from graphs.tools.resources import ToolResources
from services.errors import ConfigurationError
from services.memories import TAINTED_BY

NOTES = ("notes",)
"""Where the notes stand among a user's memories; what else graphs keep there is none of these tools' business."""

MAX_NOTE_CHARS = 1_000
MAX_QUERY_CHARS = 500
MAX_NOTES = 10


def remember(resources: ToolResources) -> BaseTool:
    """Make the tool. The same note is one memory, however often it is made: calling again does no harm."""
    stores = _stores(resources)

    @tool("remember")
    async def make_note(note: str) -> str:
        """Note a fact about the user that will matter in later conversations: a name, a preference, a plan.

        `note` is one fact in one sentence that can be understood by itself. Never note passwords or payment details.
        """
        text = " ".join(note.split())
        if not text:
            raise ToolException("The note is empty. Write one fact in one sentence.")
        if len(text) > MAX_NOTE_CHARS:
            raise ToolException(f"A note may have at most {MAX_NOTE_CHARS} characters. Write one fact in one sentence.")
        key = hashlib.sha256(text.casefold().encode("utf-8", "replace")).hexdigest()[:32]
        taint = tainted_by()
        value = {"text": text} | ({TAINTED_BY: list(taint)} if taint else {})
        await _mine(stores).aput(NOTES, key, value, index=["text"])
        return f"Noted: {text}"

    return make_note


def recall(resources: ToolResources) -> BaseTool:
    stores = _stores(resources)

    @tool("recall")
    async def find_notes(query: str, limit: int = 5) -> str:
        """Look up what was noted about the user, in this conversation and in earlier ones.

        `query` is what you want to know, in a few words. `limit` is the number of notes, 1 to 10.
        """
        asked = query.strip()[:MAX_QUERY_CHARS]
        if not asked:
            raise ToolException("The query is empty. Write what you want to know about the user, in a few words.")
        found = await _mine(stores).asearch(NOTES, query=asked, limit=max(1, min(limit, MAX_NOTES)))
        if not found:
            return f"No note about the user matches {asked!r}. Try other words, or ask the user."
        if any(item.value.get(TAINTED_BY) for item in found):
            bring_in(MEMORY)
        return "\n".join(f"- {_text(item.value)} (noted {item.updated_at:%Y-%m-%d})" for item in found)

    return find_notes


def _stores(resources: ToolResources) -> UserStores:
    if resources.memories is None:
        raise ConfigurationError("The tools `remember` and `recall` need memories, and there are none.", param="tools")
    return resources.memories


def _mine(stores: UserStores) -> BaseStore:
    principal = caller()
    return stores.of(principal.tenant_id, principal.user_id)


def _text(value: dict[str, Any]) -> str:
    return str(value.get("text", ""))
