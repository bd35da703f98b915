"""Prompts are live configuration: they are read from the run's context at the moment of the call."""

from collections.abc import Sequence

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from graphs.messages import instructed, spoken, text_of
from graphs.state import this_turn
from services.errors import ConfigurationError
from services.runs.types import RunContext


def prompt(context: RunContext, role: str) -> str:
    """Return the prompt of a role. Raises ConfigurationError when there is none."""
    text = context.prompts.get(role)
    if text is None:
        raise ConfigurationError(
            f"The graph {context.run.graph!r} has no prompt {role!r}. Write it under graphs.{context.run.graph}.prompts."
        )
    return text


def closing(context: RunContext, role: str, messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """The conversation for the last call of a turn, the one without tools.

    Normally it is the same conversation. Where the operator wrote a prompt `final`, that replaces the role's prompt, and the
    results of this turn's tools become plain text beside the question. A very small model needs this: shown its own tool
    calls, it goes on writing tool calls.
    """
    final = context.prompts.get("final")
    results = [text_of(message) for message in this_turn(messages) if isinstance(message, ToolMessage)]
    if final is None or not results:
        return instructed(prompt(context, role), messages)
    said = spoken(messages)
    while said and isinstance(said[-1], AIMessage):
        said.pop()
    question = text_of(said.pop()) if said else ""
    facts = "\n".join(f"- {text}" for text in results)
    return [SystemMessage(content=final), *said, HumanMessage(content=f"Facts:\n{facts}\n\nQuestion: {question}")]
