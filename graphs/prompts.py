"""What a model call is made of beside the conversation. Prompts are live configuration: read at the moment of the call."""

from collections.abc import Sequence
from dataclasses import replace

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from graphs.messages import instructed, spoken, text_of
from graphs.outside import shown_text
from graphs.state import this_turn
from services.errors import ConfigurationError
from services.runs.types import RunContext
from services.types import ModelOptions


def prompt(context: RunContext, role: str) -> str:
    """Return the prompt of a role. Raises ConfigurationError when there is none."""
    text = context.prompts.get(role)
    if text is None:
        raise ConfigurationError(
            f"The graph {context.run.graph!r} has no prompt {role!r}. Write it under graphs.{context.run.graph}.prompts."
        )
    return text


def working_options(context: RunContext) -> ModelOptions:
    """The client's model options for a call whose text is not the answer: length limits and stop words do not apply."""
    return replace(context.run.options, stop=(), max_output_tokens=None)


def closing(context: RunContext, role: str, messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """The conversation for the last call of a turn, the one without tools.

    Normally it is the same conversation. Where the operator wrote a prompt `final`, that replaces the role's prompt, and the
    results of this turn's tools become plain text beside the question. A very small model needs this: shown its own tool
    calls, it goes on writing tool calls.
    """
    final = context.prompts.get("final")
    results = [shown_text(message) for message in this_turn(messages) if isinstance(message, ToolMessage)]
    if final is None or not results:
        return instructed(prompt(context, role), messages)
    return [SystemMessage(content=final), *grounded(messages, "Facts", [f"- {text}" for text in results])]


def grounded(messages: Sequence[BaseMessage], heading: str, facts: Sequence[str]) -> list[BaseMessage]:
    """What was said so far, with the facts found for the last question beside it. Facts never become instructions:
    they are part of the user's message, not of the system's."""
    said = spoken(messages)
    while said and isinstance(said[-1], AIMessage):
        said.pop()
    listed = "\n".join(facts)
    return [*said[:-1], HumanMessage(content=f"{heading}:\n{listed}\n\nQuestion: {question_of(messages)}")]


def question_of(messages: Sequence[BaseMessage]) -> str:
    """The last thing the user said."""
    return next((text_of(message) for message in reversed(messages) if isinstance(message, HumanMessage)), "")
