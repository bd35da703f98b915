"""What stands beside the classifier's weights: their digest, how evidence is weighed, the two thresholds, and their origin."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from services.errors import ConfigurationError
from services.guardrails.evidence import Weighing

WEIGHTS = Path(__file__).parent / "weights" / "injection.npz"
CARD = WEIGHTS.with_suffix(".json")


class ModelCard(BaseModel):
    """The part of the card that the guard works by. `training` and `measured` are for people."""

    model_config = ConfigDict(frozen=True)

    sha256: str
    coefficients: tuple[float, float, float, float, float]
    intercept: float
    block_at: float
    flag_at: float

    @property
    def weighing(self) -> Weighing:
        return Weighing(coefficients=self.coefficients, intercept=self.intercept)


def read_card(path: Path = CARD) -> ModelCard:
    """Return the card. Raises ConfigurationError when it cannot be read, or lacks something."""
    try:
        return ModelCard.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise ConfigurationError(f"{path.name}, which says what the guard's weights are, cannot be read.") from error
