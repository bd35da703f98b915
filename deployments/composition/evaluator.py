"""What an evaluator replica stands on."""

from configs.settings import Settings
from deployments import garbage
from deployments.composition.database import open_database
from deployments.composition.routes import open_route
from deployments.evaluator import EvaluatorParts
from deployments.metrics import RayMeter
from evaluation.criteria import CRITERIA
from evaluation.evaluator import Evaluator
from evaluation.judge import ModelJudge
from services.llm.gateway import Gateway
from services.storage.scores import ScoreRepository
from services.telemetry.breakers import BreakerReport


async def open_evaluator(settings: Settings) -> EvaluatorParts:
    database = await open_database(settings, "evaluator")
    named = {provider.name: provider for provider in settings.providers}
    meter = RayMeter()
    route = open_route(named[settings.evaluator.provider or settings.providers[0].name], BreakerReport(meter))
    gateway = Gateway([route], meter=meter)
    evaluator = Evaluator(
        criteria=[CRITERIA[name]() for name in settings.evaluator.criteria],
        judge=ModelJudge(gateway, timeout_s=settings.evaluator.judge_timeout_s),
        scores=ScoreRepository(database),
        queue_size=settings.evaluator.queue_size,
        concurrency=settings.evaluator.concurrency,
    )
    garbage.keep()
    return EvaluatorParts(evaluator=evaluator, gateway=gateway, meter=meter, database=database)
