"""`Upstash-Retry-Delay`: arithmetic in `retried`, in milliseconds, with a handful of functions."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable
from typing import Final

from .errors import ApiError

__all__ = ["DAY", "evaluate"]

DAY: Final = 86_400_000
"""Milliseconds: no delay between two attempts is longer (documentation, page Retry)."""

MAX_LENGTH: Final = 1000  # also bounds how deep it can nest


def _smaller(left: float, right: float) -> float:
    return min(left, right)


def _larger(left: float, right: float) -> float:
    return max(left, right)


_OPERATORS: Final[dict[type[ast.operator], Callable[[float, float], float]]] = {
    ast.Add: lambda left, right: left + right,
    ast.Sub: lambda left, right: left - right,
    ast.Mult: lambda left, right: left * right,
    ast.Div: lambda left, right: left / right,
    ast.Mod: lambda left, right: left % right,
}
_ONE: Final[dict[str, Callable[[float], float]]] = {
    "exp": math.exp,
    "sqrt": math.sqrt,
    "abs": math.fabs,
    "floor": lambda value: float(math.floor(value)),
    "ceil": lambda value: float(math.ceil(value)),
    "round": lambda value: float(round(value)),
}
_TWO: Final[dict[str, Callable[[float, float], float]]] = {
    "pow": math.pow,
    "min": _smaller,
    "max": _larger,
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
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)) and not isinstance(node.value, bool):
        return float(node.value)
    if isinstance(node, ast.Name) and node.id == "retried":
        return retried
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _OPERATORS[type(node.op)](_value(node.left, retried), _value(node.right, retried))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        value = _value(node.operand, retried)
        return -value if isinstance(node.op, ast.USub) else value
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        values = [_value(argument, retried) for argument in node.args]
        if len(values) == 1 and node.func.id in _ONE:
            return _ONE[node.func.id](values[0])
        if len(values) == 2 and node.func.id in _TWO:
            return _TWO[node.func.id](values[0], values[1])
    raise ValueError(f"{ast.unparse(node)!r} is not understood")
