"""A judge behind an OpenAI-compatible endpoint, for commands that are given its address."""

from pathlib import Path

from evaluation.asking import Asking
from evaluation.criteria.types import Judge
from evaluation.judges import open_judge
from services.llm import PROVIDERS
from services.llm.gateway import Gateway
from services.llm.patience import Timers
from services.llm.route import Route
from services.llm.types import ProviderSpec


def open_remote_judge(*, base_url: str, model: str, key: str, asking: Asking) -> tuple[Gateway, Judge]:
    """Return the judge, and the gateway below it, which is to be closed."""
    spec = ProviderSpec(name="judge", model=model, base_url=base_url, api_key=key)
    whole_s = asking.timeout_s
    timers = Timers(first_content_s=whole_s, between_content_s=whole_s, whole_answer_s=whole_s)
    return open_judge(Route.of(PROVIDERS["openai"](spec), timers=timers), asking)


def key_in(path: Path | None) -> str:
    """Return the key that a file holds, empty without a file. Raises OSError."""
    return "" if path is None else path.read_text(encoding="utf-8").strip()
