"""Blur: circular convolution with one kernel, and filter flow with several."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import torch
from einops import rearrange
from torch import Tensor
from torch.nn.functional import pad

from unfold.core.ambiguity import Ambiguity, of_a_blur
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
from unfold.imaging.boundary import fast_length


class Convolution(Residual):
    """``r = H ⊗ I − X``: one kernel for the whole image, circular borders.

    Its normal matrix in ``I`` is ``|F(H)|²`` in the Fourier basis, so that ``I`` is solved by one
    division: ``F⁻¹[(w conj(F H) F X + ...) / (w |F H|² + ρ)]`` (JUDE eq. 21 with its misprints
    mended, ErA's X update). The kernel's transfer function, its power and ``conj(F H) F X`` are
    computed once for as long as ``H`` and ``X`` stay the same.

    The kernel is a block, too, where it is in the order (blind deconvolution). Convolution is
    symmetric in its factors: the normal matrix in ``H`` is ``|F(I)|²``, summed over the channels
    that a kernel serves, and one division solves it for a kernel as large as the image (see
    `embed_kernel`). That of a smaller one holds the correlations of I up to the kernel's size, and
    conjugate gradients on a grid of twice that size solve it.

    Args:
        block: ``I``, ``(B, C, H, W)``, affine.
        kernel: ``H``, ``(1 or B, 1 or C, h, w)``, at most as large as the image. Its centre is
            the element ``(h // 2, w // 2)``, also for even sizes, as in ``scipy.ndimage``. As a
            block it has the batch of the image.
        observed: ``X``, ``(B, C, H, W)``; affine too, and a block where it is in the order (ErA's
            constraint ``U = H ⊗ X`` is ``Convolution("X", kernel="H", observed="U")``).

    FFT means circular: pad real photos first (`unfold.imaging.boundary`).

    Raises:
        ValueError: a kernel larger than the image; an observation that has not the shape of the
            blurred image.

    Source: Cho and Lee, "Fast motion deblurring", SIGGRAPH Asia 2009, for the kernel's update.
    """

    def __init__(self, block: str, *, kernel: str, observed: str) -> None:
        super().__init__(
            [(block, Structure.FOURIER), (observed, Structure.SCALAR)],
            [kernel],
            {kernel: Structure.FOURIER},
        )
        self.block, self.kernel, self.observed = block, kernel, observed

    def forward(self, state: Mapping[str, Tensor]) -> Tensor:
        state = State(state)
        return self._fourier(state).mv(state[self.block]) - state[self.observed]

    def operator(self, block: str, state: State) -> LinearMap:
        if block == self.block:
            return self._fourier(state)
        if block == self.kernel:
            return self._map_of_kernel(state)
        return Pixel(-1.0, state[block].shape)

    def offset(self, block: str, state: State) -> Tensor:
        if block != self.observed:
            return -state[self.observed]
        return self._fourier(state).mv(state[self.block])

    def data(self, block: str, state: State, operator: LinearMap) -> Tensor:
        if not isinstance(operator, Fourier):
            return super().data(block, state, operator)
        factor = self._factor(block)
        return state.derive(
            f"conj(F {factor}) F {self.observed} on {tuple(operator.domain)}",
            (factor, self.observed),
            lambda: operator.adjoint_spectrum(spectrum(state[self.observed])),
        )

    def drive(
        self, block: str, state: State, operator: LinearMap, dual: Tensor, weight: Tensor | float
    ) -> Tensor:
        if not isinstance(operator, Fourier):
            return super().drive(block, state, operator, dual, weight)
        return operator.adjoint_spectrum(spectrum(weight * state[self.observed] - dual))

    def ambiguities(self, order: Collection[str]) -> Sequence[Ambiguity]:
        if {self.block, self.kernel} <= set(order):
            return of_a_blur(self.block, self.kernel, self.observed)
        return ()

    def formula(self) -> str:
        return f"{self.kernel}⊗{self.block} − {self.observed}"

    def gram_formula(self, block: str) -> str:
        return "1" if block == self.observed else f"|F({self._factor(block)})|²"

    def _factor(self, block: str) -> str:
        return self.kernel if block == self.block else self.block

    def _fourier(self, state: State) -> Fourier:
        domain = state[self.block].shape
        otf, power = transfer(state, self.kernel, domain)
        self._check_observed(state)
        return Fourier(otf, domain, power)

    def _map_of_kernel(self, state: State) -> LinearMap:
        """``H -> H ⊗ I``: the image takes the place of the kernel, its centre at the origin."""
        kernel, size = state[self.kernel].shape, state[self.block].shape[-2:]
        self._check_observed(state)
        if kernel[-2:] != size:
            _check_kernel(self.kernel, kernel, size)
            return _Support(self.block, kernel, state)
        otf, power = transfer(state, self.block, kernel)
        return Fourier(otf, kernel, power)

    def _check_observed(self, state: State) -> None:
        kernel, block = state[self.kernel].shape, state[self.block].shape
        blurred = broadcast_shapes((*kernel[:2], 1, 1), block)
        _check_observed(self, state[self.observed].shape, blurred)


class _Support(MatrixFree):
    """``H -> H ⊗ I`` for kernels smaller than the image."""

    def __init__(self, block: str, domain: torch.Size, state: State) -> None:
        size = (state[block].shape[-2], state[block].shape[-1])
        rows, columns = (torch.arange(1 - n, n) for n in domain[-2:])  # lags between two entries
        grid = tuple(fast_length(2 * n - 1) for n in domain[-2:])
        names = f"of {block} on {tuple(size)}", f"of {block} for kernels {tuple(domain)}"
        spectra = state.derive(f"F {names[0]}", (block,), lambda: spectrum(state[block]))

        def correlations() -> Tensor:
            total = image(_sum(power_spectrum(spectra), domain), state[block].shape)
            # (Rows and columns below 0 count from the end, as the lags of a period do.)
            near = total[..., (rows % size[0])[:, None], columns % size[1]]
            near = pad(near, (0, grid[1] - near.shape[-1], 0, grid[0] - near.shape[-2]))
            return spectrum(near.roll((1 - domain[-2], 1 - domain[-1]), (-2, -1)))

        self._correlations = state.derive(f"correlations {names[1]}", (block,), correlations)
        self._grid = torch.Size(grid)
        h, w = domain[-2:]

        def mv(kernel: Tensor) -> Tensor:
            return image(spectra * transfer_function(kernel, size), torch.Size(size))

        def adjoint(y: Tensor) -> Tensor:
            correlation = image(_sum(spectra.conj() * spectrum(y), domain), torch.Size(size))
            return correlation.roll((h // 2, w // 2), (-2, -1))[..., :h, :w]

        super().__init__(mv, adjoint, domain)

    def gram(self, x: Tensor) -> Tensor:
        h, w = self.domain[-2:]
        transformed = torch.fft.rfft2(x, s=tuple(self._grid))
        return image(self._correlations * transformed, self._grid)[..., :h, :w]


def _sum(spectra: Tensor, domain: torch.Size) -> Tensor:
    """The sum over images and channels where a domain has one of them."""
    shared = [axis for axis in (0, 1) if domain[axis] == 1]
    return spectra.sum(shared, keepdim=True) if shared else spectra


class FilterFlow(Residual):
    """``r = B I − X`` with ``B x = Σ_m W_m ⊙ (k_m ⊗ x)``: a blur that varies over the image.

    ``Bᵀ y = Σ_m k̃_m ⊗ (W_m ⊙ y)``, exactly. The normal matrix is diagonal in no basis, so ``I``
    is solved by conjugate gradients, preconditioned by the power spectrum averaged over the
    image, ``Σ_mn mean(W_m W_n) F(k_m) conj(F(k_n))``: exact where the weights are constant.

    The kernels are a block, too, where they are in the order, the maps staying data:
    ``A k = Σ_m W_m ⊙ (I ⊗ k_m)`` and ``(Aᵀ y)_m = Ĩ ⊗ (W_m ⊙ y)``, summed over the channels; by
    conjugate gradients, preconditioned by ``mean(W_m²) |F(I)|²`` for each ``m``.

    Args:
        block: ``I``, ``(B, C, H, W)``.
        kernels: ``k``, ``(1 or B, M, h, w)``, at most as large as the image, centred like
            `Convolution`'s; the same for every channel. As a block they have the height, the
            width and the batch of the image (see `embed_kernel`).
        weights: ``W``, ``(1 or B, M, H, W)``; they usually sum to one over ``M``.
        observed: ``X``, ``(B, C, H, W)``; may be a block.

    Raises:
        ValueError: as `Convolution`; maps that are not one for each kernel, as large as the image.

    Source: Hirsch et al., "Efficient filter flow for space-variant multiframe blind
    deconvolution", CVPR 2010, with the weights after the convolution as in JUDE.
    """

    def __init__(self, block: str, *, kernels: str, weights: str, observed: str) -> None:
        super().__init__(
            [(block, Structure.MIXED), (observed, Structure.SCALAR)],
            [kernels, weights],
            {kernels: Structure.MIXED},
        )
        self.block, self.kernels, self.weights = block, kernels, weights
        self.observed = observed

    def forward(self, state: Mapping[str, Tensor]) -> Tensor:
        state = State(state)
        return self._map(state).mv(state[self.block]) - state[self.observed]

    def operator(self, block: str, state: State) -> LinearMap:
        if block == self.block:
            return self._map(state)
        if block == self.kernels:
            return self._map_of_kernels(state)
        return Pixel(-1.0, state[block].shape)

    def offset(self, block: str, state: State) -> Tensor:
        if block != self.observed:
            return -state[self.observed]
        return self._map(state).mv(state[self.block])

    def ambiguities(self, order: Collection[str]) -> Sequence[Ambiguity]:
        if {self.block, self.kernels} <= set(order):
            return of_a_blur(self.block, self.kernels, self.observed)
        return ()

    def formula(self) -> str:
        return f"Σ {self.weights}⊙({self.kernels}⊗{self.block}) − {self.observed}"

    def gram_formula(self, block: str) -> str:
        return {self.block: "BᵀB", self.kernels: "AᵀA"}.get(block, "1")

    def _map(self, state: State) -> MatrixFree:
        domain = state[self.block].shape
        otf, _ = transfer(state, self.kernels, domain)
        self._check_maps(state)
        weights = state[self.weights]
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

    def _map_of_kernels(self, state: State) -> MatrixFree:
        domain = state[self.kernels].shape
        _check_full_size(self, self.kernels, domain, state[self.block].shape)
        self._check_maps(state)
        otf, power = transfer(state, self.block, domain)
        weights = state[self.weights]
        t, w = rearrange(otf, "b c h w -> b 1 c h w"), rearrange(weights, "b m h w -> b m 1 h w")

        def mv(x: Tensor) -> Tensor:
            blurred = image(t * rearrange(spectrum(x), "b m h w -> b m 1 h w"), domain)
            return (w * blurred).sum(1)

        def adjoint(y: Tensor) -> Tensor:
            weighted = w * rearrange(y, "b c h w -> b 1 c h w")
            return image((t.conj() * spectrum(weighted)).sum(2), domain).sum_to_size(domain)

        share = weights.square().mean((-2, -1), keepdim=True)
        stationary = share * power.sum(1, keepdim=True)
        if len(stationary) > domain[0]:  # one set of kernels for all images
            stationary = stationary.sum(0, keepdim=True)
        return MatrixFree(mv, adjoint, domain, stationary)

    def _check_maps(self, state: State) -> None:
        kernels, weights = state[self.kernels].shape, state[self.weights].shape
        domain = state[self.block].shape
        if weights[1] != kernels[1] or weights[-2:] != domain[-2:]:
            raise ValueError(
                f"FilterFlow: {self.weights!r} has shape {tuple(weights)}, must be "
                f"(batch or 1, {kernels[1]}, {domain[-2]}, {domain[-1]}): one map for each of "
                f"the kernels {self.kernels!r}"
            )
        batch = broadcast_shapes(kernels[:1], weights[:1], domain[:1])
        _check_observed(self, state[self.observed].shape, batch + domain[1:])


def embed_kernel(kernel: Tensor, size: tuple[int, int]) -> Tensor:
    """A kernel in the middle of zeros: the shape in which it is a block.

    The kernel's centre, the element ``(h // 2, w // 2)``, comes to ``(H // 2, W // 2)``; it
    blurs as it did.

    Args:
        kernel: ``(B, M, h, w)``.
        size: ``(H, W)``, of the image; at least ``(h, w)``.

    Returns:
        ``(B, M, H, W)``.

    Raises:
        ValueError: the kernel is larger than the size.

    Example:
        >>> import torch
        >>> embed_kernel(torch.ones(1, 1, 1, 2), (3, 4))[0, 0]
        tensor([[0., 0., 0., 0.],
                [0., 1., 1., 0.],
                [0., 0., 0., 0.]])
    """
    (h, w), (height, width) = kernel.shape[-2:], size
    if h > height or w > width:
        raise ValueError(
            f"a kernel of shape {tuple(kernel.shape)} cannot be embedded in {height}×{width}: crop "
            "it"
        )
    top, left = height // 2 - h // 2, width // 2 - w // 2
    return pad(kernel, (left, width - w - left, top, height - h - top))


def centre_of_mass(kernel: Tensor) -> Tensor:
    """Row and column of the centre of mass of a kernel ``(1, 1, h, w)`` that sums to 1."""
    places = (torch.arange(n, dtype=kernel.dtype, device=kernel.device) for n in kernel.shape[-2:])
    rows, columns = places
    return torch.stack([kernel.sum(-1).flatten() @ rows, kernel.sum(-2).flatten() @ columns])


def _check_full_size(term: Residual, name: str, kernel: torch.Size, blurred: torch.Size) -> None:
    if len(kernel) != 4 or kernel[-2:] != blurred[-2:]:
        h, w = blurred[-2:]
        raise ValueError(
            f"{name!r} has shape {tuple(kernel)}: to be minimised over it must be as high and "
            f"wide as the image of {type(term).__name__}, {h}×{w}; start it with "
            f"unfold.terms.embed_kernel(kernel, ({h}, {w})), or leave it out of the order"
        )


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
    _check_kernel(name, kernel.shape, domain[-2:])
    return transfer_function(kernel, (height, width))


def _check_kernel(name: str, kernel: torch.Size, size: torch.Size) -> None:
    height, width = size
    if len(kernel) != 4 or kernel[-2] > height or kernel[-1] > width:
        raise ValueError(
            f"the kernel {name!r} has shape {tuple(kernel)}, must be (batch or 1, channels or 1, "
            f"h, w) and at most as large as the image, {height}×{width}: crop the kernel or pad "
            "the image"
        )


def _mean_power(otf: Tensor, weights: Tensor) -> Tensor:
    """``Σ_mn mean(W_m W_n) F_m conj(F_n)``, ``(B, 1, H, W // 2 + 1)``, real and >= 0."""
    flat = weights.flatten(2)
    overlap = flat @ flat.mT / flat.shape[-1]
    mixed = torch.einsum("bmn,bnhw->bmhw", overlap.to(otf.dtype), otf)
    return (mixed * otf.conj()).real.sum(1, keepdim=True)
