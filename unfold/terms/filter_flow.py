"""Filter flow: a blur that varies over the image."""

from __future__ import annotations

from functools import partial

import torch
from einops import rearrange
from torch import Tensor

from unfold.core.expression import Entry, Expression
from unfold.core.operators import MatrixFree, Structure, broadcast_shapes, image, spectrum
from unfold.core.state import State
from unfold.errors import InputError

from .blur import Blurred, check_kernel, transfer

_LEAST_SHARE = 1e-3  # added to the maps in the windows of the preconditioner


class Flow(Blurred):
    """``B x = Σ_m W_m ⊙ (k_m ⊗ x)``: a blur that varies over the image.

    ``Bᵀ y = Σ_m k̃_m ⊗ (W_m ⊙ y)``, exactly. The normal matrix is not diagonal in any basis, so
    ``x`` is solved by conjugate gradients. The preconditioner is the power spectrum averaged over
    the image, ``Σ_ij mean(W_i W_j) F(k_i) conj(F(k_j))``, which is exact for constant maps. The
    local preconditioner is ``BᵀB ≈ Σ_m u_m C_m u_m``: M windows ``u_m``, the maps divided by their
    norm at each pixel, are deconvolved separately. C_m has the power spectrum of the mean in window
    m, weighted by ``u_m²``. It is exact for constant maps, too. For discs of several radii in
    different parts of an image it needs a fourth of the iterations (12 in place of 51, of radii
    from 0 to 6 pixels), each of which takes longer by a half. If the kernels have different
    shapes, it saves none.

    If the kernels are in the order, they are a block, and the maps are data:
    ``A k = Σ_m W_m ⊙ (x ⊗ k_m)`` and ``(Aᵀ y)_m = x̃ ⊗ (W_m ⊙ y)``, summed over the channels. They
    are solved by conjugate gradients, preconditioned by ``mean(W_m²) |F(x)|²`` for each ``m``.

    Args:
        kernels: ``k``, ``(1 or B, M, h, w)``, at most as large as the image, centered as in `Blur`;
            the same for every channel. As a block they have the height, the width and the batch
            size of the image (see `embed_kernel`).
        maps: ``W``, ``(1 or B, M, H, W)``; they usually sum to one over ``M``.
        of: ``x``, ``(B, C, H, W)``.
        local: whether the preconditioner is local.

    Source: Hirsch et al., "Efficient filter flow for space-variant multiframe blind
    deconvolution", CVPR 2010, with the maps after the convolution as in JUDE.
    """

    outer_structure = Structure.MATRIX_FREE
    symbol, word = "B", "filter_flow"

    def __init__(self, kernels: Entry, maps: Entry, of: Expression, *, local: bool = False) -> None:
        super().__init__(kernels, of, maps)
        self.maps, self.local = maps, local

    def shape(self, state: State) -> torch.Size:
        kernels, maps = state[self.kernel.name].shape, state[self.maps.name].shape
        domain = self.of.shape(state)
        check_kernel(self.kernel.name, kernels, domain[-2:])
        if len(maps) != 4 or maps[1] != kernels[1] or maps[-2:] != domain[-2:]:
            raise InputError(
                f"a filter flow: {self.maps.name!r} has shape {tuple(maps)}, must be (batch or 1, "
                f"{kernels[1]}, {domain[-2]}, {domain[-1]}): one map for each of the kernels "
                f"{self.kernel.name!r}"
            )
        return broadcast_shapes(kernels[:1], maps[:1], domain[:1]) + domain[1:]

    def value(self, state: State) -> Tensor:
        # The dual's update needs it, then the next update of the blurred image.
        name = f"{self.formula()} on {tuple(self.of.shape(state))}"
        return state.derive(name, self.names, partial(super().value, state))

    def outer(self, state: State) -> MatrixFree:
        domain = self.of.shape(state)
        otf, _ = transfer(state, self.kernel, domain)
        maps = state[self.maps.name]
        t, w = (rearrange(x, "b m h w -> b m 1 h w") for x in (otf, maps))

        def mv(x: Tensor) -> Tensor:
            blurred = image(t * rearrange(spectrum(x), "b c h w -> b 1 c h w"), domain)
            return (w * blurred).sum(1)

        def adjoint(y: Tensor) -> Tensor:
            weighted = w * rearrange(y, "b c h w -> b 1 c h w")
            return image((t.conj() * spectrum(weighted)).sum(1), domain).sum_to_size(domain)

        of_both = f"{self.kernel.name} under {self.maps.name} on {tuple(domain)}"
        names = self.kernel.name, self.maps.name
        if not self.local:
            mean = state.derive(f"mean of {of_both}", names, lambda: _mean_power(otf, maps))
            return MatrixFree(mv, adjoint, domain, mean)
        windows = state.derive(f"windows of {self.maps.name}", names[1:], lambda: _windows(maps))
        powers = state.derive(
            f"local part of {of_both}", names, lambda: _local_powers(otf, maps, windows)
        )
        return MatrixFree(mv, adjoint, domain, local=(windows, powers))

    def _map_of_kernel(self, state: State) -> MatrixFree:
        domain = state[self.kernel.name].shape
        self._check_full_size(domain, self.of.shape(state))
        otf, power = transfer(state, self.of, domain)
        maps = state[self.maps.name]
        t, w = rearrange(otf, "b c h w -> b 1 c h w"), rearrange(maps, "b m h w -> b m 1 h w")

        def mv(x: Tensor) -> Tensor:
            blurred = image(t * rearrange(spectrum(x), "b m h w -> b m 1 h w"), domain)
            return (w * blurred).sum(1)

        def adjoint(y: Tensor) -> Tensor:
            weighted = w * rearrange(y, "b c h w -> b 1 c h w")
            return image((t.conj() * spectrum(weighted)).sum(2), domain).sum_to_size(domain)

        share = maps.square().mean((-2, -1), keepdim=True)
        stationary = share * power.sum(1, keepdim=True)
        if len(stationary) > domain[0]:  # the images share one set of kernels
            stationary = stationary.sum(0, keepdim=True)
        return MatrixFree(mv, adjoint, domain, stationary)

    def _check_full_size(self, kernels: torch.Size, blurred: torch.Size) -> None:
        if kernels[-2:] != blurred[-2:]:
            h, w = blurred[-2:]
            raise InputError(
                f"{self.kernel.name!r} has shape {tuple(kernels)}: as a block it must be as high "
                f"and wide as the image of the filter flow, {h}×{w}; start it with "
                f"unfold.terms.embed_kernel(kernel, ({h}, {w})), or leave it out of the order"
            )

    def formula(self) -> str:
        return f"Σ {self.maps.name}⊙({self.kernel.name}⊗{self.of.formula()})"

    def code(self) -> str:
        code = super().code()
        return f"{code[:-1]}, local=True)" if self.local else code

    def gram_formula(self, name: str) -> str:
        return "AᵀA" if name == self.kernel.name else super().gram_formula(name)


