"""The configured graphs, for the replica that runs them and for the check before anything starts."""

from collections.abc import Mapping

from configs.graphs import GraphSettings
from configs.settings import Settings
from graphs import GRAPHS
from graphs.build import build, build_tools, check_prompts
from graphs.history import HistoryOptions, window_tokens
from graphs.memories import RunMemories
from graphs.saver import Checkpointing
from graphs.spec import GraphOptions
from graphs.tools.care import ToolCare
from graphs.tools.gate import EffectPolicy
from graphs.tools.resources import ToolResources
from services.errors import ConfigurationError
from services.runs.types import Graph


def build_graphs(
    settings: Settings,
    resources: ToolResources,
    care: ToolCare | None = None,
    checkpointing: Checkpointing | None = None,
) -> Mapping[str, Graph]:
    """Return every graph by its name; they share `care`, so that what a tool did to one is known to all.

    Raises ConfigurationError, naming the key, for one that cannot be built.
    """
    graphs = {}
    for name, graph in settings.graphs.items():
        try:
            windows = [
                (provider.context_tokens, provider.max_output_tokens)
                for provider in settings.providers
                if provider.name in (graph.providers or (provider.name,))
            ]
            history = HistoryOptions(
                max_tokens=window_tokens(graph.history.max_tokens, windows), summarise=graph.history.summarise
            )
            graphs[name] = _build(graph, history, resources, care or ToolCare(), checkpointing)
        except ConfigurationError as error:
            key = ".".join(filter(None, ("graphs", name, error.param)))
            raise ConfigurationError(f"{key}: {error.message}", param=key) from None
    return graphs


def prompt_roles(settings: Settings) -> Mapping[str, tuple[str, ...]]:
    """Return the prompt roles that each configured graph knows."""
    specs = {name: GRAPHS[graph.kind] for name, graph in settings.graphs.items()}
    return {name: (*spec.prompts, *spec.optional_prompts) for name, spec in specs.items()}


def _build(
    graph: GraphSettings,
    history: HistoryOptions,
    resources: ToolResources,
    care: ToolCare,
    checkpointing: Checkpointing | None,
) -> Graph:
    check_prompts(graph.kind, graph.prompts)
    options = GraphOptions(
        max_tool_rounds=graph.max_tool_rounds,
        max_steps=graph.max_steps,
        approve=graph.approve,
        effects=EffectPolicy(allowed=graph.allow_targets, hold=graph.hold),
        mark_outside=graph.mark_outside,
        history=history,
        tool_care=care,
    )
    store = None if resources.memories is None else RunMemories(resources.memories)
    return build(graph.kind, options, build_tools(graph.tools, resources), checkpointing, store)
