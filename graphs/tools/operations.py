"""The operations of the calculator on whole numbers and decimals, every one bounded in size."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal, DivisionByZero, InvalidOperation, Overflow
from typing import NoReturn

Number = int | Decimal

MAX_EXPONENT = 10_000
MAX_DIGITS = 1_000
PRECISION = 50
SHOWN_DIGITS = 25
"""Fewer than are computed, so that rounding errors do not show: 1 / 3 * 3 is 1."""

_DECIMAL = Context(
    prec=PRECISION, Emax=MAX_EXPONENT, Emin=-MAX_EXPONENT, traps=[DivisionByZero, InvalidOperation, Overflow]
)
_EXACT = Context(prec=MAX_DIGITS + 1, traps=[InvalidOperation])
_SHOWN = Context(prec=SHOWN_DIGITS)

CONSTANTS: Mapping[str, Decimal] = {
    "pi": Decimal("3.1415926535897932384626433832795028841971693993751"),
    "e": Decimal("2.7182818284590452353602874713526624977572470936999"),
}


class ExpressionError(ValueError):
    """What is wrong with an expression, in words that whoever wrote it can act on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A function by name, with the number of arguments it takes."""

    apply: Callable[..., Number]
    min_arguments: int = 1
    max_arguments: int = 1


def shown(value: Number) -> str:
    """Write a number the way people do: no trailing zeros, an exponent only for the very large and the very small."""
    if isinstance(value, int):
        return str(value)
    rounded = _SHOWN.plus(value).normalize(_SHOWN)
    if rounded == 0:
        return "0"
    return f"{rounded:f}" if -10 <= rounded.adjusted() < SHOWN_DIGITS else f"{rounded:e}"


def literal(text: str) -> Number:
    """Read a number as the tokenizer found it; underscores may group digits."""
    digits = text.replace("_", "")
    return int(digits) if digits.isdigit() else _decimal(Decimal(digits))


def _decimal(value: Number) -> Decimal:
    return _DECIMAL.plus(value if isinstance(value, Decimal) else _EXACT.create_decimal(value))


def bounded(value: Number) -> Number:
    """Return the value. Raises ExpressionError when it is a whole number of more than MAX_DIGITS digits."""
    if isinstance(value, int) and abs(value) >= _INTEGER_LIMIT:
        _too_large()
    return value


def _too_large() -> NoReturn:
    raise ExpressionError(f"the result is too large: more than {MAX_DIGITS} digits")


def _both_int(left: Number, right: Number) -> bool:
    return isinstance(left, int) and isinstance(right, int)


def negated(value: Number) -> Number:
    return -value if isinstance(value, int) else _DECIMAL.minus(value)


def _absolute(value: Number) -> Number:
    return negated(value) if value < 0 else value


def _add(left: Number, right: Number) -> Number:
    return left + right if _both_int(left, right) else _DECIMAL.add(_decimal(left), _decimal(right))


def _subtract(left: Number, right: Number) -> Number:
    return left - right if _both_int(left, right) else _DECIMAL.subtract(_decimal(left), _decimal(right))


def _multiply(left: Number, right: Number) -> Number:
    return left * right if _both_int(left, right) else _DECIMAL.multiply(_decimal(left), _decimal(right))


def _divide(left: Number, right: Number) -> Number:
    if right == 0:
        raise ExpressionError("division by zero")
    if isinstance(left, int) and isinstance(right, int) and left % right == 0:
        return left // right
    return _DECIMAL.divide(_decimal(left), _decimal(right))


def _floor_divide(left: Number, right: Number) -> Number:
    if right == 0:
        raise ExpressionError("division by zero")
    if isinstance(left, int) and isinstance(right, int):
        return left // right
    return _whole(_DECIMAL.divide(_decimal(left), _decimal(right)), ROUND_FLOOR)


def _modulo(left: Number, right: Number) -> Number:
    if isinstance(left, int) and isinstance(right, int) and right != 0:
        return left % right
    return _subtract(left, _multiply(right, _floor_divide(left, right)))


def power(base: Number, exponent: Number) -> Number:
    """Raise to a power, having estimated the size of the result before computing it."""
    if _absolute(exponent) > MAX_EXPONENT:
        raise ExpressionError(f"the exponent is too large: at most {MAX_EXPONENT}")
    if isinstance(base, int) and isinstance(exponent, int) and exponent >= 0:
        if abs(base) > 1 and exponent * math.log10(abs(base)) > MAX_DIGITS:
            _too_large()
        return int(base**exponent)
    if base == 0:
        if exponent < 0:
            raise ExpressionError("division by zero")
        return 1 if exponent == 0 else 0
    return _DECIMAL.power(_decimal(base), _decimal(exponent))


def _whole(value: Number, rounding: str) -> int:
    if isinstance(value, int):
        return value
    if value.adjusted() > MAX_DIGITS:
        _too_large()
    return int(value.to_integral_value(rounding))


def _round(value: Number, places: Number = 0) -> Number:
    if not isinstance(places, int) or not 0 <= places <= SHOWN_DIGITS:
        raise ExpressionError(f"round takes 0 to {SHOWN_DIGITS} places")
    if isinstance(value, int):
        return value
    if value.adjusted() + places >= PRECISION:
        return value
    rounded = value.quantize(Decimal(1).scaleb(-places), context=_DECIMAL)
    return rounded if places else int(rounded)


def _sqrt(value: Number) -> Number:
    if isinstance(value, int) and value >= 0 and (root := math.isqrt(value)) ** 2 == value:
        return root
    return _DECIMAL.sqrt(_decimal(value))


def _logarithm(apply: Callable[[Decimal], Decimal]) -> Callable[[Number], Decimal]:
    def logarithm(value: Number) -> Decimal:
        if value <= 0:
            raise ExpressionError("a logarithm takes a number above zero")
        return apply(_decimal(value))

    return logarithm


def _circular(apply: Callable[[float], float]) -> Callable[[Number], Decimal]:
    def circular(value: Number) -> Decimal:
        if _absolute(value) > 10**9:
            raise ExpressionError("an angle is in radians, below 1e9")
        return _decimal(Decimal(repr(round(apply(float(value)), 15))))

    return circular


_INTEGER_LIMIT = 10**MAX_DIGITS
BINARY_LEVELS: tuple[Mapping[str, Callable[[Number, Number], Number]], ...] = (
    {"+": _add, "-": _subtract},
    {"*": _multiply, "/": _divide, "//": _floor_divide, "%": _modulo},
)
FUNCTIONS: Mapping[str, Function] = {
    "abs": Function(apply=_absolute),
    "ceil": Function(apply=lambda value: _whole(value, ROUND_CEILING)),
    "cos": Function(apply=_circular(math.cos)),
    "exp": Function(apply=lambda value: _DECIMAL.exp(_decimal(value))),
    "floor": Function(apply=lambda value: _whole(value, ROUND_FLOOR)),
    "ln": Function(apply=_logarithm(_DECIMAL.ln)),
    "log10": Function(apply=_logarithm(_DECIMAL.log10)),
    "max": Function(apply=max, max_arguments=32),
    "min": Function(apply=min, max_arguments=32),
    "round": Function(apply=_round, max_arguments=2),
    "sin": Function(apply=_circular(math.sin)),
    "sqrt": Function(apply=_sqrt),
    "tan": Function(apply=_circular(math.tan)),
}