@torch.no_grad()
def _mean_power(otf: Tensor, maps: Tensor) -> Tensor:
    """``Σ_ij mean(W_i W_j) F_i conj(F_j)``, ``(B, 1, H, W // 2 + 1)``, real and >= 0."""
    flat = maps.flatten(2)
    return _power(otf, flat @ flat.mT / flat.shape[-1])


@torch.no_grad()
def _windows(maps: Tensor) -> Tensor:
    """The maps divided by their norm at each pixel; nowhere 0, so that no pixel is left out."""
    positive = maps.abs() + _LEAST_SHARE
    return positive / positive.square().sum(1, keepdim=True).sqrt()


@torch.no_grad()
def _local_powers(otf: Tensor, maps: Tensor, windows: Tensor) -> Tensor:
    """The power spectrum of the mean blur in each window, ``(B, M, H, W // 2 + 1)``."""
    flat, squares = maps.flatten(2), windows.flatten(2).square()
    weights = squares / squares.sum(-1, keepdim=True)
    return torch.cat([_power(otf, (flat * w) @ flat.mT) for w in weights.split(1, 1)], 1)


def _power(otf: Tensor, overlap: Tensor) -> Tensor:
    """``Σ_ij overlap_ij F_i conj(F_j)``, ``(B, 1, H, W // 2 + 1)``."""
    # In real arithmetic: the overlaps are real.
    parts = torch.view_as_real(otf).flatten(2)
    total = (overlap.to(parts.dtype) @ parts * parts).sum(1, keepdim=True)
    return total.unflatten(-1, (*otf.shape[-2:], 2)).sum(-1)
