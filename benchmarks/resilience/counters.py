"""Mainstay's own metrics, read as Prometheus reads them: from the addresses that Ray writes down for it."""

import asyncio
import re
from collections import Counter
from collections.abc import Collection
from pathlib import Path

import aiohttp
import orjson
from prometheus_client.parser import text_string_to_metric_families

_TEMPORARY = re.compile(rb"--temp[_-]dir=([^\0]+)")
_TARGETS = "prom_metrics_service_discovery.json"


class CountersError(RuntimeError):
    """The metrics cannot be found."""


async def read_counts(pids: Collection[int]) -> "Counts":
    """The counters of the cluster that these processes belong to, up to 10 seconds old. Raises CountersError."""
    found: Counter[tuple[str, str, str]] = Counter()
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10.0)) as session:
        for address in await asyncio.to_thread(_addresses, pids):
            try:
                async with session.get(f"http://{address}/metrics") as response:
                    count(await response.text(), found)
            except aiohttp.ClientConnectorError:
                continue  # Ray names its dashboard's and autoscaler's too, whether or not they serve any
    return Counts(found)


class Counts:
    """Counters at one moment."""

    def __init__(self, found: "Counter[tuple[str, str, str]]") -> None:
        self._found = found

    def failed_calls(self, provider: str) -> int:
        """Attempts at a provider that failed."""
        return sum(
            count
            for (name, who, outcome), count in self._found.items()
            if name == "ray_mainstay_model_calls" and who == provider and outcome != "ok"
        )

    def openings(self, breaker: str) -> int:
        """How often a breaker opened, probes that failed included."""
        return self._found["ray_mainstay_breaker_changes", breaker, "open"]

    @property
    def dropped_samples(self) -> int:
        """Samples that were never judged, wherever they were lost."""
        return sum(count for (name, _, _), count in self._found.items() if name == "ray_mainstay_samples_dropped")


def _addresses(pids: Collection[int]) -> list[str]:
    for pid in pids:
        try:
            named = _TEMPORARY.search(Path(f"/proc/{pid}/cmdline").read_bytes())
        except OSError:
            continue
        if named is not None and (file := Path(named[1].decode(), _TARGETS)).exists():
            return [address for group in orjson.loads(file.read_bytes()) for address in group["targets"]]
    raise CountersError("Ray has written no addresses of metrics down")


def count(text: str, found: "Counter[tuple[str, str, str]]") -> None:
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = sample.labels
            if family.name == "ray_mainstay_model_calls":
                found[family.name, labels["provider"], labels["outcome"]] += int(sample.value)
            elif family.name == "ray_mainstay_breaker_changes":
                found[family.name, labels["breaker"], labels["state"]] += int(sample.value)
            elif family.name == "ray_mainstay_samples_dropped":
                found[family.name, "", labels["reason"]] += int(sample.value)
