"""The settings of how a run's end is told."""

from pydantic import Field, IPvAnyNetwork

from configs.section import EnvRef, Port, PositiveSeconds, Section


class WebhookSettings(Section):
    secret: EnvRef = EnvRef(env="MAINSTAY_WEBHOOK_SECRET", default="")
    """`whsec_` and base64 of 24 to 64 random bytes; several with spaces between while one replaces another. While there is
    none no webhook is taken or sent."""
    allow_hosts: tuple[str, ...] = Field(default=(), description="unless empty, no other; *.example.com: all below it")
    allow_ports: tuple[Port, ...] = (443, 8443)
    allow_http: bool = Field(default=False, description="whether URLs may be http as well; add the port to allow_ports")
    allow_private: tuple[IPvAnyNetwork, ...] = Field(
        default=(), description="networks such as 10.20.0.0/16 that may be called though they are not public"
    )
    timeout_s: float = Field(default=10.0, gt=0, le=60, description="for one attempt, from the lookup to the answer")
    attempts: int = Field(default=6, ge=1, le=20)
    retry_base_s: PositiveSeconds = Field(
        default=120.0, description="at most so long to the second attempt; doubled for each further one"
    )
    retry_max_s: PositiveSeconds = 3_600.0
    concurrency: int = Field(default=32, ge=1, le=1_000, description="attempts at once, per replica")
    per_tenant: int = Field(default=8, ge=1, le=1_000, description="of these")
