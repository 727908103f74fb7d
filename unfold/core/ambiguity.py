"""Ambiguities of the residuals of a declaration, and the terms that remove them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .lagrangian import Lagrangian
    from .residual import Residual


@dataclass(frozen=True)
class Ambiguity:
    """A change of blocks that does not change a residual.

    Attributes:
        kind: ``"scale"``, ``"shift"`` or ``"no blur"``, the argument of `Prior.determines`.
        blocks: blocks that change together.
        text: description of the change, for ``explain``.

    Example:
        >>> from unfold.terms import Retinex
        >>> split = Retinex("Z", reflectance="P", illumination="Q")
        >>> split.ambiguities(order=("P", "Q"))[0].text
        'scale and sign between P and Q'
    """

    kind: str
    blocks: tuple[str, ...]
    text: str


def scale(one: str, other: str) -> Ambiguity:
    """The ambiguity of the factors of a product: ``(s x, y / s)`` for any nonzero number s."""
    return Ambiguity("scale", (one, other), f"scale and sign between {one} and {other}")


def of_a_blur(block: str, kernel: str, observed: str) -> tuple[Ambiguity, ...]:
    """The ambiguities of an image and its blur kernel, if both are blocks of the order."""
    pair = (block, kernel)
    return (
        scale(*pair),
        Ambiguity("shift", pair, f"shift between {block} and {kernel}"),
        Ambiguity("no blur", pair, f"no blur: {kernel} a point, {block} = {observed}"),
    )


def ambiguities(lagrangian: Lagrangian, order: Collection[str]) -> list[tuple[Ambiguity, str]]:
    """Each ambiguity of the residuals if the blocks of an order are unknown, with a description of
    the terms that remove it.

    A factor is identified with every entry that a constraint makes equal to it. An ambiguity is
    removed by such an entry if it is data, by another residual in which the factor occurs with data
    only, or by a prior (`Prior.determines`).

    Example:
        >>> from unfold.core import Lagrangian, Quadratic
        >>> from unfold.terms import Retinex
        >>> from unfold.core.ambiguity import ambiguities
        >>> split = Lagrangian(Quadratic(Retinex("Z", reflectance="P", illumination="Q")))
        >>> [(found.text, remedy) for found, remedy in ambiguities(split, ("P", "Q"))]
        [('scale and sign between P and Q', 'nothing removes it')]
    """
    return [
        (found, _remedy(lagrangian, found, order))
        for residual in _residuals(lagrangian)
        for found in residual.ambiguities(order)
    ]


def _remedy(lagrangian: Lagrangian, found: Ambiguity, order: Collection[str]) -> str:
    tied = {name for block in found.blocks for name in _tied(lagrangian, block)}
    fixed = [*_data(lagrangian, found, tied, order)]
    if fixed:
        return f"removed by {', '.join(fixed)}"
    priors = {b: r.prior for b, r in lagrangian.regularizers.items() if b in tied}
    said = {b: words for b, prior in priors.items() if (words := prior.determines(found.kind))}
    if said:
        return "; ".join(f"{type(priors[b]).__name__} on {b}: {said[b]}" for b in said)
    if found.kind == "scale" and priors:
        return f"left to the priors on {', '.join(priors)}"
    return "nothing removes it"


def _tied(lagrangian: Lagrangian, block: str) -> set[str]:
    """The block, and all entries that are equal to it."""
    found, before = {block}, set[str]()
    while found != before:
        before = set(found)
        for residual in _residuals(lagrangian):
            if not found.isdisjoint(residual.equated):
                found |= set(residual.equated)
    return found


def _data(
    lagrangian: Lagrangian, found: Ambiguity, tied: set[str], order: Collection[str]
) -> Iterator[str]:
    """The residuals in which the given blocks occur with data only."""
    for residual in _residuals(lagrangian):
        sought = [name for name in (*residual.blocks, *residual.optional_blocks) if name in order]
        if len(sought) == 1 and sought[0] in tied:
            yield residual.formula()


def _residuals(lagrangian: Lagrangian) -> list[Residual]:
    return [term.residual for term in (*lagrangian.quadratics, *lagrangian.constraints)]
