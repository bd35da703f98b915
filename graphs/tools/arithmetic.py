"""Arithmetic from text, with a parser of its own: nothing is evaluated as code, and every step is bounded.

    expression := term (("+" | "-") term)*
    term       := factor (("*" | "/" | "//" | "%") factor)*
    factor     := ("+" | "-") factor | power
    power      := primary (("**" | "^") factor)?            binds tighter than a sign on its left: -2**2 is -4
    primary    := number | constant | function "(" expression ("," expression)* ")" | "(" expression ")"

It follows Python's precedence, associativity and floor division. Whole numbers are exact up to `MAX_DIGITS`; everything
else is decimal, computed with `PRECISION` digits, so 0.1 + 0.2 is 0.3.
"""

import re
from decimal import DivisionByZero, InvalidOperation, Overflow

from graphs.tools.operations import (
    BINARY_LEVELS,
    CONSTANTS,
    FUNCTIONS,
    ExpressionError,
    Number,
    bounded,
    literal,
    negated,
    power,
)

MAX_LENGTH = 500
MAX_DEPTH = 40

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d[\d_]*(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,6})?)"
    r"|(?P<name>[A-Za-z]\w*)|(?P<sign>\*\*|//|[-+*/%^(),]))",
    re.ASCII,
)
_SPELLINGS = str.maketrans({"×": "*", "·": "*", "⋅": "*", "÷": "/", "−": "-", "–": "-", "\u00a0": " "})


def evaluate(expression: str) -> Number:
    """Return the value. Raises ExpressionError, for what cannot be read, has no value, or goes beyond a limit."""
    if len(expression) > MAX_LENGTH:
        raise ExpressionError(f"the expression is longer than {MAX_LENGTH} characters")
    try:
        return _Parser(_tokens(expression.translate(_SPELLINGS))).parse()
    except DivisionByZero:
        raise ExpressionError("division by zero") from None
    except Overflow:
        raise ExpressionError("the result is too large") from None
    except InvalidOperation:
        raise ExpressionError("the operation has no real result") from None


def _tokens(text: str) -> list[tuple[str, str]]:
    tokens, position, end = [], 0, len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            raise ExpressionError(f"cannot read {text[position:].strip()[:20]!r}")
        tokens.append((match.lastgroup, match[match.lastgroup]))
        position = match.end()
    return tokens


class _Parser:
    """Precedence climbing over a list of tokens; values are computed on the way."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = [*tokens, ("end", "")]
        self._position = 0
        self._depth = 0

    def parse(self) -> Number:
        value = self._binary(0)
        kind, text = self._peek()
        if kind != "end":
            raise ExpressionError(f"did not expect {text!r} after a value")
        return value

    def _binary(self, level: int) -> Number:
        if level == len(BINARY_LEVELS):
            return self._factor()
        value = self._binary(level + 1)
        while (operation := BINARY_LEVELS[level].get(self._peek()[1])) is not None:
            self._position += 1
            value = bounded(operation(value, self._binary(level + 1)))
        return value

    def _factor(self) -> Number:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ExpressionError(f"the expression is nested more than {MAX_DEPTH} deep")
        if self._accept("-"):
            value = negated(self._factor())
        elif self._accept("+"):
            value = self._factor()
        else:
            value = self._primary()
            if self._accept("**") or self._accept("^"):
                value = bounded(power(value, self._factor()))
        self._depth -= 1
        return value

    def _primary(self) -> Number:
        kind, text = self._peek()
        self._position += 1
        if kind == "number":
            return bounded(literal(text))
        if kind == "name":
            return self._named(text.lower())
        if text == "(":
            value = self._binary(0)
            self._expect(")")
            return value
        raise ExpressionError(f"expected a number, found {text!r}" if text else "the expression ends too early")

    def _named(self, name: str) -> Number:
        if name in CONSTANTS:
            return CONSTANTS[name]
        function = FUNCTIONS.get(name)
        if function is None:
            raise ExpressionError(f"unknown name {name[:20]!r}; known are {', '.join((*FUNCTIONS, *CONSTANTS))}")
        self._expect("(")
        arguments = [self._binary(0)]
        while self._accept(","):
            arguments.append(self._binary(0))
        self._expect(")")
        if not function.min_arguments <= len(arguments) <= function.max_arguments:
            raise ExpressionError(f"{name} does not take {len(arguments)} arguments")
        return bounded(function.apply(*arguments))

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._position]

    def _accept(self, sign: str) -> bool:
        found = self._peek() == ("sign", sign)
        self._position += found
        return found

    def _expect(self, sign: str) -> None:
        if not self._accept(sign):
            found = self._peek()[1]
            raise ExpressionError(f"expected {sign!r}, found {found!r}" if found else f"a {sign!r} is missing")
