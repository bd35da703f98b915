"""The settings of the connections to Postgres."""

from pydantic import Field

from configs.section import EnvRef, PositiveSeconds, Section


class DatabaseSettings(Section):
    url: EnvRef = EnvRef(env="DATABASE_URL")
    pool_size: int = Field(default=3, ge=1, le=200, description="connections per replica")
    """A statement takes under a millisecond, so a few are plenty; all replicas together must fit Postgres. What the maxima of
    ingress, agent and evaluator in serve_config.yaml make of it, with one more for each agent, stays at 90 or below, of the
    97 that Postgres by default leaves to applications; a rollout may start a quarter more replicas and takes what is left."""
    pool_timeout_s: PositiveSeconds = 5.0
    command_timeout_s: PositiveSeconds = 10.0
