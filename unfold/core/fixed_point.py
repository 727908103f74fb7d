"""Fixed points of flat states: Anderson acceleration, and Krylov methods for what is linear."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

Map = Callable[[Tensor], Tensor]

_WINDOW = 6  # iterates that Anderson acceleration remembers
_KRYLOV = 15  # products before GMRES starts again
_GROWTH = 2.0  # a residual that grows by this makes Anderson acceleration forget its iterates


@dataclass(frozen=True)
class FixedPoint:
    """Where an iteration ended.

    Attributes:
        x: the last iterate, ``(B, D)``.
        image: the map's value there.
        error: ``‖map(x) − x‖ / ‖map(x)‖`` for each image, ``(B,)``.
        count: values of the map that it took.
    """

    x: Tensor
    image: Tensor
    error: Tensor
    count: int


def anderson(step: Map, start: Tensor, *, tolerance: float, maximum: int) -> FixedPoint:
    """``x = step(x)`` by Anderson acceleration, each image of the batch by itself.

    Iteration, r = step(x) − x, from the last six iterates::

        γ = argmin ‖r_k + Σ_i γ_i (r_i − r_k)‖,   x_{k+1} = f_k + Σ_i γ_i (f_i − f_k),   f = step(x)

    Where a residual doubles, the image's iterates are forgotten: the next step is a plain one.

    Args:
        step: of ``(B, D)``.
        start: ``(B, D)``.
        tolerance: it ends when every image's relative residual is at most this,
        maximum: or when this many values of the map were taken, or one is not finite.

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
    """The next iterate: a combination of the last ones whose residual is least."""
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
    """What products with a linear map say of it: ``A Q_n = Q_{n+1} H``, each image by itself.

    Attributes:
        basis: orthonormal, ``(B, n + 1, D)``.
        hessenberg: H, ``(B, n + 1, n)``.
    """

    basis: Tensor
    hessenberg: Tensor

    def radius(self) -> tuple[Tensor, Tensor]:
        """The largest modulus of an eigenvalue, as far as the products show it, and how far the
        vector that it was read from is from an eigenvector, ``‖A q − θ q‖``: ``(B,)`` each."""
        square, last = self.hessenberg[:, :-1].cpu(), self.hessenberg[:, -1, -1].cpu()
        values, vectors = cast(tuple[Tensor, Tensor], torch.linalg.eig(square))  # pyright: ignore
        largest = values.abs().argmax(1, keepdim=True)
        tip = vectors[:, -1].gather(1, largest)[:, 0].abs()
        modulus = values.abs().gather(1, largest)[:, 0]
        return modulus.to(self.basis), (tip * last.abs()).to(self.basis)


def arnoldi(apply: Map, start: Tensor, products: int) -> Krylov:
    """Power iteration from a start ``(B, D)``, whose iterates are kept and made orthonormal.

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
        # (What rounding leaves of an exhausted space is no direction.)
        rest = torch.where(rest > 100 * torch.finfo(v.dtype).eps * size, rest, 0)
        hessenberg[:, n + 1, n] = rest
        basis[:, n + 1] = torch.where(rest[:, None] > 0, v / rest.clamp_min(tiny)[:, None], 0)
    return Krylov(basis, hessenberg)


def resolvent(apply: Map, rhs: Tensor, *, tolerance: float, maximum: int) -> tuple[Tensor, Krylov]:
    """``g = rhs + A g`` for a linear A, by GMRES on ``I − A``: Anderson acceleration that forgets
    nothing, for maps that are linear (Walker and Ni 2011).

    Args:
        apply: ``x -> A x`` of ``(B, D)``.
        rhs: ``(B, D)``.
        tolerance: it ends when ``‖rhs + A g − g‖ <= tolerance ‖rhs‖`` for each image,
        maximum: or after this many products.

    Returns:
        g, and what the first products say of A. NaN where the maximum did not do.
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
        # (By its pseudo-inverse: an image that is solved has a basis of zeros.)
        y = torch.pinverse(shifted) @ right
        x = x + (y.mT @ found.basis[:, :-1])[:, 0]
        residual = rhs + apply(x) - x
        first, count = first or found, count + n + 1
    return x, first


def _norm(x: Tensor) -> Tensor:
    return torch.linalg.vector_norm(x, dim=-1)  # pyright: ignore (torch does not type it)
