"""The calculator's arithmetic: what it computes, what it refuses, and that it agrees with Python."""

import re
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphs.tools.arithmetic import evaluate
from graphs.tools.operations import ExpressionError, shown


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1234 * 5678", "7006652"),
        ("0.1 + 0.2", "0.3"),
        ("1 / 3 * 3", "1"),
        ("6 / 3", "2"),
        ("7 / 2", "3.5"),
        ("-2 ** 2", "-4"),
        ("2 ** 3 ** 2", "512"),
        ("2 ** -1", "0.5"),
        ("2^10", "1024"),
        ("10 % -3", "-2"),
        ("7.5 % -2", "-0.5"),
        ("-5.5 // 2", "-3"),
        ("3 × (4 − 1) ÷ 2", "4.5"),
        ("sqrt(2)", "1.414213562373095048801689"),
        ("sqrt(10**40)", "100000000000000000000"),
        ("9 ** 0.5", "3"),
        ("round(2.567, 2)", "2.57"),
        ("round(2.5)", "2"),
        ("round(0.5)", "0"),
        ("max(1, 2.5, -3)", "2.5"),
        ("abs(-1/3)", "0.3333333333333333333333333"),
        ("floor(-2.5) + ceil(2.1)", "0"),
        ("ln(e ** 2)", "2"),
        ("log10(1e-3)", "-3"),
        ("sin(0) + cos(0) + tan(0)", "1"),
        ("PI", "3.141592653589793238462643"),
        ("1_000_000 + .5", "1000000.5"),
        ("1e30 + 1", "1e+30"),
        ("0 ** 0", "1"),
        ("2 ** 3000", str(2**3000)),
    ],
)
def test_values(expression: str, value: str) -> None:
    """An expression has the value, and the spelling, that a person expects."""
    assert shown(evaluate(expression)) == value


@pytest.mark.parametrize(
    ("expression", "part"),
    [
        ("9**9**9", "exponent is too large"),
        ("9999**9999", "too large"),
        ("10**600 * 10**600", "too large"),
        ("1e9999 * 1e9999", "too large"),
        ("exp(10**9)", "too large"),
        ("floor(1e2000)", "too large"),
        ("1 / 0", "division by zero"),
        ("1 % 0", "division by zero"),
        ("1.5 // 0", "division by zero"),
        ("0 ** -1", "division by zero"),
        ("0.0 ** -0.5", "division by zero"),
        ("sqrt(-1)", "no real result"),
        ("(-8) ** 0.5", "no real result"),
        ("ln(0)", "above zero"),
        ("tan(1e10)", "radians"),
        ("round(1.5, -1)", "places"),
        ("", "ends too early"),
        ("2 +", "ends too early"),
        ("(1 + 2", "')' is missing"),
        ("1 2", "did not expect '2'"),
        ("1,234 * 5", "did not expect ','"),
        ("15% of 80", "unknown name 'of'"),
        ("sqrt 2", "expected '('"),
        ("sqrt(1, 2)", "does not take 2"),
        ("__import__('os').system('true')", "cannot read"),
        ("().__class__", "cannot read"),
        ("()", "expected a number"),
        ("lambda 1", "unknown name 'lambda'"),
        ("(" * 100 + "1" + ")" * 100, "nested"),
        ("-" * 100 + "1", "nested"),
        ("2**" * 100 + "1", "nested"),
        ("1+" * 400 + "1", "longer than"),
        ("٣ + 1", "cannot read"),
    ],
)
def test_refusals(expression: str, part: str) -> None:
    """What has no value, or would cost too much, is refused in words."""
    with pytest.raises(ExpressionError, match=re.escape(part)):
        evaluate(expression)


INTEGERS = st.recursive(
    st.integers(0, 99).map(str),
    lambda inner: (
        st.tuples(inner, st.sampled_from(["+", "-", "*", "//", "%"]), inner).map(" ".join)
        | inner.map("({})".format)
        | inner.map("-{}".format)
        | st.tuples(inner.map("({})".format), st.integers(0, 4).map(str)).map("**".join)
        | st.tuples(inner, inner).map("max({0[0]}, {0[1]})".format)
    ),
    max_leaves=12,
)
DECIMALS = st.tuples(st.integers(0, 999), st.integers(0, 99)).map("{0[0]}.{0[1]:02d}".format)
FRACTIONS = st.recursive(
    DECIMALS,
    lambda inner: (
        st.tuples(inner, st.sampled_from(["+", "-", "*"]), inner).map("({0[0]} {0[1]} {0[2]})".format)
        # Only by a literal: a divisor that cancels to almost nothing would magnify any rounding error.
        | st.tuples(inner, DECIMALS).map("({0[0]} / {0[1]})".format)
    ),
    max_leaves=8,
)


BEYOND_A_LIMIT = "beyond a limit"


def outcome(expression: str) -> object:
    """The value, None for a division by zero, or BEYOND_A_LIMIT."""
    try:
        value = evaluate(expression)
    except ExpressionError as error:
        if "division by zero" in str(error):
            return None
        if any(word in str(error) for word in ("too large", "nested", "longer")):
            return BEYOND_A_LIMIT
        raise
    return value if isinstance(value, int) else f"{value} is no whole number"


@settings(max_examples=400, deadline=None)
@given(INTEGERS)
def test_agrees_with_python_on_whole_numbers(expression: str) -> None:
    """Precedence, associativity, signs and floor division are Python's, digit for digit."""
    try:
        expected = eval(expression, {"__builtins__": {"max": max}})
    except ZeroDivisionError:
        expected = None
    assert outcome(expression) in (expected, BEYOND_A_LIMIT)


@settings(max_examples=200, deadline=None)
@given(FRACTIONS)
def test_agrees_with_exact_fractions(expression: str) -> None:
    """Decimals are within twenty digits of exact rational arithmetic."""
    exact_form = "".join(f"Fraction('{part}')" if part[0].isdigit() else part for part in _pieces(expression))
    try:
        expected = eval(exact_form, {"__builtins__": {}, "Fraction": Fraction})
    except ZeroDivisionError:
        with pytest.raises(ExpressionError, match="division by zero"):
            evaluate(expression)
        return
    assert abs(Fraction(evaluate(expression)) - expected) <= max(abs(expected), 1) * Fraction(1, 10**20)


def _pieces(expression: str) -> list[str]:
    return expression.replace("(", "( ").replace(")", " )").split()
