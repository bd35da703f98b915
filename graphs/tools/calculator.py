"""calculator: exact arithmetic, so that no model has to do sums in its head."""

from langchain_core.tools import BaseTool, ToolException, tool

from graphs.tools.arithmetic import evaluate
from graphs.tools.operations import ExpressionError, shown
from graphs.tools.resources import ToolResources


def calculator(_: ToolResources) -> BaseTool:
    @tool("calculator")
    async def calculate(expression: str) -> str:
        """Evaluate an arithmetic expression exactly, for example 12.5 * (3 + 4) ** 2.

        It knows + - * / // % **, parentheses, pi and e, and abs, ceil, cos, exp, floor, ln, log10, max, min, round, sin,
        sqrt, tan (angles in radians). Write numbers without thousands separators and 15% as 15/100.
        """
        try:
            return f"{expression.strip()} = {shown(evaluate(expression))}"
        except ExpressionError as error:
            raise ToolException(f"Cannot calculate this: {error}.") from None

    return calculate
