"""The body of Mainstay's own routes that begin a run: what to do, in which thread, and how."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from deployments.protocols.types import Rules
from deployments.protocols.validation import Body as StrictBody
from deployments.protocols.validation import SamplingBody, check_messages
from services.errors import InvalidRequest
from services.types import Message, Multitask, OnDisconnect, RunRequest, Submission

MAX_DECISIONS = 64


class ChatMessage(StrictBody):
    role: Literal["system", "user", "assistant"]
    content: str


class EditedAction(StrictBody):
    name: str
    args: dict[str, Any]


class Decision(StrictBody):
    """What a person decided of one call that an interrupted run asks about."""

    type: Literal["approve", "edit", "reject", "respond"]
    edited_action: EditedAction | None = Field(default=None, description="with `edit`: the call to make instead")
    message: str | None = Field(default=None, description="with `reject`, why; with `respond`, the call's result")


class RunBody(SamplingBody):
    messages: list[ChatMessage] | None = None
    model: str | None = Field(default=None, description="a graph of GET /v1/models; the default graph if absent")
    thread_id: Annotated[UUID | None, Field(strict=False)] = Field(
        default=None, description="continues that thread: `messages` are then the new ones only"
    )
    decisions: Annotated[list[Decision], Field(min_length=1, max_length=MAX_DECISIONS)] | None = Field(
        default=None,
        description="instead of messages: go on with the thread's interrupted run, one decision for each call it asks about",
    )
    multitask_strategy: Literal["reject", "enqueue", "interrupt", "rollback"] = Field(
        default="reject", description="what happens when the thread has a run that has not ended"
    )
    webhook_url: str | None = Field(default=None, description="is told how the run ended")

    def to_request(self, rules: Rules, *, on_disconnect: OnDisconnect, background: bool = False) -> RunRequest:
        """Return the turn that the body asks for. Raises InvalidRequest, naming the field."""
        rules.check_webhook(self.webhook_url)
        return RunRequest(
            graph=self.model if self.model is not None else rules.default_graph,
            messages=self._checked_messages(rules),
            thread_id=self.thread_id,
            timeout_s=self.time_limit_s(rules),
            options=self.options(),
            on_disconnect=on_disconnect,
            metadata=self.metadata or {},
            decisions=self._decided(),
            background=background,
            submission=Submission(multitask=Multitask(self.multitask_strategy), webhook_url=self.webhook_url),
        )

    def _checked_messages(self, rules: Rules) -> tuple[Message, ...]:
        if self.decisions is None:
            messages = tuple(Message(role=message.role, content=message.content) for message in self.messages or ())
            check_messages(messages, rules, last_is_user=True)
            return messages
        if self.messages:
            raise InvalidRequest("Send messages or decisions, not both.", param="decisions")
        if self.thread_id is None:
            raise InvalidRequest("Decisions need the thread whose run asked for them.", param="thread_id")
        return ()

    def _decided(self) -> tuple[dict[str, Any], ...] | None:
        if self.decisions is None:
            return None
        return tuple(decision.model_dump(exclude_none=True) for decision in self.decisions)
