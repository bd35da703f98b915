"""What an evaluator replica stands on."""

from configs.settings import Settings
from deployments.composition.database import open_database
from deployments.composition.provider import open_provider
from deployments.evaluator import EvaluatorParts
from deployments.metrics import RayMeter
from evaluation.criteria import CRITERIA
from evaluation.evaluator import Evaluator
from evaluation.judge import ModelJudge
from services.storage.scores import ScoreRepository


async def open_evaluator(settings: Settings) -> EvaluatorParts:
    database = await open_database(settings, "evaluator")
    named = {provider.name: provider for provider in settings.providers}
    provider = open_provider(named[settings.evaluator.provider or settings.providers[0].name])
    evaluator = Evaluator(
        criteria=[CRITERIA[name]() for name in settings.evaluator.criteria],
        judge=ModelJudge(provider, timeout_s=settings.evaluator.judge_timeout_s),
        scores=ScoreRepository(database),
        queue_size=settings.evaluator.queue_size,
        concurrency=settings.evaluator.concurrency,
    )
    return EvaluatorParts(evaluator=evaluator, provider=provider, meter=RayMeter(), database=database)
