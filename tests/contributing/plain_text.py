"""`POST /plain`: one question in, the bare text of the answer out, for shell scripts."""

from collections.abc import Mapping

from pydantic import Field

from deployments.protocols.types import Answer, ClientProtocol, Rules, Turn, Whole
from deployments.protocols.validation import Body, check_messages, validate
from services.types import JsonObject, Message, Run, RunRequest


class PlainBody(Body):
    question: str = Field(description="what to ask")


def parse(body: JsonObject, headers: Mapping[str, str], rules: Rules) -> Turn:
    messages = (Message(role="user", content=validate(PlainBody, body).question),)
    check_messages(messages, rules, last_is_user=True)
    request = RunRequest(graph=rules.default_graph, messages=messages, ephemeral=True)
    return Turn(request=request, reply=Whole(render))


def render(run: Run, created: int, answer: Answer) -> bytes:
    return answer.text.encode()


PROTOCOL = ClientProtocol(path="/plain", summary="Ask one question, get plain text", body=PlainBody, parse=parse)
