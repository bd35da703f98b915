"""The names that traces use: OpenTelemetry's where it has them, ours where it has none.

`gen_ai.*` are the semantic conventions for generative AI, as opentelemetry-semantic-conventions 0.66b2 has them (schema 1.44.0;
kept at github.com/open-telemetry/semantic-conventions-genai since). All of them are in "Development": they may change, and then
they change here, and nowhere else. A test compares them with that package.
"""

OPERATION_NAME = "gen_ai.operation.name"
AGENT_NAME = "gen_ai.agent.name"
CONVERSATION_ID = "gen_ai.conversation.id"
PROVIDER_NAME = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
REQUEST_MAX_TOKENS = "gen_ai.request.max_tokens"
REQUEST_STREAM = "gen_ai.request.stream"
RESPONSE_MODEL = "gen_ai.response.model"
RESPONSE_FINISH_REASONS = "gen_ai.response.finish_reasons"
RESPONSE_TIME_TO_FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"
"""Seconds."""
USAGE_INPUT_TOKENS = "gen_ai.usage.input_tokens"
USAGE_OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
USAGE_CACHE_READ_INPUT_TOKENS = "gen_ai.usage.cache_read.input_tokens"
USAGE_REASONING_OUTPUT_TOKENS = "gen_ai.usage.reasoning.output_tokens"
TOOL_NAME = "gen_ai.tool.name"
TOOL_TYPE = "gen_ai.tool.type"
TOOL_CALL_ID = "gen_ai.tool.call.id"
EVALUATION_NAME = "gen_ai.evaluation.name"
EVALUATION_SCORE_VALUE = "gen_ai.evaluation.score.value"
EVALUATION_EXPLANATION = "gen_ai.evaluation.explanation"

EVALUATION_RESULT = "gen_ai.evaluation.result"
"""An event: one criterion's score."""

# Operations, the values of OPERATION_NAME. A span's name is one of them and what it is about.
CHAT = "chat"
INVOKE_AGENT = "invoke_agent"
EXECUTE_TOOL = "execute_tool"

# Stable names.
HTTP_METHOD = "http.request.method"
HTTP_ROUTE = "http.route"
HTTP_STATUS = "http.response.status_code"
ERROR_TYPE = "error.type"

# Ours.
RUN_ID = "mainstay.run.id"
REQUEST_ID = "mainstay.request.id"
ATTEMPT = "mainstay.run.attempt"
RUN_STATUS = "mainstay.run.status"
TAKEN_OVER = "mainstay.run.taken_over"
"""Whether the attempt goes on where another replica has left the run."""
FLAGGED = "mainstay.run.flagged"
EVALUATION_FLAGGED = "mainstay.evaluation.flagged"
"""Of a score whose judge was spoken to; absent from others."""
MODEL_CALLS = "mainstay.usage.model_calls"
COST_MICROS = "mainstay.usage.cost_micros"
ESTIMATED = "mainstay.usage.estimated"
SOURCE = "mainstay.source"
"""Which agent of a graph spoke."""
OUTCOME = "mainstay.outcome"
RULE = "mainstay.guardrail.rule"
ACTION = "mainstay.guardrail.action"
COUNT = "mainstay.guardrail.count"
REASON = "mainstay.reason"
UNFINISHED = "mainstay.unfinished"
"""On a span that ended with the run, and not by itself."""

# Ours: names of spans and of events.
ADMISSION = "admission"
INPUT_GUARD = "input guard"
STORE_RUN = "store run"
FIRST_EVENT = "first event"
RECORD_END = "record end"
EVALUATE = "evaluate"
CLIENT_LEFT = "mainstay.client.left"
OUTPUT_DECISION = "mainstay.output.decision"
PROVIDER_SKIPPED = "mainstay.provider.skipped"
