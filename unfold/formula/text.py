"""Expressions from text, as in the files of declared models and in `Objective.to_dict`."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from unfold.core.expression import Entry, Expression
from unfold.core.inputs import shown
from unfold.core.objective import Objective, Penalty, Term, as_penalty
from unfold.errors import InputError, InputTypeError

from . import notation

_FUNCTIONS: Mapping[str, Callable[..., Expression]] = {
    "conv": notation.conv, "downsample": notation.downsample, "filter_flow": notation.filter_flow,
    "grad": notation.grad,
}  # fmt: skip
_OPERATORS: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
}

_GRAMMAR = f"names, numbers, + - * / and {', '.join(f'{name}(...)' for name in _FUNCTIONS)}"


def expression(text: str, entry: Callable[[str], Entry] = Entry) -> Expression:
    """Parse an expression.

    It may contain names, numbers, the operators ``+ - * /``, and the maps ``conv(k, x)``,
    ``filter_flow(k, W, x, local=True)``, ``grad(x)`` and ``downsample(x, 2)``.

    Args:
        text: the expression, for example ``"conv(k, x) + e - y"``.
        entry: function that returns the `Entry` of a name; by default a block.

    Raises:
        InputError: if the text contains anything else (the message shows it), or is a number.

    Example:
        >>> from unfold.formula.text import expression
        >>> expression("Z - P * Q")
        Z − P⊙Q
    """
    value = _value(_parsed(text), text, entry)
    if isinstance(value, Expression):
        return value
    raise InputError(f"{text!r} is a number: write an expression of blocks")


def objective(record: Mapping[str, Any]) -> Objective:
    """The objective of a dictionary; see `unfold.from_dict`."""
    terms = record.get("terms") if isinstance(record, Mapping) else None
    if not terms or not isinstance(terms, (list, tuple)):
        raise InputError(
            f"an objective's dictionary has a list of terms under 'terms', got {shown(record)}"
        )
    held = set(record.get("data", ()))

    def entry(name: str) -> Entry:
        return Entry(name, "data" if name in held else "block")

    return Objective(*(_term(i, term, entry) for i, term in enumerate(terms, 1)))


def _term(number: int, term: Any, entry: Callable[[str], Entry]) -> Term:
    try:
        return _read_term(term, entry)
    except KeyError as error:
        raise InputError(f"term {number}, {shown(term)}, lacks {error}") from None
    except (TypeError, ValueError) as error:
        raise InputError(f"term {number}: {error}") from error


def _read_term(term: Any, entry: Callable[[str], Entry]) -> Term:
    if not isinstance(term, Mapping):
        raise InputTypeError(f"a term must be a dictionary, got {shown(term)}")
    if "quadratic" in term:
        weight = _penalty(term.get("weight", 1.0))
        return notation.sq(expression(term["quadratic"], entry)) * (weight / 2)
    if "constraint" in term:
        residual = expression(term["constraint"], entry)
        return notation.constraint(residual, _penalty(term["penalty"]), dual=term.get("dual", ""))
    if "prior" in term:
        weight = _penalty(term.get("weight", 1.0))
        return notation.prior(term["prior"])(expression(term["block"], entry)) * weight
    raise InputError(f"a term must have quadratic, constraint or prior, got {shown(term)}")


def _penalty(value: str | float) -> Penalty:
    if not isinstance(value, str):
        return as_penalty(value)
    factor, _, name = value.rpartition("*")
    return Penalty(name, float(factor or 1))


def _parsed(text: str) -> ast.expr:
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (AttributeError, SyntaxError, ValueError, RecursionError, MemoryError):
        raise InputError(f"{text!r:.80} is not an expression: write {_GRAMMAR}") from None


def _value(node: ast.expr, text: str, entry: Callable[[str], Entry]) -> Any:
    if isinstance(node, ast.Name):
        return entry(node.id)
    if isinstance(node, ast.Constant) and type(node.value) in (bool, int, float):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_value(node.operand, text, entry)
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        left, right = (_value(side, text, entry) for side in (node.left, node.right))
        return _done(_OPERATORS[type(node.op)], text, left, right)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        function = _FUNCTIONS.get(node.func.id)
        if function is not None and all(keyword.arg for keyword in node.keywords):
            options = {k.arg: _value(k.value, text, entry) for k in node.keywords if k.arg}
            arguments = (_value(argument, text, entry) for argument in node.args)
            return _done(partial(function, **options), text, *arguments)
    raise InputError(f"{text!r:.80}: {ast.unparse(node)!r:.40} is none of {_GRAMMAR}")


def _done(function: Callable[..., Any], text: str, *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError) as error:
        raise InputError(f"{text!r:.80}: {error}") from None
