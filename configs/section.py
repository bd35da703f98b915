"""What every part of the settings is made of."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

PositiveSeconds = Annotated[float, Field(gt=0, le=86_400)]
Port = Annotated[int, Field(ge=1, le=65_535)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]


class SettingsError(ValueError):
    """Settings that cannot work. The message names every wrong key and says what to write."""


class Section(BaseModel):
    """A part of the settings: immutable, and an unknown key is an error, since it is most often a misspelt one."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class EnvRef(Section):
    """The value of the environment variable `env` in the replica, or `default` where it is unset or empty."""

    env: str = Field(pattern=r"^[A-Z][A-Z0-9_]*$")
    default: str | None = None

    def resolve(self, environ: Mapping[str, str]) -> str:
        """Return the value. Raises SettingsError, naming the variable and never its value, when there is none."""
        value = environ.get(self.env) or self.default
        if value is None:
            raise SettingsError(
                f"The environment variable {self.env} is not set. Set it on every node before `ray start`."
            )
        return value
