"""What was measured, as Markdown."""

from collections.abc import Sequence

import numpy as np

from benchmarks.guardrails.judging import BLOCK_FPR, FLAG_FPR, RATES, Flags, Judged, threshold, transferred
from benchmarks.guardrails.latency import Latency
from services.guardrails.normalise import normalise
from services.guardrails.signs import SIGNS
from services.guardrails.signs.words import Words
from services.guardrails.views import views

_ORDER_TO_RUN = next(sign for sign in SIGNS if sign.name == "order_to_run")

FAMILIES = {"roleplay": "B", "plain": "C"}
"""By a word in the kind; every other kind is family A: there is a mark of the attack in the text."""


def family(kind: str) -> str:
    return next((name for word, name in FAMILIES.items() if word in kind), "A")


def bears_order_to_run(text: str) -> bool:
    """Whether a text is an order to run a command, in clear or under a disguise: it overrides nothing that a model was told."""
    return any(_ORDER_TO_RUN.found(Words(""), normalise(view.text)) for view in views(text))


def percent(share: float) -> str:
    return f"{100 * share:.1f}"


def kinds_table(judged: Judged, thresholds: Sequence[float] | None = None) -> str:
    """Recall of each kind of attack, and of each family, where thresholds let through so many benign texts."""
    at = [threshold(judged, rate) for rate in RATES] if thresholds is None else thresholds
    found = [judged.scores >= value for value in at]
    attacks, kinds = judged.attacks, judged.kinds
    families = np.array([family(kind) for kind in kinds.tolist()])
    lines = [
        _row("recall, %", "texts", *(f"FPR {100 * rate:g} %" for rate in RATES)),
        "|---|---:|" + "---:|" * len(RATES),
    ]
    for name in sorted(set(families[attacks].tolist())):
        lines.append(_of(f"**family {name}**", attacks & (families == name), found))
        lines += [
            _of(f"{name}: {kind}", attacks & (kinds == kind), found)
            for kind in sorted(set(kinds[attacks & (families == name)].tolist()))
        ]
    lines += [
        "",
        _row("false positives, %", "texts", *(f"at {value:.3f}" for value in at)),
        "|---|---:|" + "---:|" * len(RATES),
    ]
    lines.append(_of("**all**", ~attacks, found))
    lines += [_of(kind, ~attacks & (kinds == kind), found) for kind in sorted(set(kinds[~attacks].tolist()))]
    return "\n".join(lines)


def transfer_table(judged: Judged) -> str:
    """What becomes of a source whose thresholds were chosen on the others."""
    lines = ["| threshold for | recall, % | false positives, % |", "|---|---:|---:|"]
    for name, rate in (("blocking", BLOCK_FPR), ("flagging", FLAG_FPR)):
        found = transferred(judged, rate)
        recall, false = found[judged.attacks].mean(), found[~judged.attacks].mean()
        lines.append(f"| {name}, FPR {100 * rate:g} % on the others | {percent(recall)} | {percent(false)} |")
    return "\n".join(lines)


def readings_table(unseen: Judged, shipped: Judged, known: Sequence[str]) -> str:
    """Return recall by other ways to count: `known` are the data sets that the shipped weights have learnt from."""
    lines = [_row("reading", "texts", "FPR 0.2 %", "FPR 1 %"), "|---|---:|---:|---:|"]
    at, attacks = [threshold(unseen, rate) for rate in (BLOCK_FPR, FLAG_FPR)], unseen.attacks
    new = attacks & np.array([case.group not in known for case in unseen.cases])
    orders = np.array([bears_order_to_run(case.text) for case in unseen.cases])
    found = [unseen.scores >= value for value in at]
    sources = [attacks & (unseen.sources == source) for source in np.unique(unseen.sources[attacks])]
    means = (percent(float(np.mean([flags[source].mean() for source in sources]))) for flags in found)
    lines.append(_of("all attacks, as above", attacks, found))
    lines.append(_row(f"mean over the {len(sources)} sources of attacks, each by itself", int(attacks.sum()), *means))
    lines.append(_of("sources of which no package that we learn from has a text", new, found))
    lines.append(_of("without those that order a command to be run", attacks & ~orders, found))
    at = [threshold(shipped, rate) for rate in (BLOCK_FPR, FLAG_FPR)]
    lines.append(_of("the shipped weights, which know most of these texts", attacks, [shipped.scores >= v for v in at]))
    return "\n".join(lines)


def sources_table(judged: Judged, at: float) -> str:
    """Recall or false positives of each source at one threshold."""
    found, lines = judged.scores >= at, ["| source | texts | found, % |", "|---|---:|---:|"]
    for attack in (True, False):
        for source in np.unique(judged.sources[judged.attacks == attack]):
            here = (judged.sources == source) & (judged.attacks == attack)
            label = "attacks" if attack else "benign"
            lines.append(f"| {source}, {label} | {int(here.sum())} | {percent(found[here].mean())} |")
    return "\n".join(lines)


def latency_table(measured: Sequence[Latency]) -> str:
    lines = ["| text | median, ms | p99, ms | longest, ms |", "|---|---:|---:|---:|"]
    lines += [f"| {one.name} | {one.median_ms:.1f} | {one.p99_ms:.1f} | {one.most_ms:.1f} |" for one in measured]
    return "\n".join(lines)


def _of(name: str, group: Flags, found: Sequence[Flags]) -> str:
    return _row(name, int(group.sum()), *(percent(flags[group].mean()) for flags in found))


def _row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"
