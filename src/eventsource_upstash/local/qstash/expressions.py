"""`Upstash-Retry-Delay`: arithmetic in `retried`, in milliseconds, with a handful of functions."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable
from typing import Final

from .errors import ApiError

__all__ = ["DAY", "evaluate"]

DAY: Final = 86_400_000
"""Milliseconds: no delay between two attempts is longer (documentation, page Retry)."""

MAX_LENGTH: Final = 1000  # also bounds how deep it can nest

_OPERATORS: Final[dict[type[ast.operator], Callable[[float, float], float]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
}
_FUNCTIONS: Final[dict[str, tuple[int, Callable[..., float]]]] = {
    "pow": (2, math.pow),
    "exp": (1, math.exp),
    "sqrt": (1, math.sqrt),
    "abs": (1, abs),
    "floor": (1, math.floor),
    "ceil": (1, math.ceil),
    "round": (1, round),
    "min": (2, min),
    "max": (2, max),
}


def evaluate(expression: str, retried: int) -> int:
    """The delay before the next attempt, in milliseconds: at least 0, at most a day.

    Args:
        expression: As in `pow(2, retried) * 1000`.
        retried: How many retries there were: 0 before the first.

    Raises:
        ApiError: 400, it is no such expression.
    """
    if len(expression) > MAX_LENGTH:
        raise ApiError(400, f"invalid retry delay expression: it has more than {MAX_LENGTH} characters")
    try:
        value = _value(ast.parse(expression.strip(), mode="eval").body, float(retried))
    except OverflowError:
        return DAY
    except ZeroDivisionError:
        return DAY
    except (SyntaxError, ValueError, RecursionError, MemoryError) as problem:
        raise ApiError(400, f"invalid retry delay expression: {problem}") from problem
    if math.isnan(value):
        return 0
    return DAY if value >= DAY else max(0, int(value))


def _value(node: ast.expr, retried: float) -> float:
    if isinstance(node, ast.Constant) and type(node.value) in {int, float}:
        return float(node.value)  # type: ignore[arg-type]  # one of the two, as just seen
    if isinstance(node, ast.Name) and node.id == "retried":
        return retried
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _OPERATORS[type(node.op)](_value(node.left, retried), _value(node.right, retried))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        value = _value(node.operand, retried)
        return -value if isinstance(node.op, ast.USub) else value
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        arguments, function = _FUNCTIONS.get(node.func.id, (-1, float))
        if arguments == len(node.args):
            return float(function(*(_value(argument, retried) for argument in node.args)))
    raise ValueError(f"{ast.unparse(node)!r} is not understood")
