"""Fixed points of flat states: Anderson acceleration, and Krylov methods for linear maps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

Map = Callable[[Tensor], Tensor]

_WINDOW = 6  # number of iterates for Anderson acceleration
_KRYLOV = 15  # products between restarts of GMRES
_GROWTH = 2.0  # if a residual grows by this factor, Anderson acceleration discards its iterates


@dataclass(frozen=True)
class FixedPoint:
    """The end of a fixed-point iteration.

    Attributes:
        x: the last iterate, ``(B, D)``.
        image: the map's value at ``x``.
        error: ``‖map(x) − x‖ / ‖map(x)‖`` for each image, ``(B,)``.
        count: number of evaluations of the map.
    """

    x: Tensor
    image: Tensor
    error: Tensor
    count: int


def anderson(step: Map, start: Tensor, *, tolerance: float, maximum: int) -> FixedPoint:
    """Solve ``x = step(x)`` by Anderson acceleration, independently for each image of the batch.

    Iteration, r = step(x) − x, from the last six iterates::

        γ = argmin ‖r_k + Σ_i γ_i (r_i − r_k)‖,   x_{k+1} = f_k + Σ_i γ_i (f_i − f_k),   f = step(x)

    If a residual doubles, the iterates of that image are discarded: the next step is a plain one.

    Args:
        step: a map of ``(B, D)``.
        start: ``(B, D)``.
        tolerance: the iteration ends when the relative residual of every image is at most this.
        maximum: largest number of evaluations. The iteration also ends if a value is not finite.

    Source: Walker and Ni, "Anderson acceleration for fixed-point iterations", SIAM J. Numer. Anal.
    2011 (type II, with the residuals' Gram matrix regularized relative to its diagonal).
    """
    x = start
    residuals: list[Tensor] = []
    images: list[Tensor] = []
    before: Tensor | None = None
    for count in range(1, maximum + 1):
        image = step(x)
        residual = image - x
        size = _norm(residual)
        error = size / _norm(image).clamp_min(torch.finfo(x.dtype).tiny)
        done = bool((error <= tolerance).all()) or not bool(error.isfinite().all())
        if done or count == maximum:
            return FixedPoint(x, image, error, count)
        if before is not None and bool((grown := size > _GROWTH * before).any()):
            residuals = [torch.where(grown[:, None], residual, r) for r in residuals]
            images = [torch.where(grown[:, None], image, f) for f in images]
        x = _mixed(residual, image, residuals, images)
        residuals, images = [*residuals, residual][-_WINDOW:], [*images, image][-_WINDOW:]
        before = size
    raise AssertionError  # pragma: no cover (maximum is at least 1)


def _mixed(r: Tensor, image: Tensor, residuals: list[Tensor], images: list[Tensor]) -> Tensor:
    """The next iterate: the combination of the last iterates with the smallest residual."""
    if not residuals:
        return image
    columns = torch.stack([old - r for old in residuals], 1)
    scale = 1 / _norm(columns).clamp_min(torch.finfo(r.dtype).tiny ** 0.5)
    gram = (scale[:, :, None] * (columns @ columns.mT) * scale[:, None, :]).double()
    ridge = 10 * torch.finfo(r.dtype).eps * torch.eye(len(images)).to(gram)
    right = -(scale * (columns @ r[:, :, None])[..., 0]).double()
    solved = cast(Tensor, torch.linalg.solve(gram + ridge, right))  # pyright: ignore
    gamma = solved.to(r.dtype) * scale
    moves = torch.stack([old - image for old in images], 1)
    return image + (gamma[:, None, :] @ moves)[:, 0]


@dataclass(frozen=True)
class Krylov:
    """The Krylov decomposition of a linear map: ``A Q_n = Q_{n+1} H``, for each image.

    Attributes:
        basis: orthonormal, ``(B, n + 1, D)``.
        hessenberg: H, ``(B, n + 1, n)``.
    """

    basis: Tensor
    hessenberg: Tensor

    def radius(self) -> tuple[Tensor, Tensor]:
        """Estimates of the largest modulus of an eigenvalue, and of the residual of its
        eigenvector, ``‖A q − θ q‖``; ``(B,)`` each."""
        square, last = self.hessenberg[:, :-1].cpu(), self.hessenberg[:, -1, -1].cpu()
        values, vectors = cast(tuple[Tensor, Tensor], torch.linalg.eig(square))  # pyright: ignore
        largest = values.abs().argmax(1, keepdim=True)
        tip = vectors[:, -1].gather(1, largest)[:, 0].abs()
        modulus = values.abs().gather(1, largest)[:, 0]
        return modulus.to(self.basis), (tip * last.abs()).to(self.basis)


def arnoldi(apply: Map, start: Tensor, products: int) -> Krylov:
    """Power iteration from a start ``(B, D)``; the iterates are stored and orthonormalized.

    Source: Arnoldi, "The principle of minimized iterations in the solution of the matrix
    eigenvalue problem", 1951; orthogonalized twice.
    """
    products = min(products, start.shape[1])
    tiny = torch.finfo(start.dtype).tiny ** 0.5
    basis = start.new_zeros(len(start), products + 1, start.shape[1])
    hessenberg = start.new_zeros(len(start), products + 1, products)
    basis[:, 0] = start / _norm(start).clamp_min(tiny)[:, None]
    for n in range(products):
        v, known = apply(basis[:, n]), basis[:, : n + 1]
        size = _norm(v)
        for _ in range(2):
            shares = (known @ v[:, :, None])[..., 0]
            v = v - (shares[:, None] @ known)[:, 0]
            hessenberg[:, : n + 1, n] += shares
        rest = _norm(v)
        # (After the space is exhausted, only rounding errors remain, which are not a direction.)
        rest = torch.where(rest > 100 * torch.finfo(v.dtype).eps * size, rest, 0)
        hessenberg[:, n + 1, n] = rest
        basis[:, n + 1] = torch.where(rest[:, None] > 0, v / rest.clamp_min(tiny)[:, None], 0)
    return Krylov(basis, hessenberg)


def resolvent(apply: Map, rhs: Tensor, *, tolerance: float, maximum: int) -> tuple[Tensor, Krylov]:
    """Solve ``g = rhs + A g`` for a linear A, by GMRES on ``I − A``, which is Anderson acceleration
    with all iterates (Walker and Ni 2011).

    Args:
        apply: ``x -> A x`` for ``(B, D)``.
        rhs: ``(B, D)``.
        tolerance: the iteration ends when ``‖rhs + A g − g‖ <= tolerance ‖rhs‖`` for each image.
        maximum: largest number of products.

    Returns:
        g, and the Krylov decomposition of A from the first products. g is NaN if the tolerance is
        not reached.
    """
    x, residual, goal = torch.zeros_like(rhs), rhs, tolerance * _norm(rhs)
    first: Krylov | None = None
    count = 0
    while first is None or bool((_norm(residual) > goal).any()):
        if count >= maximum:
            return torch.full_like(x, torch.nan), first or Krylov(x[:, None], x[:, None])
        found = arnoldi(apply, residual, _KRYLOV)
        n = found.hessenberg.shape[2]
        shifted = torch.eye(n + 1, n).to(rhs) - found.hessenberg
        right = torch.zeros_like(shifted[..., :1])
        right[:, 0, 0] = _norm(residual)
        # (By the pseudo-inverse: the basis of an image that is solved contains zeros.)
        y = torch.pinverse(shifted) @ right
        x = x + (y.mT @ found.basis[:, :-1])[:, 0]
        residual = rhs + apply(x) - x
        first, count = first or found, count + n + 1
    return x, first


def _norm(x: Tensor) -> Tensor:
    return torch.linalg.vector_norm(x, dim=-1)  # pyright: ignore (torch does not type it)
