"""Objectives as they are printed: blocks, data, linear maps, squares, constraints and priors.

Example: deconvolution by total variation.

    >>> import unfold as uf
    >>> x, z = uf.blocks("x z")
    >>> y, k = uf.data("y k")
    >>> L = uf.sq(uf.conv(k, x) - y) / 2 + 0.01 * uf.tv(z) + uf.constraint(x - z, "rho")
    >>> print(L.explain().splitlines()[6])
    x       |F(k)|² + rho  Fourier-diagonal  FFT, divide, inverse FFT (exact for circular borders)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from unfold.core.expression import Entry, Expression
from unfold.core.objective import (
    Belief,
    Objective,
    Penalty,
    Square,
    Tie,
    as_penalty,
    as_residual,
    believed,
)
from unfold.core.prior import Prior
from unfold.core.residual import Residual
from unfold.priors import L0, Box, Ridge, Simplex, SoftThreshold, TotalVariation
from unfold.priors.poisson import Poisson
from unfold.registry.spec import Spec, factory, resolve
from unfold.terms.blur import Blur
from unfold.terms.downsample import Downsampled
from unfold.terms.filter_flow import Flow
from unfold.terms.gradient import Difference
from unfold.terms.linear import Applied, Function

__all__ = [
    "Objective", "blocks", "box", "constraint", "conv", "data", "downsample", "filter_flow",
    "from_dict", "grad", "l0", "l1", "linear", "penalties", "poisson", "prior", "ridge", "simplex",
    "sq", "tv",
]  # fmt: skip


def blocks(names: str) -> Any:
    """Blocks, which are minimized over: one, or a tuple of several.

    Args:
        names: separated by spaces.

    Returns:
        `Entry`, or a tuple of them.

    Example:
        >>> x = blocks("x")
        >>> p, q = blocks("P Q")
    """
    return _each(names, lambda name: Entry(name, "block"))


def data(names: str) -> Any:
    """Data, which is held fixed (photos, kernels, masks): one, or a tuple of several.

    Args:
        names: separated by spaces.

    Returns:
        `Entry`, or a tuple of them.
    """
    return _each(names, lambda name: Entry(name, "data"))


def penalties(names: str) -> Any:
    """Named weights of the terms, which `Objective.solve` is given and `Objective.unroll` learns.

    Args:
        names: separated by spaces.

    Returns:
        `Penalty`, or a tuple of them.
    """
    return _each(names, Penalty)


def sq(expression: Expression | Residual) -> Square:
    """``‖r‖²``: the sum of the squares over pixels and channels.

    Args:
        expression: of blocks, such as ``conv(k, x) - y``; or any `unfold.core.Residual`.
    """
    return Square(as_residual(expression, "sq"))


def constraint(
    expression: Expression | Residual, penalty: str | float | Penalty, *, dual: str = ""
) -> Tie:
    """``r = 0``, as ``⟨Γ, r⟩ + ρ/2 ‖r‖²``.

    Args:
        expression: of blocks, such as ``x - z``.
        penalty: ρ, a positive number or the name of one.
        dual: the name of Γ; by default ``dual1``, ``dual2``, ... in the order of the constraints.
    """
    return Tie(as_residual(expression, "constraint"), as_penalty(penalty), dual)


def conv(kernel: Entry, of: Expression) -> Blur:
    """``k ⊗ x``: circular convolution; see `unfold.terms.blur.Blur`."""
    return Blur(_entry(kernel, "conv(kernel, x)"), of)


def filter_flow(kernels: Entry, maps: Entry, of: Expression) -> Flow:
    """``Σ_m W_m ⊙ (k_m ⊗ x)``: a blur that varies; see `unfold.terms.filter_flow.Flow`."""
    wanted = "filter_flow(kernels, maps, x)"
    return Flow(_entry(kernels, wanted), _entry(maps, wanted), of)


def grad(of: Expression) -> Difference:
    """``∇x``: circular forward differences, to the right for all channels, then downwards."""
    return Difference(of)


def downsample(of: Expression, factor: int) -> Downsampled:
    """Every ``factor``-th pixel of every ``factor``-th row."""
    return Downsampled(of, factor)


def linear(forward: Function, of: Expression, adjoint: Function | None = None) -> Applied:
    """``A x`` for a linear map of one's own; see `unfold.terms.linear.Applied`.

    Example:
        >>> x, y = blocks("x"), data("y")
        >>> flipped = sq(linear(lambda v: v.flip(-1), x) - y)
    """
    return Applied(forward, of, adjoint)


def prior(name: str | Mapping[str, Any] | Prior, **options: Any) -> Callable[..., Belief]:
    """An installed prior by name: called on a block, it is a term.

    Args:
        name: one of ``unfold.list("priors")``; a mapping with the name under ``kind``;
            or a `Prior`.
        options: of the prior.

    Returns:
        ``of(x, channels=3)``: x a block or an expression; channels are those of x, for priors that
        are networks.

    Example:
        >>> z = blocks("z")
        >>> term = 0.01 * prior("total-variation", iterations=5)(z)
    """
    if isinstance(name, Prior):
        return lambda of, channels=3: name(of)
    spec = resolve("priors", ({"kind": name} if isinstance(name, str) else dict(name)) | options)
    written = spec.model_dump(mode="json") if isinstance(spec, Spec) else None
    return lambda of, channels=3: believed(factory("priors", spec)(channels), of, written)


def tv(of: Expression) -> Belief:
    """``TV(x)``, isotropic total variation; see `unfold.priors.TotalVariation`."""
    return believed(TotalVariation(), of, {"kind": "total-variation"})


def l1(of: Expression) -> Belief:
    """``‖x‖₁``; its proximal operator is the soft threshold."""
    return believed(SoftThreshold(), of, {"kind": "soft-threshold"})


def l0(of: Expression, *, grouped: bool = False) -> Belief:
    """``‖x‖₀``, the number of entries that are not 0; see `unfold.priors.L0`."""
    return believed(L0(grouped=grouped), of, {"kind": "l0", "grouped": grouped})


def ridge(of: Expression) -> Belief:
    """``½ ‖x‖²`` as a prior; see `unfold.priors.Ridge`."""
    return believed(Ridge(), of, {"kind": "ridge"})


def box(of: Expression, low: float = 0.0, high: float = 1.0) -> Belief:
    """``low <= x <= high``; see `unfold.priors.Box`."""
    finite = math.isfinite(low) and math.isfinite(high)  # (a file knows no other numbers)
    spec = {"kind": "box", "low": low, "high": high} if finite else None
    return believed(Box(low=low, high=high), of, spec)


def simplex(of: Expression) -> Belief:
    """``x >= 0`` and sums to 1 over its pixels: a kernel; see `unfold.priors.Simplex`."""
    return believed(Simplex(), of, {"kind": "simplex"})


def poisson(of: Expression, counts: Entry) -> Belief:
    """``Σ x − y log x``: Poisson's likelihood of counts y; see `unfold.priors.poisson.Poisson`."""
    entry = _entry(counts, "poisson(x, counts)")
    if entry.role != "data":
        raise ValueError(f"poisson(x, {entry.name}): the counts are data, and {entry.name} a block")
    return believed(Poisson(entry.name), of)


def from_dict(record: Mapping[str, Any]) -> Objective:
    """The objective that `Objective.to_dict` wrote down."""
    from .text import objective

    return objective(record)


def _each(names: str, make: Callable[[str], Any]) -> Any:
    if not isinstance(names, str):
        raise TypeError(f"names are a text, such as 'x z', got {names!r:.40}")
    found = names.replace(",", " ").split()
    if not found or len(set(found)) < len(found):
        raise ValueError(f"names {names!r}: give one or several, each once, separated by spaces")
    made = [make(name) for name in found]
    return tuple(made) if len(made) > 1 else made[0]


def _entry(value: Any, call: str) -> Entry:
    if isinstance(value, Entry):
        return value
    raise TypeError(f"{call} takes declared blocks or data, got {value!r:.40}")
