"""What the launcher says when it cannot go on: one line with the cause, one clause with the remedy."""

from services.errors import MainstayError


class LaunchFailed(MainstayError):
    """The start was given up. Reads `cause: remedy` on one line, whatever line breaks the cause brought along."""

    code = "launch_failed"
    status = 500

    def __init__(self, cause: str, remedy: str) -> None:
        self.cause = one_line(cause)
        self.remedy = one_line(remedy)
        super().__init__(f"{self.cause}: {self.remedy}")


def one_line(text: str, max_chars: int = 400) -> str:
    """Fold every run of white space into one space and cut what is longer than `max_chars`."""
    folded = " ".join(text.split())
    return folded if len(folded) <= max_chars else folded[: max_chars - 1] + "…"
