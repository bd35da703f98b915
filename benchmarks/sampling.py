"""`python -m benchmarks.sampling`: whether means of samples are those of all runs, where everything is against it.

A day of runs whose kinds differ strongly in their scores: failures, suspect input that comes in attacks, long runs, and users
who dislike bad answers far more often than good ones, and say so minutes to hours after the end. Caps bite, and graphs and
tenants have base rates of their own. What decides is the code that serves: `Sampler`, `Strata`, and the rule by which a
dislike weighs a score anew. Scores are simulated, from 0 to 1; nothing here asks a judge.
"""

import argparse
import heapq
import random
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from evaluation.sampler import BaseRate, Sampler, SamplingPolicy, StratumPolicy, lot
from evaluation.strata import LongPolicy, Strata
from services.samples import Stratum
from services.types import Message, Run, RunOutcome, RunStatus, Usage

DAY_S = 86_400.0
AGENTS = 3
POLICY = SamplingPolicy(
    base_rate=0.05,
    rates=(BaseRate(graph="react", tenant="small", rate=0.5), BaseRate(graph="research", rate=0.1)),
    strata={stratum: StratumPolicy(per_minute=2.0) for stratum in Stratum},
)
"""The caps are a thirtieth of what ships: so they bite in a day of twenty thousand runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A run that has ended, at `at_s` of the day; it is disliked at `disliked_at_s`, or never."""

    run: Run
    outcome: RunOutcome
    at_s: float
    duration_s: float
    score: float
    disliked_at_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What was made of one day, over one graph or all of them."""

    true: float
    plain: float
    fair: float
    weighted: float
    standard_error: float
    judged: int

    @property
    def off(self) -> float:
        return abs(self.weighted - self.true)


@dataclass(slots=True, kw_only=True)
class _Judged:
    ended: Ended
    weight: float
    base: bool


@dataclass(slots=True)
class _Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def day(count: int, draw: random.Random) -> Iterator[Ended]:
    """Yield so many runs in the order of their ends. In every hour there are five minutes of attack."""
    moments = sorted(draw.uniform(0.0, DAY_S) for _ in range(count))
    for at_s in moments:
        attack = at_s % 3_600.0 < 300.0
        graph = draw.choices(("react", "research"), (0.8, 0.2))[0]
        flagged = draw.random() < (0.5 if attack else 0.01)
        failed = draw.random() < 0.04
        duration_s = draw.lognormvariate(1.0 if graph == "react" else 2.5, 0.8)
        mean = 0.05 if failed else 0.3 if flagged else 0.9 - min(0.6, duration_s / 100.0)
        score = min(1.0, max(0.0, draw.gauss(mean, 0.15)))
        disliked = draw.random() < 0.25 * (1.0 - score) ** 2
        yield Ended(
            run=Run(
                id=UUID(int=draw.getrandbits(128)),
                thread_id=UUID(int=0),
                tenant_id=draw.choices(("large", "small"), (0.95, 0.05))[0],
                user_id="",
                graph=graph,
                status=RunStatus.RUNNING,
                messages=(Message(role="user", content=""),),
                flagged=flagged,
            ),
            outcome=RunOutcome(
                status=RunStatus.FAILED if failed else RunStatus.COMPLETED,
                messages=(),
                usage=Usage(output_tokens=int(40 * duration_s)),
            ),
            at_s=at_s,
            duration_s=duration_s,
            score=score,
            disliked_at_s=at_s + draw.expovariate(1 / 3_600.0) if disliked else None,
        )


class _Site:
    """Agents that sample at the end, an evaluator that looks at dislikes, and the scores."""

    def __init__(self) -> None:
        self.clock = _Clock()
        self.judged: dict[UUID, _Judged] = {}
        self.waiting: list[tuple[float, UUID, Ended]] = []
        self.agents = [(Sampler(POLICY, clock=self.clock), Strata(LongPolicy())) for _ in range(AGENTS)]
        self.evaluator = Sampler(POLICY, clock=self.clock)

    def end(self, ended: Ended, agent: int) -> None:
        self.look(ended.at_s)
        self.clock.now = ended.at_s
        sampler, strata = self.agents[agent]
        run = ended.run
        stratum = strata.of(run, ended.outcome, ended.duration_s)
        taken = sampler.take(run.id, run.graph, run.tenant_id, stratum)
        if taken is not None:
            self.judged[run.id] = _Judged(ended=ended, weight=taken.weight, base=taken.base)
        if ended.disliked_at_s is not None:
            heapq.heappush(self.waiting, (ended.disliked_at_s, run.id, ended))

    def look(self, until_s: float) -> None:
        """Look at the dislikes that have come: as `DislikeRepository` and `Dislikes` do."""
        while self.waiting and self.waiting[0][0] <= until_s:
            self.clock.now, run_id, ended = heapq.heappop(self.waiting)
            rate = self.evaluator.rate(ended.run.graph, ended.run.tenant_id, Stratum.DISLIKED)
            if run_id in self.judged:
                self.judged[run_id].weight = min(self.judged[run_id].weight, 1.0 / rate)
            elif lot(run_id) < rate:
                self.judged[run_id] = _Judged(ended=ended, weight=1.0 / rate, base=False)


def estimates(count: int, seed: int) -> Mapping[str, Estimate]:
    """Simulate a day, and estimate its means by graph, and over `all`."""
    draw, site, runs = random.Random(seed), _Site(), list[Ended]()
    for ended in day(count, draw):
        runs.append(ended)
        site.end(ended, draw.randrange(AGENTS))
    site.look(float("inf"))
    graphs: Mapping[str, tuple[str, ...]] = {
        "react": ("react",),
        "research": ("research",),
        "all": ("react", "research"),
    }
    return {
        name: _estimate(
            [ended.score for ended in runs if ended.run.graph in these],
            [judged for judged in site.judged.values() if judged.ended.run.graph in these],
        )
        for name, these in graphs.items()
    }


def _estimate(everything: Sequence[float], judged: Sequence[_Judged]) -> Estimate:
    weights = sum(one.weight for one in judged)
    mean = sum(one.weight * one.ended.score for one in judged) / weights
    off = sum((one.weight * (one.ended.score - mean)) ** 2 for one in judged)
    return Estimate(
        true=statistics.fmean(everything),
        plain=statistics.fmean(one.ended.score for one in judged),
        fair=statistics.fmean(one.ended.score for one in judged if one.base),
        weighted=mean,
        standard_error=(off * len(judged) / (len(judged) - 1)) ** 0.5 / weights,
        judged=len(judged),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20_000, help="in a day (default: %(default)s)")
    parser.add_argument("--days", type=int, default=20, help="each with a seed of its own (default: %(default)s)")
    arguments = parser.parse_args()
    days = [estimates(arguments.runs, seed) for seed in range(arguments.days)]
    print(
        f"{arguments.days} days of {arguments.runs} runs; scores from 0 to 1; means over the days, errors the largest of them"
    )
    print(
        "| graph | judged | mean of all runs | of those judged | of the fair share | weighted | largest error | in 2 errors |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name in days[0]:
        these = [one[name] for one in days]
        judged = round(statistics.fmean(one.judged for one in these))
        means = [
            statistics.fmean(getattr(one, which) for one in these) for which in ("true", "plain", "fair", "weighted")
        ]
        covered = sum(one.off <= 2 * one.standard_error for one in these)
        cells = [name, str(judged), *(f"{mean:.3f}" for mean in means), f"{max(one.off for one in these):.3f}"]
        print(f"| {' | '.join(cells)} | {covered} of {len(these)} |")


if __name__ == "__main__":
    main()
