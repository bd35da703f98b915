"""The live knobs of a rule, which `user_config` may change: read strictly, since a misspelt one would silently do nothing."""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from services.errors import ConfigurationError


class RuleKnobs(BaseModel):
    """A rule's knobs derive from this: immutable, no unknown key, and no value of another type than declared."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def read(cls, rule: str, knobs: Mapping[str, Any]) -> Self:
        """Validate. Raises ConfigurationError, naming the rule and the key."""
        try:
            return cls.model_validate(knobs)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, (rule, *first["loc"])))
            raise ConfigurationError(f"{key}: {first['msg']}.", param=key) from None
