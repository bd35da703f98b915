"""What an evaluator replica stands on."""

import asyncio

from uuid_utils.compat import uuid7

from configs.settings import Settings
from deployments import garbage
from deployments.budget_report import BudgetReport
from deployments.composition.database import open_database
from deployments.composition.limits import budget_of, price_list
from deployments.composition.routes import open_route
from deployments.composition.telemetry import open_logs, traced_criteria
from deployments.evaluator import EvaluatorParts
from deployments.metrics import RayMeter
from evaluation.criteria import CRITERIA
from evaluation.evaluator import Evaluator
from evaluation.judge import ModelJudge
from services.limits.bills import Payer
from services.limits.budgets import Budgets
from services.limits.purse import Purse
from services.limits.treasury import Treasury
from services.llm.gateway import Gateway
from services.storage.budgets import BudgetRepository
from services.storage.scores import ScoreRepository
from services.telemetry.breakers import BreakerReport


async def open_evaluator(settings: Settings) -> EvaluatorParts:
    open_logs(settings)
    database = await open_database(settings, "evaluator")
    named = {provider.name: provider for provider in settings.providers}
    meter = RayMeter()
    route = open_route(named[settings.evaluator.provider or settings.providers[0].name], BreakerReport(meter))
    gateway = Gateway([route], meter=meter)
    treasury = Treasury(
        store=BudgetRepository(database),
        prices=price_list(settings.prices),
        observer=BudgetReport(meter),
        new_id=uuid7,
        currency=settings.prices.currency,
    )
    budgets = Budgets(user=budget_of(settings.evaluator.budget))
    evaluator = Evaluator(
        criteria=traced_criteria((CRITERIA[name]() for name in settings.evaluator.criteria), database),
        judge=ModelJudge(
            gateway, timeout_s=settings.evaluator.judge_timeout_s, purse=lambda: _purse(treasury, budgets)
        ),
        scores=ScoreRepository(database),
        queue_size=settings.evaluator.queue_size,
        concurrency=settings.evaluator.concurrency,
    )
    garbage.keep()
    settling = asyncio.create_task(treasury.settle_forever())
    return EvaluatorParts(
        evaluator=evaluator, gateway=gateway, treasury=treasury, settling=settling, meter=meter, database=database
    )


def _purse(treasury: Treasury, budgets: Budgets) -> Purse:
    """Return what pays for one question of the judge: the operator does, under a name that no tenant can have."""
    return treasury.purse(Payer(tenant_id="", user_id=JUDGE, run_id=uuid7(), attempt=1, budgets=budgets))


JUDGE = "judge"
