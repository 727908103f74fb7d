"""Blur: circular convolution with a kernel."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterator

import torch
from torch import Tensor
from torch.nn.functional import pad

from unfold.core.ambiguity import Ambiguity, of_a_blur
from unfold.core.expression import Entry, Expression, Mapped
from unfold.core.operators import (
    FourierDiagonal,
    LinearMap,
    MatrixFree,
    Structure,
    broadcast_shapes,
    image,
    power_spectrum,
    spectrum,
)
from unfold.core.state import State
from unfold.errors import InputError
from unfold.imaging.boundary import fast_length

__all__ = ["transfer_function"]


class Blurred(Mapped):
    """A blur of an expression, which is also linear in its kernel."""

    def __init__(self, kernel: Entry, of: Expression, *maps: Entry) -> None:
        super().__init__(of, kernel, *maps)
        self.kernel = kernel

    @abstractmethod
    def _map_of_kernel(self, state: State) -> LinearMap:
        """``J`` of the kernel."""

    def structure(self, name: str) -> Structure:
        return self.outer_structure if name == self.kernel.name else super().structure(name)

    def map(self, name: str, state: State) -> LinearMap:
        return self._map_of_kernel(state) if name == self.kernel.name else super().map(name, state)

    def offset(self, name: str, state: State) -> Tensor | None:
        return None if name == self.kernel.name else super().offset(name, state)

    def ambiguities(self, order: Collection[str], rest: str) -> Iterator[Ambiguity]:
        if isinstance(self.of, Entry) and {self.of.name, self.kernel.name} <= set(order):
            yield from of_a_blur(self.of.name, self.kernel.name, rest)


class Blur(Blurred):
    """``H ⊗ I``: circular convolution of an expression with a kernel.

    It is Fourier-diagonal in I. It is also Fourier-diagonal in H if the kernel is as large as the
    image (see `embed_kernel`), because convolution is commutative. The normal matrix of a smaller
    kernel consists of the correlations of I up to the kernel's size; conjugate gradients solve it
    on a grid of twice that size.

    Args:
        kernel: ``H``, ``(1 or B, 1 or C, h, w)``, at most as large as the image. Its center is the
            element ``(h // 2, w // 2)``, also for even sizes, as in ``scipy.ndimage``.
        of: ``I``, ``(B, C, H, W)``.
    """

    outer_structure, word = Structure.FOURIER, "conv"

    def shape(self, state: State) -> torch.Size:
        kernel, of = state[self.kernel.name].shape, self.of.shape(state)
        check_kernel(self.kernel.name, kernel, of[-2:])
        if any(1 not in (a, b) and a != b for a, b in zip(kernel[:2], of[:2], strict=True)):
            raise InputError(
                f"{self.formula()} cannot combine {self.kernel.name} {tuple(kernel)}, "
                f"{self.of.formula()} {tuple(of)}: batch and channels of a kernel are those of the "
                "image, or 1"
            )
        return broadcast_shapes((*kernel[:2], 1, 1), of)

    def outer(self, state: State) -> FourierDiagonal:
        domain = self.of.shape(state)
        otf, power = transfer(state, self.kernel, domain)
        return FourierDiagonal(otf, domain, power)

    def _map_of_kernel(self, state: State) -> LinearMap:
        """``H -> H ⊗ I``, with the image as the kernel, its center moved to the origin."""
        kernel, size = state[self.kernel.name].shape, self.of.shape(state)[-2:]
        check_kernel(self.kernel.name, kernel, size)
        if kernel[-2:] != size:
            return _Support(self.of, kernel, state)
        otf, power = transfer(state, self.of, kernel)
        return FourierDiagonal(otf, kernel, power)

    @property
    def symbol(self) -> str:  # type: ignore[override]
        return self.kernel.name

    def formula(self) -> str:
        return f"{self.kernel.name}⊗{self.of.formula()}"

    def gram_formula(self, name: str) -> str:
        if name == self.kernel.name:
            return f"|F({self.of.formula()})|²"
        if self.of.symbols(name):
            return super().gram_formula(name)
        return f"|F({self.kernel.name})|²"


class _Support(MatrixFree):
    """``H -> H ⊗ I`` for kernels smaller than the image."""

    def __init__(self, of: Expression, domain: torch.Size, state: State) -> None:
        height, width = of.shape(state)[-2:]
        size = height, width
        rows, columns = (torch.arange(1 - n, n) for n in domain[-2:])  # lags between two entries
        grid = tuple(fast_length(2 * n - 1) for n in domain[-2:])
        text = of.formula()
        names = f"of {text} on {size}", f"of {text} for kernels {tuple(domain)}"
        spectra = state.derive(f"F {names[0]}", of.names, lambda: spectrum(of.value(state)))

        def correlations() -> Tensor:
            total = image(_sum(power_spectrum(spectra), domain), torch.Size(size))
            # (Negative rows and columns count from the end, as periodic lags do.)
            near = total[..., (rows % size[0])[:, None], columns % size[1]]
            near = pad(near, (0, grid[1] - near.shape[-1], 0, grid[0] - near.shape[-2]))
            return spectrum(near.roll((1 - domain[-2], 1 - domain[-1]), (-2, -1)))

        self._correlations = state.derive(f"correlations {names[1]}", of.names, correlations)
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
    """The sum over those of batch and channels that are 1 in a domain."""
    shared = [axis for axis in (0, 1) if domain[axis] == 1]
    return spectra.sum(shared, keepdim=True) if shared else spectra


def embed_kernel(kernel: Tensor, size: tuple[int, int]) -> Tensor:
    """Pad a kernel with zeros to the size of an image, so that it can be a block.

    The kernel's center, the element ``(h // 2, w // 2)``, is moved to ``(H // 2, W // 2)``, so that
    it causes the same blur.

    Args:
        kernel: ``(B, M, h, w)``.
        size: size ``(H, W)`` of the image; at least ``(h, w)``.

    Returns:
        ``(B, M, H, W)``.

    Raises:
        InputError: if the kernel is larger than the size.

    Example:
        >>> import torch
        >>> from unfold.terms import embed_kernel
        >>> embed_kernel(torch.ones(1, 1, 1, 2), (3, 4))[0, 0]
        tensor([[0., 0., 0., 0.],
                [0., 1., 1., 0.],
                [0., 0., 0., 0.]])
    """
    (h, w), (height, width) = kernel.shape[-2:], size
    if h > height or w > width:
        raise InputError(
            f"a kernel of shape {tuple(kernel.shape)} cannot be embedded in {height}×{width}: crop "
            "it"
        )
    top, left = height // 2 - h // 2, width // 2 - w // 2
    return pad(kernel, (left, width - w - left, top, height - h - top))


def center_of_mass(kernel: Tensor) -> Tensor:
    """Row and column of the center of mass of a kernel ``(1, 1, h, w)`` that sums to 1."""
    places = (torch.arange(n, dtype=kernel.dtype, device=kernel.device) for n in kernel.shape[-2:])
    rows, columns = places
    return torch.stack([kernel.sum(-1).flatten() @ rows, kernel.sum(-2).flatten() @ columns])


def transfer(state: State, kernel: Expression, domain: torch.Size) -> tuple[Tensor, Tensor]:
    """A kernel's transfer function and its power on a grid, cached by the state."""
    name, sources = f"F {kernel.formula()} on {tuple(domain[-2:])}", kernel.names
    otf = state.derive(name, sources, lambda: _transfer_function(kernel, state, domain))
    return otf, state.derive(f"|{name}|²", sources, lambda: power_spectrum(otf))


def transfer_function(kernel: Tensor, size: tuple[int, int]) -> Tensor:
    """``F(H)``, ``(B, C, H, W // 2 + 1)``: transform of the kernel ``(B, C, h, w)``, whose center
    ``(h // 2, w // 2)`` is moved to the origin of a grid of the given size.

    Example:
        >>> import torch
        >>> from unfold.terms.blur import transfer_function
        >>> point = torch.zeros(1, 1, 3, 3)
        >>> point[..., 1, 1] = 1
        >>> transfer_function(point, (4, 4)).abs().unique()  # a point keeps every frequency
        tensor([1.])
    """
    h, w = kernel.shape[-2:]
    placed = kernel.new_zeros(*kernel.shape[:-2], *size)
    placed[..., :h, :w] = kernel
    return spectrum(placed.roll((-(h // 2), -(w // 2)), (-2, -1)))


def _transfer_function(kernel: Expression, state: State, domain: torch.Size) -> Tensor:
    height, width = domain[-2:]
    value = kernel.value(state)
    check_kernel(kernel.formula(), value.shape, domain[-2:])
    return transfer_function(value, (height, width))


def check_kernel(name: str, kernel: torch.Size, size: torch.Size) -> None:
    height, width = size
    if len(kernel) != 4 or kernel[-2] > height or kernel[-1] > width:
        raise InputError(
            f"the kernel {name!r} has shape {tuple(kernel)}, must be (batch or 1, channels or 1, "
            f"h, w) and at most as large as the image, {height}×{width}: crop the kernel or pad "
            "the image"
        )
