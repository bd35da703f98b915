"""Policies of the service layer as an operator writes them: mappings in YAML, read strictly, with the key in every message."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from services.errors import ConfigurationError
from services.resilience.limit import LimitPolicy
from services.resilience.overload import LoadPolicy
from services.resilience.policy import BreakerPolicy

P = TypeVar("P", bound=BreakerPolicy | LimitPolicy | LoadPolicy)


def policy(kind: type[P], key: str, values: Mapping[str, Any]) -> P:
    """Return the policy: its defaults under `values`. Raises ConfigurationError, naming the field below `key`."""
    known = [field.name for field in fields(kind)]
    for name in values:
        if name not in known:
            raise ConfigurationError(f"{key}.{name}: there is no such field. There are: {', '.join(known)}.", param=key)
    try:
        return TypeAdapter(kind).validate_python(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, (key, *first["loc"])))
        raise ConfigurationError(f"{name}: {first['msg']}.", param=name) from None
    except ConfigurationError as error:
        raise ConfigurationError(f"{key}: {error.message}", param=key) from None
