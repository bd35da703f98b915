"""days_until: how far away a date is."""

from datetime import date

from langchain_core.tools import BaseTool, ToolException, tool

from graphs.tools.resources import ToolResources


def days_until(resources: ToolResources) -> BaseTool:
    @tool("days_until")
    async def count(day: str) -> str:
        """Count the days from today to a date. `day` is written as 2026-12-31; a past date gives a negative number."""
        try:
            there = date.fromisoformat(day)
        except ValueError:
            raise ToolException(f"{day!r} is not a date. Write it as 2026-12-31.") from None
        return f"{(there - resources.now().date()).days} days until {there:%A, %d %B %Y}"

    return count
