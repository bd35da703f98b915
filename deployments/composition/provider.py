"""A configured provider with its variables resolved."""

import os
from typing import Any

from configs.settings import ProviderSettings
from services.llm import PROVIDERS
from services.llm.types import ChatProvider, ProviderSpec


def open_provider(settings: ProviderSettings) -> ChatProvider:
    def resolved(value: Any) -> str:
        return "" if value is None else value if isinstance(value, str) else value.resolve(os.environ)

    return PROVIDERS[settings.kind](
        ProviderSpec(
            name=settings.name,
            model=resolved(settings.model),
            base_url=resolved(settings.base_url),
            api_key=resolved(settings.api_key),
            arguments=settings.arguments,
            max_output_tokens=settings.max_output_tokens,
            max_connections=settings.max_connections,
            connect_timeout_s=settings.connect_timeout_s,
            first_token_timeout_s=settings.first_token_timeout_s,
            inter_token_timeout_s=settings.inter_token_timeout_s,
        )
    )
