"""The names of the conventions are those of OpenTelemetry's package."""

import warnings

from services.telemetry import genai


def test_every_gen_ai_name_is_in_the_conventions() -> None:
    """A name that is misspelt here, or renamed there, is found."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the package says of all of them that they have moved
        from opentelemetry.semconv._incubating.attributes import gen_ai_attributes, http_attributes
        from opentelemetry.semconv.attributes import error_attributes

    known = {
        value
        for module in (gen_ai_attributes, http_attributes, error_attributes)
        for value in vars(module).values()
        if isinstance(value, str)
    }
    ours = {value for value in vars(genai).values() if isinstance(value, str) and value.startswith("gen_ai.")}
    assert ours - known == {genai.EVALUATION_RESULT}  # an event: the package has attributes only
    assert {genai.HTTP_METHOD, genai.HTTP_ROUTE, genai.HTTP_STATUS, genai.ERROR_TYPE} <= known
    operations = {operation.value for operation in gen_ai_attributes.GenAiOperationNameValues}
    assert {genai.CHAT, genai.INVOKE_AGENT, genai.EXECUTE_TOOL} <= operations
