"""A text description of a Lagrangian and its updates."""

from __future__ import annotations

from collections.abc import Sequence

from .ambiguity import ambiguities
from .lagrangian import Constraint, Lagrangian, Multiple, Quadratic, Regularizer, Term, Weight
from .operators import Structure

_SOLVER = {
    Structure.SCALAR: "divide",
    Structure.PIXEL: "divide, pixel by pixel",
    Structure.FOURIER: "FFT, divide, inverse FFT (exact for circular borders)",
    Structure.MATRIX_FREE: "preconditioned conjugate gradients, warm start",
}


def explain(lagrangian: Lagrangian, order: Sequence[str] | None = None) -> str:
    """Describe the objective; each block's normal matrix, its structure and its solver, in the
    order of update; the fixed entries; the ambiguities of the residuals, and the terms that remove
    them."""
    blocks = lagrangian.blocks
    names = list(order) if order is not None else [*blocks, *lagrangian.duals]
    lagrangian.check_order(names)
    rows = [_row(lagrangian, name) for name in names]
    header = ("update", "normal matrix", "kind", "solved by")
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(3)]
    lines = [*formulas(lagrangian.terms), ""]
    for row in [header, *rows]:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        lines.append("  ".join([*cells, row[3]]).rstrip())
    fixed = [block for block in blocks if block not in names]
    if order is not None and fixed:
        lines += ["", f"held fixed: {', '.join(fixed)}"]
    lines += _not_determined(lagrangian, names)
    return "\n".join(lines)


def _not_determined(lagrangian: Lagrangian, order: Sequence[str]) -> list[str]:
    found = ambiguities(lagrangian, order)
    if not found:
        return []
    width = max(len(ambiguity.text) for ambiguity, _ in found)
    rows = [f"    {ambiguity.text.ljust(width)}  {remedy}" for ambiguity, remedy in found]
    return ["", "not determined:", *rows]


def formulas(terms: Sequence[Term]) -> list[str]:
    """The objective, one line for each term."""
    rows = (f"    {'+ ' if i else '  '}{_term_formula(term)}" for i, term in enumerate(terms))
    return ["minimize", *rows]


def _term_formula(term: Term) -> str:
    if isinstance(term, Regularizer):
        weight = "" if term.weight == 1.0 else f"{_number(term.weight)}·"
        return f"{weight}g_{term.block}({term.block})        {type(term.prior).__name__}"
    r = term.residual.formula()
    if isinstance(term, Quadratic):
        return f"{_half(term.weight)}‖{r}‖²"
    return f"⟨{term.dual}, {r}⟩ + {_half(term.penalty)}‖{r}‖²"


def _row(lagrangian: Lagrangian, name: str) -> tuple[str, str, str, str]:
    constraint = lagrangian.duals.get(name)
    if constraint is not None:
        r = constraint.residual.formula()
        return name, "", "dual", f"{name} ← {name} + {_number(constraint.penalty)}·({r})"
    structure = lagrangian.structures[name]
    grams = [
        _gram(term, name)
        for term in lagrangian.terms
        if not isinstance(term, Regularizer) and term.residual.structure(name) is not None
    ]
    return name, " + ".join(grams), structure.value, _solver(lagrangian, name, structure)


def _gram(term: Quadratic | Constraint, block: str) -> str:
    weight = term.penalty if isinstance(term, Constraint) else term.weight
    gram = term.residual.gram_formula(block)
    if gram == "1":
        return _number(weight)
    return gram if weight == 1.0 else f"{_number(weight)}·{gram}"


def _solver(lagrangian: Lagrangian, block: str, structure: Structure) -> str:
    regularizer = lagrangian.regularizers.get(block)
    if regularizer is None:
        return _SOLVER[structure]
    prior = type(regularizer.prior).__name__
    if structure is Structure.PIXEL and not regularizer.prior.accepts_map:
        step = f"{_number(regularizer.weight)}/c"
        return f"majorized, c = max d: prox of {prior} at {block} − (d⊙{block} − b)/c, step {step}"
    if structure in (Structure.SCALAR, Structure.PIXEL):
        return f"prox of {prior} at b/d, step {_number(regularizer.weight)}/d"
    return f"refused: {prior} needs a diagonal; split the block"


def _number(weight: Weight) -> str:
    return f"{weight:g}" if isinstance(weight, (int, float)) else str(weight)


def _half(weight: Weight) -> str:
    """Half a weight, as a factor."""
    if isinstance(weight, (int, float)):
        return {1.0: "½ ", 2.0: ""}.get(weight, f"{weight / 2:g} ")
    if isinstance(weight, Multiple) and weight.factor % 2 == 0:
        return f"{weight.name} " if weight.factor == 2 else f"{weight.factor / 2:g}·{weight.name} "
    return f"{weight}/2 "
