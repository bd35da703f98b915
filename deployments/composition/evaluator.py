"""What an evaluator replica stands on."""

import asyncio
import os

from uuid_utils.compat import uuid7

from configs.settings import Settings
from deployments import garbage
from deployments.budget_report import BudgetReport
from deployments.composition.database import open_database
from deployments.composition.drift import alerting, open_drift
from deployments.composition.judge import judge_provider, open_judge
from deployments.composition.limits import budget_of, price_list
from deployments.composition.routes import open_route
from deployments.composition.sampling import LiveSampling
from deployments.composition.telemetry import open_judging_traces, open_logs
from deployments.evaluator import EvaluatorParts
from deployments.metrics import open_meter
from deployments.score_report import ScoreReport
from evaluation.begging import Screening
from evaluation.criteria import CRITERIA
from evaluation.dislikes import Dislikes
from evaluation.evaluator import Evaluator
from evaluation.judges import JUDGE
from evaluation.scoring import Scoring
from services.limits.bills import Payer
from services.limits.budgets import Budgets
from services.limits.purse import Purse
from services.limits.treasury import Treasury
from services.storage.budgets import BudgetRepository
from services.storage.feedback import DislikeRepository
from services.storage.scores import ScoreRepository
from services.telemetry.breakers import BreakerReport

DISLIKES_EVERY_S = 5.0
NICENESS = 4
"""On top of the 15 that Ray gives every worker; 19 is the most. Where processors are scarce, others answer users with them."""


async def open_evaluator(settings: Settings) -> EvaluatorParts:
    os.nice(NICENESS)
    open_logs(settings)
    database = await open_database(settings, "evaluator")
    meter = open_meter()
    treasury = Treasury(
        store=BudgetRepository(database),
        prices=price_list(settings.prices),
        observer=BudgetReport(meter),
        new_id=uuid7,
        currency=settings.prices.currency,
        meter=meter,
    )
    budgets = Budgets(user=budget_of(settings.evaluator.budget))
    route = open_route(judge_provider(settings), BreakerReport(meter))
    gateway, judge = open_judge(settings, route, meter, lambda: _purse(treasury, budgets))
    criteria = [CRITERIA[name]() for name in settings.evaluator.criteria]
    graded = [criterion.name for criterion in criteria if criterion.scale.kind == "grade"]
    traces = open_judging_traces(database)
    evaluator = Evaluator(
        scoring=Scoring(
            criteria=traces.traced(criteria),
            judge=judge,
            screen=Screening(),
            traceparent=traces.traceparent,
        ),
        scores=alerting(ScoreRepository(database), settings, database, meter),
        queue_size=settings.evaluator.queue_size,
        concurrency=settings.evaluator.concurrency,
        observers=(ScoreReport(meter, graded),),
    )
    sampling = LiveSampling(settings, "evaluator")
    dislikes = Dislikes(DislikeRepository(database), sampling.sampler, evaluator)
    garbage.keep()
    chores = (treasury.settle_forever(), dislikes.look_forever(every_s=DISLIKES_EVERY_S))
    return EvaluatorParts(
        evaluator=evaluator,
        gateway=gateway,
        treasury=treasury,
        chores=tuple(map(asyncio.create_task, chores)),
        sampling=sampling,
        meter=meter,
        traces=traces,
        database=database,
        drift=open_drift(settings, database, meter),
    )


def _purse(treasury: Treasury, budgets: Budgets) -> Purse:
    """Return what pays for one question of the judge: the operator does, under a name that no tenant can have."""
    return treasury.purse(Payer(tenant_id="", user_id=JUDGE, run_id=uuid7(), attempt=1, budgets=budgets))
