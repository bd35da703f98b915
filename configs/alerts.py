"""The settings of what is watched of judged answers, and of who is told when it changes."""

from pydantic import Field

from configs.section import EnvRef, Name, PositiveSeconds, Section


class UnsafeSettings(Section):
    """Which answer is unsafe: one whose score for `criterion` is from `lowest` to `highest`.

    Nothing alerts while the criterion is not one of `evaluator.criteria`, which by default it is not. The evaluator's log says
    so, and whoever sets anything here without asking for it is refused.
    """

    criterion: Name = Field(default="safety", description="one of evaluator.criteria")
    lowest: float = 0.5
    highest: float = 1.0
    lasts_s: PositiveSeconds = Field(default=3_600.0, description="how long its alert holds")


class DriftSettings(Section):
    """The replica that watches is one of the evaluator's. docs/evaluation.md has what it finds, and how soon."""

    poll_s: PositiveSeconds = 5.0
    lease_s: PositiveSeconds = Field(
        default=15.0, description="after which another replica watches in a lost one's place"
    )
    quiet_s: float = Field(default=86_400.0, ge=60, description="after a series' last answer its alerts end")
    warm_up: int = Field(default=100, ge=10, description="answers of a series before anything is tested")


class AlertSettings(Section):
    """Where alerts go: nowhere but to the log while neither URL is set. URLs are resolved in the replica, for they may hold a
    token.
    """

    public_url: str = Field(
        default="",
        pattern=r"^(https?://[^\s?#]+)?$",
        description="where this is reached from outside: links begin with it",
    )
    webhook_url: EnvRef = EnvRef(env="MAINSTAY_ALERT_WEBHOOK_URL", default="")
    webhook_secret: EnvRef = EnvRef(env="MAINSTAY_ALERT_WEBHOOK_SECRET", default="")
    """`whsec_` and base64 of 24 to 64 random bytes; several with spaces between while one replaces another."""
    alertmanager_url: EnvRef = EnvRef(env="MAINSTAY_ALERTMANAGER_URL", default="")
    repeat_s: float = Field(
        default=60.0, ge=10, le=3_600, description="how often Alertmanager is told of what fires; it forgets after four"
    )
    timeout_s: float = Field(default=10.0, gt=0, le=60, description="for one attempt")
    attempts: int = Field(default=12, ge=1, le=100, description="but at what Alertmanager is told again and again")
    retry_base_s: PositiveSeconds = 5.0
    retry_max_s: PositiveSeconds = 1_800.0
    unsafe: UnsafeSettings = UnsafeSettings()
    drift: DriftSettings = DriftSettings()
