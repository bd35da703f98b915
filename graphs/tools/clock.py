"""clock: the date and time of day, anywhere."""

import difflib
from datetime import datetime
from zoneinfo import ZoneInfo, available_timezones

from langchain_core.tools import BaseTool, ToolException, tool

from graphs.tools.resources import ToolResources


def clock(resources: ToolResources) -> BaseTool:
    """Make the tool. The list of zones is read once, here: it is a walk over files."""
    zones = _by_name(available_timezones())

    @tool("clock")
    async def tell_time(time_zone: str = "UTC") -> str:
        """Tell the current date and time.

        `time_zone` is an IANA name such as Europe/Zurich, or the city alone; UTC if unset.
        """
        name = zones.get(_folded(time_zone))
        if name is None:
            close = difflib.get_close_matches(_folded(time_zone)[:100], zones, n=3, cutoff=0.7)
            hint = f" Did you mean {', '.join(zones[match] for match in close)}?" if close else ""
            raise ToolException(
                f"There is no time zone {time_zone[:100]!r}.{hint} Use an IANA name such as Europe/Zurich."
            )
        return _spelled(resources.now().astimezone(ZoneInfo(name)), name)

    return tell_time


def _spelled(moment: datetime, name: str) -> str:
    offset = moment.strftime("%z")
    return f"{moment:%A}, {moment.day} {moment:%B %Y, %H:%M:%S} ({name}, UTC{offset[:3]}:{offset[3:]})"


def _folded(name: str) -> str:
    return name.strip().replace(" ", "_").casefold()


def _by_name(zones: set[str]) -> dict[str, str]:
    """Every zone under its full name and, where that is free, under its city: models write both."""
    by_name = {_folded(zone.rpartition("/")[2]): zone for zone in sorted(zones) if "/" in zone}
    return by_name | {_folded(zone): zone for zone in zones}
