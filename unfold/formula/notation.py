"""Objectives as formulas: blocks, data, linear maps, squares, constraints and priors.

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
from unfold.core.inputs import shown
from unfold.core.objective import (
    Equality,
    Objective,
    Penalty,
    PriorOn,
    Square,
    Term,
    as_penalty,
    as_residual,
    check_name,
    prior_term,
)
from unfold.core.prior import Prior
from unfold.core.residual import Residual
from unfold.errors import InputError, InputTypeError
from unfold.priors import L0, Box, Ridge, Simplex, SoftThreshold, TotalVariation
from unfold.priors.closed_form import Poisson
from unfold.registry.spec import Spec, factory, spec_of
from unfold.terms.blur import Blur
from unfold.terms.filter_flow import Flow
from unfold.terms.gradient import Difference
from unfold.terms.linear import Applied, Downsampled, Function

__all__ = [
    "Objective", "blocks", "box", "constraint", "conv", "data", "downsample", "filter_flow",
    "from_dict", "grad", "l0", "l1", "linear", "penalties", "poisson", "prior", "ridge", "simplex",
    "sq", "tv",
]  # fmt: skip


def blocks(names: str) -> Any:
    """Declare blocks, the variables over which the objective is minimized.

    Args:
        names: one or several names, separated by spaces.

    Returns:
        An `Entry`, or a tuple of entries for several names.

    Raises:
        InputError: if there is no name, a name occurs twice, is no identifier of Python, or is an
            argument of `Objective.solve`.

    Example:
        >>> import unfold as uf
        >>> x = uf.blocks("x")
        >>> p, q = uf.blocks("P Q")
        >>> (uf.sq(x - p * q) + uf.sq(x)).blocks
        ('x', 'P', 'Q')
    """
    return _each(names, lambda name: Entry(name, "block"))


def data(names: str) -> Any:
    """Declare data, which are fixed during the optimization: photos, kernels, masks.

    Args:
        names: one or several names, separated by spaces.

    Returns:
        An `Entry`, or a tuple of entries for several names.

    Raises:
        InputError: if there is no name, a name occurs twice, is no identifier of Python, or is an
            argument of `Objective.solve`.

    Example:
        >>> import unfold as uf
        >>> x, (y, k) = uf.blocks("x"), uf.data("y k")
        >>> L = uf.sq(uf.conv(k, x) - y) / 2 + 0.1 * uf.ridge(x)
        >>> L.blocks, L.data
        (('x',), ('k', 'y'))
    """
    return _each(names, lambda name: Entry(name, "data"))


def penalties(names: str) -> Any:
    """Declare named weights of terms: arguments of `Objective.solve`, learned by the network of
    `Objective.unroll`.

    Args:
        names: one or several names, separated by spaces.

    Returns:
        A `Penalty`, or a tuple of penalties for several names.

    Raises:
        InputError: if there is no name, a name occurs twice, is no identifier of Python, or is an
            argument of `Objective.solve`.

    Example:
        >>> import torch
        >>> import unfold as uf
        >>> x, y, w = uf.blocks("x"), uf.data("y"), uf.penalties("w")
        >>> L = uf.sq(x - y) / 2 + w * uf.ridge(x)
        >>> L.solve(y=torch.ones(1, 1, 1, 1), w=3.0)[x].item()
        0.25
    """
    return _each(names, Penalty)


def sq(expression: Expression | Residual) -> Square:
    """``‖r‖²``, the sum of the squares over pixels and channels.

    Args:
        expression: r, an expression of blocks such as ``conv(k, x) - y``, or any
            `unfold.core.Residual`.

    Example:
        >>> import torch
        >>> import unfold as uf
        >>> x, (a, b) = uf.blocks("x"), uf.data("a b")
        >>> L = uf.sq(x - a) + uf.sq(x - b)
        >>> L.solve(a=torch.zeros(1, 1, 1, 1), b=torch.ones(1, 1, 1, 1))[x].item()
        0.5
    """
    return Square(as_residual(expression, "sq"))


def constraint(
    expression: Expression | Residual, penalty: str | float | Penalty, *, dual: str = ""
) -> Term:
    """The constraint ``r = 0``, as the terms ``⟨Γ, r⟩ + ρ/2 ‖r‖²`` of the augmented Lagrangian.

    Args:
        expression: r, an expression of blocks such as ``x - z``.
        penalty: ρ, a positive number or the name of a penalty.
        dual: name of Γ; by default ``dual1``, ``dual2``, ... in the order of the constraints.

    Example:
        >>> import torch
        >>> import unfold as uf
        >>> (x, z), y = uf.blocks("x z"), uf.data("y")
        >>> L = uf.sq(x - y) / 2 + uf.box(z) + uf.constraint(x - z, "rho")
        >>> L.solve(y=torch.tensor([[[[0.5, 1.5]]]]), rho=1.0)[z]
        tensor([[[[0.5000, 1.0000]]]])
    """
    return Equality(as_residual(expression, "constraint"), as_penalty(penalty), dual)


def conv(kernel: Entry, of: Expression) -> Blur:
    """``k ⊗ x``, circular convolution; see `unfold.terms.blur.Blur`.

    Example:
        >>> import torch
        >>> import unfold as uf
        >>> x, (y, k) = uf.blocks("x"), uf.data("y k")
        >>> L = uf.sq(uf.conv(k, x) - y) / 2 + 1e-6 * uf.sq(x)
        >>> kernel = torch.tensor([[[[0.2, 0.6, 0.2]]]])
        >>> blurred_point = torch.tensor([[[[0.0, 0.2, 0.6, 0.2]]]])
        >>> L.solve(y=blurred_point, k=kernel)[x].round(decimals=3).abs()
        tensor([[[[0., 0., 1., 0.]]]])
    """
    return Blur(_entry(kernel, "conv(kernel, x)"), of)


def filter_flow(kernels: Entry, maps: Entry, of: Expression, *, local: bool = False) -> Flow:
    """``Σ_m W_m ⊙ (k_m ⊗ x)``: a spatially varying blur; see `unfold.terms.filter_flow.Flow`.

    Args:
        kernels: ``k``, ``(1 or B, M, h, w)``.
        maps: ``W``, ``(1 or B, M, H, W)``.
        of: ``x``, ``(B, C, H, W)``.
        local: whether conjugate gradients for x are preconditioned locally.

    Example:
        >>> import torch
        >>> import unfold as uf
        >>> x, (k, w) = uf.blocks("x"), uf.data("k w")
        >>> blur = uf.sq(uf.filter_flow(k, w, x)).residual
        >>> kernels = torch.tensor([[[[0.0, 1.0, 0.0]], [[0.5, 0.0, 0.5]]]])
        >>> maps = torch.tensor([[[[1.0, 1.0, 0.0, 0.0]], [[0.0, 0.0, 1.0, 1.0]]]])
        >>> blur({"x": torch.tensor([[[[1.0, 2.0, 3.0, 5.0]]]]), "k": kernels, "w": maps})
        tensor([[[[1.0000, 2.0000, 3.5000, 2.0000]]]])
    """
    wanted = "filter_flow(kernels, maps, x)"
    return Flow(_entry(kernels, wanted), _entry(maps, wanted), of, local=local)


def grad(of: Expression) -> Difference:
    """``∇x``, ``(B, 2C, H, W)``: circular forward differences to the right of all channels, then
    those downwards.

    Example:
        >>> import torch
        >>> import unfold as uf
        >>> x, y = uf.blocks("x"), uf.data("y")
        >>> L = uf.sq(x - y) / 2 + 100 * uf.sq(uf.grad(x))
        >>> L.solve(y=torch.tensor([[[[0.0, 1.0]]]]))[x]
        tensor([[[[0.4994, 0.5006]]]])
    """
    return Difference(of)


def downsample(of: Expression, factor: int) -> Downsampled:
    """``S x``, every ``factor``-th pixel of every ``factor``-th row, for super-resolution.

    Example:
        >>> import torch
        >>> import unfold as uf
        >>> x, y = uf.blocks("x"), uf.data("y")
        >>> L = uf.sq(uf.downsample(x, 2) - y) / 2 + 0.01 * uf.sq(uf.grad(x))
        >>> small = torch.rand(1, 3, 4, 6)
        >>> L.solve(y=small, start={x: torch.zeros(1, 3, 8, 12)})[x].shape
        torch.Size([1, 3, 8, 12])
    """
    return Downsampled(of, factor)


def linear(forward: Function, of: Expression, adjoint: Function | None = None) -> Applied:
    """``A x`` for a linear map given as a function; see `unfold.terms.linear.Applied`.

    Example:
        >>> import torch
        >>> import unfold as uf
        >>> x, y = uf.blocks("x"), uf.data("y")
        >>> flipped = uf.sq(uf.linear(lambda v: v.flip(-1), x) - y) + 1e-6 * uf.sq(x)
        >>> observed = torch.tensor([[[[1.0, 2.0, 3.0]]]])
        >>> flipped.solve(y=observed, start={x: y})[x].round()
        tensor([[[[3., 2., 1.]]]])
    """
    return Applied(forward, of, adjoint)


def prior(name: str | Mapping[str, Any] | Prior, **options: Any) -> Callable[..., PriorOn]:
    """A function that applies an installed prior to a block, which gives a term.

    Args:
        name: one of ``unfold.list("priors")``; a mapping with the name under ``kind``;
            or a `Prior`.
        options: options of the prior.

    Returns:
        A function ``(x, channels=3) -> term``, where x is a block or an expression. ``channels`` is
        its number of channels, which priors that are networks require. A prior that requires
        training has random weights, of which `Objective.solve` warns.

    Example:
        >>> import unfold as uf
        >>> z, y = uf.blocks("z"), uf.data("y")
        >>> uf.sq(z - y) / 2 + 0.01 * uf.prior("total-variation", iterations=5)(z)
        minimize
              ½ ‖z − y‖²
            + 0.01·g_z(z)        TotalVariation
    """
    if isinstance(name, Prior):
        return lambda of, channels=3: name(of)
    spec = spec_of("priors", ({"kind": name} if isinstance(name, str) else dict(name)) | options)
    written = spec.model_dump(mode="json") if isinstance(spec, Spec) else None
    return lambda of, channels=3: prior_term(factory("priors", spec)(channels), of, written)


def tv(of: Expression) -> PriorOn:
    """``TV(x)``, isotropic total variation; see `unfold.priors.TotalVariation`.

    Example:
        >>> import torch
        >>> import unfold as uf
        >>> x, y = uf.blocks("x"), uf.data("y")
        >>> L = uf.sq(x - y) / 2 + 0.25 * uf.tv(x)
        >>> L.solve(y=torch.tensor([[[[0.0, 0.0, 1.0, 1.0]]]]))[x].round(decimals=3)
        tensor([[[[0.1250, 0.1250, 0.8750, 0.8750]]]])
    """
    return prior_term(TotalVariation(), of, {"kind": "total-variation"})


def l1(of: Expression) -> PriorOn:
    """``‖x‖₁``; its proximal operator is the soft threshold.

    Example:
        >>> import torch
        >>> import unfold as uf
        >>> x, y = uf.blocks("x"), uf.data("y")
        >>> L = uf.sq(x - y) / 2 + 0.5 * uf.l1(x)
        >>> L.solve(y=torch.tensor([[[[0.25, -1.0, 2.0]]]]))[x]
        tensor([[[[ 0.0000, -0.5000,  1.5000]]]])
    """
    return prior_term(SoftThreshold(), of, {"kind": "soft-threshold"})


def l0(of: Expression, *, grouped: bool = False) -> PriorOn:
    """``‖x‖₀``, the number of entries that are not 0; see `unfold.priors.L0`.

    Example:
        >>> import torch
        >>> import unfold as uf
        >>> x, y = uf.blocks("x"), uf.data("y")
        >>> L = uf.sq(x - y) / 2 + 0.08 * uf.l0(x)
        >>> L.solve(y=torch.tensor([[[[0.3, 0.5]]]]))[x]
        tensor([[[[0.0000, 0.5000]]]])
    """
    return prior_term(L0(grouped=grouped), of, {"kind": "l0", "grouped": grouped})


def ridge(of: Expression) -> PriorOn:
    """``½ ‖x‖²`` as a prior; see `unfold.priors.Ridge`.

    Example:
        >>> import torch
        >>> import unfold as uf
        >>> x, y = uf.blocks("x"), uf.data("y")
        >>> L = uf.sq(x - y) / 2 + 3 * uf.ridge(x)
        >>> L.solve(y=torch.ones(1, 1, 1, 1))[x].item()
        0.25
    """
    return prior_term(Ridge(), of, {"kind": "ridge"})


def box(of: Expression, low: float = 0.0, high: float = 1.0) -> PriorOn:
    """The constraint ``low <= x <= high``; see `unfold.priors.Box`.

    Example:
        >>> import torch
        >>> import unfold as uf
        >>> x, y = uf.blocks("x"), uf.data("y")
        >>> L = uf.sq(x - y) / 2 + uf.box(x)
        >>> L.solve(y=torch.tensor([[[[-0.5, 0.5, 1.5]]]]))[x]
        tensor([[[[0.0000, 0.5000, 1.0000]]]])
    """
    finite = math.isfinite(low) and math.isfinite(high)  # (files contain only finite numbers)
    spec = {"kind": "box", "low": low, "high": high} if finite else None
    return prior_term(Box(low=low, high=high), of, spec)


def simplex(of: Expression) -> PriorOn:
    """The constraint that x is nonnegative and sums to 1 over its pixels, as a kernel does; see
    `unfold.priors.Simplex`.

    Example:
        >>> import torch
        >>> import unfold as uf
        >>> k, y = uf.blocks("k"), uf.data("y")
        >>> L = uf.sq(k - y) / 2 + uf.simplex(k)
        >>> L.solve(y=torch.tensor([[[[0.75, 0.5, -0.25]]]]))[k]
        tensor([[[[0.6250, 0.3750, 0.0000]]]])
    """
    return prior_term(Simplex(), of, {"kind": "simplex"})


def poisson(of: Expression, counts: Entry) -> PriorOn:
    """``Σ x − y log x``, the negative log-likelihood of Poisson counts y, without a constant; see
    `unfold.priors.closed_form.Poisson`.

    Args:
        of: x, a block or an expression.
        counts: y, declared by `data`.

    Raises:
        InputError: if y is a block.

    Example:
        >>> import torch
        >>> import unfold as uf
        >>> (x, z), y = uf.blocks("x z"), uf.data("y")
        >>> L = uf.poisson(z, y) + uf.sq(uf.grad(x)) + uf.constraint(x - z, 1.0)
        >>> photons = torch.tensor([[[[2.0, 4.0]]]])
        >>> L.solve(y=photons, start={x: y}, tolerance=1e-6)[z].round(decimals=2)
        tensor([[[[2.9500, 3.0300]]]])
    """
    entry = _entry(counts, "poisson(x, counts)")
    if entry.role != "data":
        raise InputError(f"poisson(x, {entry.name}): {entry.name} must be data, and is a block")
    return prior_term(Poisson(entry.name), of)


def from_dict(record: Mapping[str, Any]) -> Objective:
    """Create an objective from a dictionary made by `Objective.to_dict`.

    Example:
        >>> import unfold as uf
        >>> x, y = uf.blocks("x"), uf.data("y")
        >>> L = uf.sq(x - y) / 2 + 0.1 * uf.tv(x)
        >>> uf.from_dict(L.to_dict())
        minimize
              ½ ‖x − y‖²
            + 0.1·g_x(x)        TotalVariation
    """
    from .text import objective

    return objective(record)


def _each(names: str, make: Callable[[str], Any]) -> Any:
    if not isinstance(names, str):
        raise InputTypeError(f"names must be a string, such as 'x z', got {shown(names)}")
    found = names.replace(",", " ").split()
    if not found or len(set(found)) < len(found):
        raise InputError(f"names {names!r}: give one or several, each once, separated by spaces")
    made = [make(check_name(name)) for name in found]
    return tuple(made) if len(made) > 1 else made[0]


def _entry(value: Any, call: str) -> Entry:
    if isinstance(value, Entry):
        return value
    raise InputTypeError(f"{call} takes declared blocks or data, got {shown(value)}")
