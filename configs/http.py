"""The settings of what is taken from clients, and of how they are answered."""

from pydantic import Field

from configs.section import PositiveSeconds, Section


class HttpSettings(Section):
    max_body_bytes: int = Field(default=1_048_576, ge=1_024, le=64 * 1_048_576)
    max_messages: int = Field(default=512, ge=1)
    max_message_chars: int = Field(default=32_768, ge=1, description="of one message")
    heartbeat_s: PositiveSeconds = 15.0
    write_timeout_s: PositiveSeconds = Field(
        default=30.0, description="a client that reads nothing for so long has left"
    )
    cors_origins: tuple[str, ...] = ()
