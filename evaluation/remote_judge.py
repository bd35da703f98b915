"""A judge behind an OpenAI-compatible endpoint, for commands that are given its address."""

from pathlib import Path
from typing import Literal

from evaluation.criteria.types import Judge
from evaluation.judge import ModelJudge
from evaluation.one_token import OneTokenJudge
from evaluation.structured import StructuredJudge
from services.llm import PROVIDERS
from services.llm.first_token import first_tokens
from services.llm.gateway import Gateway
from services.llm.patience import Timers
from services.llm.route import Route
from services.llm.types import ProviderSpec

MAX_CHARS = 12_000
TIMEOUT_S = 300.0

Style = Literal["structured", "one_token"]


def open_judge(*, base_url: str, model: str, key: str = "", style: Style = "structured") -> tuple[Gateway, Judge]:
    """Return the judge, and the gateway below it, which is to be closed."""
    spec = ProviderSpec(name="judge", model=model, base_url=base_url, api_key=key)
    timers = Timers(first_content_s=TIMEOUT_S, between_content_s=TIMEOUT_S, whole_answer_s=TIMEOUT_S)
    route = Route.of(PROVIDERS["openai"](spec), timers=timers)
    if style == "one_token":
        gateway = Gateway([first_tokens(route)])
        return gateway, OneTokenJudge(ModelJudge(gateway, timeout_s=TIMEOUT_S), max_chars=MAX_CHARS)
    gateway = Gateway([route])
    return gateway, StructuredJudge(ModelJudge(gateway, timeout_s=TIMEOUT_S), max_chars=MAX_CHARS)


def key_in(path: Path | None) -> str:
    """Return the key that a file holds, empty without a file. Raises OSError."""
    return "" if path is None else path.read_text(encoding="utf-8").strip()
