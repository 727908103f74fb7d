"""Blur: circular convolution with one kernel, and filter flow with several."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from einops import rearrange
from torch import Tensor

from unfold.core.operators import (
    Fourier,
    LinearMap,
    MatrixFree,
    Pixel,
    Structure,
    broadcast_shapes,
    image,
    power_spectrum,
    spectrum,
)
from unfold.core.residual import Residual
from unfold.core.state import State


class Convolution(Residual):
    """``r = H ⊗ I − X``: one kernel for the whole image, circular borders.

    Its normal matrix in ``I`` is ``|F(H)|²`` in the Fourier basis, so that ``I`` is solved by one
    division: ``F⁻¹[(w conj(F H) F X + ...) / (w |F H|² + ρ)]`` (JUDE eq. 21 with its misprints
    mended, ErA's X update). The kernel's transfer function, its power and ``conj(F H) F X`` are
    computed once for as long as ``H`` and ``X`` stay the same.

    Args:
        block: ``I``, ``(B, C, H, W)``, affine.
        kernel: ``H``, ``(1 or B, 1 or C, h, w)``, at most as large as the image. Its centre is
            the element ``(h // 2, w // 2)``, also for even sizes, as in ``scipy.ndimage``.
        observed: ``X``, ``(B, C, H, W)``; affine too, and a block where it is in the order (ErA's
            constraint ``U = H ⊗ X`` is ``Convolution("X", kernel="H", observed="U")``).

    FFT means circular: pad real photos first (`unfold.imaging.boundary`).
    """

    def __init__(self, block: str, *, kernel: str, observed: str) -> None:
        super().__init__([(block, Structure.FOURIER), (observed, Structure.SCALAR)], [kernel])
        self.block, self.kernel, self.observed = block, kernel, observed

    def forward(self, state: Mapping[str, Tensor]) -> Tensor:
        state = State(state)
        return self._fourier(state).mv(state[self.block]) - state[self.observed]

    def operator(self, block: str, state: State) -> LinearMap:
        if block == self.block:
            return self._fourier(state)
        return Pixel(-1.0, state[block].shape)

    def offset(self, block: str, state: State) -> Tensor:
        if block == self.block:
            return -state[self.observed]
        return self._fourier(state).mv(state[self.block])

    def data(self, block: str, state: State, operator: LinearMap) -> Tensor:
        if not isinstance(operator, Fourier):
            return super().data(block, state, operator)
        return state.derive(
            f"conj(F {self.kernel}) F {self.observed} on {tuple(operator.domain)}",
            (self.kernel, self.observed),
            lambda: operator.adjoint_spectrum(spectrum(state[self.observed])),
        )

    def drive(
        self, block: str, state: State, operator: LinearMap, dual: Tensor, weight: Tensor | float
    ) -> Tensor:
        if not isinstance(operator, Fourier):
            return super().drive(block, state, operator, dual, weight)
        return operator.adjoint_spectrum(spectrum(weight * state[self.observed] - dual))

    def formula(self) -> str:
        return f"{self.kernel}⊗{self.block} − {self.observed}"

    def gram_formula(self, block: str) -> str:
        return f"|F({self.kernel})|²" if block == self.block else "1"

    def _fourier(self, state: State) -> Fourier:
        domain = state[self.block].shape
        otf, power = transfer(state, self.kernel, domain)
        blurred = broadcast_shapes((*otf.shape[:2], 1, 1), domain)
        _check_observed(self, state[self.observed].shape, blurred)
        return Fourier(otf, domain, power)


class FilterFlow(Residual):
    """``r = B I − X`` with ``B x = Σ_m W_m ⊙ (k_m ⊗ x)``: a blur that varies over the image.

    ``Bᵀ y = Σ_m k̃_m ⊗ (W_m ⊙ y)``, exactly. The normal matrix is diagonal in no basis, so ``I``
    is solved by conjugate gradients, preconditioned by the power spectrum averaged over the
    image, ``Σ_mn mean(W_m W_n) F(k_m) conj(F(k_n))``: exact where the weights are constant.

    Args:
        block: ``I``, ``(B, C, H, W)``.
        kernels: ``k``, ``(1 or B, M, h, w)``, at most as large as the image, centred like
            `Convolution`'s; the same for every channel.
        weights: ``W``, ``(1 or B, M, H, W)``; they usually sum to one over ``M``.
        observed: ``X``, ``(B, C, H, W)``; may be a block.

    Source: Hirsch et al., "Efficient filter flow for space-variant multiframe blind
    deconvolution", CVPR 2010, with the weights after the convolution as in JUDE.
    """

    def __init__(self, block: str, *, kernels: str, weights: str, observed: str) -> None:
        super().__init__(
            [(block, Structure.MIXED), (observed, Structure.SCALAR)], [kernels, weights]
        )
        self.block, self.kernels, self.weights = block, kernels, weights
        self.observed = observed

    def forward(self, state: Mapping[str, Tensor]) -> Tensor:
        state = State(state)
        return self._map(state).mv(state[self.block]) - state[self.observed]

    def operator(self, block: str, state: State) -> LinearMap:
        if block == self.block:
            return self._map(state)
        return Pixel(-1.0, state[block].shape)

    def offset(self, block: str, state: State) -> Tensor:
        if block == self.block:
            return -state[self.observed]
        return self._map(state).mv(state[self.block])

    def formula(self) -> str:
        return f"Σ {self.weights}⊙({self.kernels}⊗{self.block}) − {self.observed}"

    def gram_formula(self, block: str) -> str:
        return "BᵀB" if block == self.block else "1"

    def _map(self, state: State) -> MatrixFree:
        domain = state[self.block].shape
        otf, _ = transfer(state, self.kernels, domain)
        weights = state[self.weights]
        if weights.shape[1] != otf.shape[1] or weights.shape[-2:] != domain[-2:]:
            raise ValueError(
                f"FilterFlow: {self.weights!r} has shape {tuple(weights.shape)}, must be "
                f"(batch or 1, {otf.shape[1]}, {domain[-2]}, {domain[-1]}): one map for each of "
                f"the kernels {self.kernels!r}"
            )
        batch = broadcast_shapes(otf.shape[:1], weights.shape[:1], domain[:1])
        _check_observed(self, state[self.observed].shape, batch + domain[1:])
        t, w = (rearrange(x, "b m h w -> b m 1 h w") for x in (otf, weights))

        def mv(x: Tensor) -> Tensor:
            blurred = image(t * rearrange(spectrum(x), "b c h w -> b 1 c h w"), domain)
            return (w * blurred).sum(1)

        def adjoint(y: Tensor) -> Tensor:
            weighted = w * rearrange(y, "b c h w -> b 1 c h w")
            return image((t.conj() * spectrum(weighted)).sum(1), domain).sum_to_size(domain)

        stationary = state.derive(
            f"stationary part of {self.kernels} under {self.weights} on {tuple(domain)}",
            (self.kernels, self.weights),
            lambda: _mean_power(otf, weights),
        )
        return MatrixFree(mv, adjoint, domain, stationary)


def _check_observed(
    term: Convolution | FilterFlow, observed: torch.Size, blurred: torch.Size
) -> None:
    if observed != blurred:
        raise ValueError(
            f"{term.observed!r} has shape {tuple(observed)}, must have that of the blurred "
            f"{term.block!r}, {tuple(blurred)}"
        )


def transfer(state: State, kernel: str, domain: torch.Size) -> tuple[Tensor, Tensor]:
    """A kernel's transfer function and its power on a grid, remembered by the state."""
    name = f"F {kernel} on {tuple(domain[-2:])}"
    otf = state.derive(name, (kernel,), lambda: _transfer_function(state[kernel], kernel, domain))
    return otf, state.derive(f"|{name}|²", (kernel,), lambda: power_spectrum(otf))


def transfer_function(kernel: Tensor, size: tuple[int, int]) -> Tensor:
    """``F(H)``, ``(B, C, H, W // 2 + 1)``: the kernel ``(B, C, h, w)`` with its centre
    ``(h // 2, w // 2)`` moved to the origin of a grid of the given size."""
    h, w = kernel.shape[-2:]
    placed = kernel.new_zeros(*kernel.shape[:-2], *size)
    placed[..., :h, :w] = kernel
    return spectrum(placed.roll((-(h // 2), -(w // 2)), (-2, -1)))


def _transfer_function(kernel: Tensor, name: str, domain: torch.Size) -> Tensor:
    height, width = domain[-2:]
    if kernel.ndim != 4 or kernel.shape[-2] > height or kernel.shape[-1] > width:
        raise ValueError(
            f"the kernel {name!r} has shape {tuple(kernel.shape)}, must be (batch or 1, channels "
            f"or 1, h, w) and at most as large as the image, {height}×{width}: crop the kernel "
            "or pad the image"
        )
    return transfer_function(kernel, (height, width))


def _mean_power(otf: Tensor, weights: Tensor) -> Tensor:
    """``Σ_mn mean(W_m W_n) F_m conj(F_n)``, ``(B, 1, H, W // 2 + 1)``, real and >= 0."""
    flat = weights.flatten(2)
    overlap = flat @ flat.mT / flat.shape[-1]
    mixed = torch.einsum("bmn,bnhw->bmhw", overlap.to(otf.dtype), otf)
    return (mixed * otf.conj()).real.sum(1, keepdim=True)
