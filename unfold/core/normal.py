"""The normal equations of one block: accumulation, and solution according to their structure."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import cast

import torch
from torch import Tensor

from unfold.errors import InputError, InputTypeError

from .cg import CG, Apply
from .operators import (
    FourierDiagonal,
    LinearMap,
    MatrixFree,
    PixelDiagonal,
    Structure,
    filtered,
    image,
    spectrum,
)


class Normal:
    """``A x = b`` for the minimizer of ``Σ w/2 ‖J x + c‖² + ⟨Γ, J x + c⟩``.

    ``A = Σ w JᵀJ`` and ``b = −Σ Jᵀ(w c + Γ)``. Both are stored by the basis in which they are
    diagonal: ``pixel`` and ``power`` (a real spectrum) for ``A``, ``rhs`` and ``spectra`` (a
    weighted sum) for ``b``. Maps that are diagonal in neither basis are stored in ``matrix_free``.
    """

    def __init__(self, block: Tensor) -> None:
        self.shape = block.shape
        self.dtype = block.dtype
        self.structure = Structure.SCALAR
        self.positive_definite = False  # whether some term determines every pixel and frequency
        self.pixel: float | Tensor = 0.0
        self.power: Tensor | None = None
        self.matrix_free: list[tuple[float | Tensor, MatrixFree]] = []
        self.rhs: Tensor | None = None
        self.spectra: list[tuple[float | Tensor, Tensor]] = []

    def add(self, weight: float | Tensor, operator: LinearMap) -> None:
        """Add ``w JᵀJ`` to ``A``."""
        if self._empty(weight):
            return  # (If all weights are zero, the solve raises an error.)
        if isinstance(operator, PixelDiagonal):
            diagonal = operator.gram_diagonal()
            scalar = not isinstance(diagonal, Tensor)
            self.positive_definite |= scalar
            self.structure += Structure.SCALAR if scalar else Structure.PIXEL
            # (Not `0.0 + tensor`, which would be one more pass over the image.)
            weighted = times(weight, diagonal)
            self.pixel = weighted if self._empty(self.pixel) else self.pixel + weighted
        elif isinstance(operator, FourierDiagonal):
            self.structure += Structure.FOURIER
            self.power = add_scaled(self.power, weight, operator.gram_power())
        elif isinstance(operator, MatrixFree):
            self.structure = Structure.MATRIX_FREE
            self.matrix_free.append((weight, operator))
        else:
            raise InputTypeError(
                "an operator must be PixelDiagonal, FourierDiagonal or MatrixFree, got "
                f"{type(operator).__name__}"
            )

    def add_rhs(self, weight: float | Tensor, pulled: Tensor) -> None:
        """Add ``w Jᵀ y`` to ``b``; a complex tensor is the spectrum of ``Jᵀ y``."""
        if pulled.is_complex():
            self.spectra.append((weight, pulled))
        else:
            self.rhs = add_scaled(self.rhs, weight, pulled)

    def solve_diagonal(self) -> tuple[Tensor, float | Tensor]:
        """``b / d`` and ``1 / d``, if ``A`` is the diagonal ``d`` in the pixel basis.

        These are the arguments of a proximal operator.
        """
        if self.structure not in (Structure.SCALAR, Structure.PIXEL):
            raise InputError(f"a {self.structure.value} normal matrix has no pixel diagonal")
        inverse = self._reciprocal(self.pixel)
        return self._pixel_rhs() * inverse, inverse

    def majorized(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """``x − (d ⊙ x − b) / c`` and ``1 / c``, c the largest entry of the diagonal of each image.

        ``c/2 ‖y − (x − (d ⊙ x − b)/c)‖²`` is an upper bound of the quadratic of these equations, up
        to a constant, with equality at y = x. A decrease of the bound (plus a prior) therefore
        implies a decrease of the quadratic (plus the prior). A prior that accepts one step for each
        image can thus be used although the diagonal varies.
        """
        diagonal = self.pixel
        if not isinstance(diagonal, Tensor) or diagonal.ndim == 0:
            inverse = self._reciprocal(diagonal)
            return self._pixel_rhs() * inverse, torch.as_tensor(inverse).to(x).view(1, 1, 1, 1)
        bound = diagonal.amax((1, 2, 3), keepdim=True)
        inverse = cast(Tensor, self._reciprocal(bound))
        return x - (diagonal * x - self._pixel_rhs()) * inverse, inverse

    def solve(self, start: Tensor, cg: CG, residual: Apply | None = None) -> Tensor:
        """``A⁻¹ b`` by the cheapest exact method; the arguments are used in the matrix-free case
        (see `CG.solve`)."""
        if self.structure in (Structure.SCALAR, Structure.PIXEL):
            return self.solve_diagonal()[0]
        if self.structure is Structure.FOURIER:
            assert self.power is not None
            # `pixel` is a number or one value per image and channel here, which is diagonal in any
            # basis. Multiplication by the real reciprocal is cheaper than a complex division.
            inverse = cast(Tensor, self._reciprocal(self.power + self.pixel))
            return image(self._filtered_rhs(inverse), self.shape)
        empty = self.rhs is None and not self.spectra
        rhs = None if empty else self._pixel_rhs()
        return cg.solve(self.apply, rhs, start, self._preconditioner(), residual, self.energy)

    def apply(self, x: Tensor) -> Tensor:
        """``A x``."""
        y = self.pixel * x
        if self.power is not None:
            y = y + image(filtered(spectrum(x), self.power), self.shape)
        for weight, operator in self.matrix_free:
            y = y + weight * operator.gram(x)
        return y

    def energy(self, x: Tensor) -> Tensor:
        """``xᵀ A x`` of each image, ``(B, 1, 1, 1)``, without adjoints."""
        local = self.pixel * x
        if self.power is not None:
            local = local + image(filtered(spectrum(x), self.power), self.shape)
        total = (x * local).sum((1, 2, 3), keepdim=True)
        for weight, operator in self.matrix_free:
            mapped = operator.mv(x).square().sum((1, 2, 3), keepdim=True)
            total = total + (weight * mapped).sum_to_size(total.shape)
        return total

    def gradient(self, x: Tensor) -> Tensor:
        """``A x − b``: the gradient at ``x`` of the quadratic that these equations minimize."""
        return self.apply(x) - self._pixel_rhs()

    def _pixel_rhs(self) -> Tensor:
        rhs = self.rhs
        total: Tensor | None = None
        for weight, x in self.spectra:
            total = add_scaled(total, weight, x)
        if total is not None:
            rhs = add_scaled(rhs, 1.0, image(total, self.shape))
        assert rhs is not None
        return rhs

    def _filtered_rhs(self, response: Tensor) -> Tensor:
        total = None if self.rhs is None else spectrum(self.rhs)
        if torch.compiler.is_compiling():
            return _filtered_sum(total, self.spectra, response)
        if total is None:
            for weight, x in self.spectra:
                total = add_scaled(total, weight, x)
            assert total is not None
            return filtered(total, response)
        for weight, x in self.spectra:  # (the total is a new tensor, which may be modified)
            total.add_(times(weight, x))
        return filtered(total, response) if torch.is_grad_enabled() else total.mul_(response)

    @torch.no_grad()
    def _preconditioner(self) -> Apply:
        """``M⁻¹``, symmetric and positive definite: of the local part of ``A`` if a term has one,
        otherwise of its stationary part, or of its diagonal if no part is stationary.

        With windows ``u_m`` and power spectra ``p_m`` (see `MatrixFree`),
        ``M⁻¹ r = Σ_m u_m F⁻¹[F(u_m r) / (w p_m + p)]``, p the stationary part of the other terms.
        """
        power, local = self.power, None
        for weight, operator in self.matrix_free:
            if operator.local is not None and local is None:
                local = weight, *operator.local
            elif (mean := operator.mean_gram()) is not None:
                power = add_scaled(power, weight, mean)
        if power is None and local is None:
            # With matrix-free maps only, there is no preconditioner.
            if not isinstance(self.pixel, Tensor) or self.pixel.ndim == 0:
                return lambda r: r
            # Where the diagonal is zero, its mean approximates the matrix-free part.
            diagonal = self.pixel + self.pixel.mean((-2, -1), keepdim=True)
            return lambda r: r / diagonal
        flat = self.pixel
        if isinstance(flat, Tensor) and flat.ndim == 4:
            flat = flat.mean((-2, -1), keepdim=True)
        if local is None:
            assert power is not None
            response = cast(Tensor, self._reciprocal(power + flat))
            return partial(_filter, response=response, shape=self.shape)
        weight, windows, powers = local
        rest = flat if power is None else power + flat
        total = _over_windows(weight) * powers[:, :, None] + _over_windows(rest)
        response = cast(Tensor, self._reciprocal(total))
        return partial(
            _filter_locally, windows=windows[:, :, None], response=response, shape=self.shape
        )

    def _reciprocal(self, diagonal: float | Tensor) -> float | Tensor:
        """``1 / d``; where no term determines a pixel or frequency (``d = 0``), a large number. The
        right side is zero there, too, and the result is the solution of least norm."""
        if isinstance(diagonal, Tensor):
            if not self.positive_definite:
                diagonal = diagonal.clamp_min(torch.finfo(diagonal.dtype).eps)
            return 1 / diagonal
        if diagonal == 0:
            raise InputError("all terms of the block have weight 0: nothing determines it")
        return 1 / diagonal

    @staticmethod
    def _empty(pixel: float | Tensor) -> bool:
        return not isinstance(pixel, Tensor) and pixel == 0


def _filter(x: Tensor, response: Tensor, shape: torch.Size) -> Tensor:
    return image(filtered(spectrum(x), response), shape)


def _filter_locally(x: Tensor, windows: Tensor, response: Tensor, shape: torch.Size) -> Tensor:
    filtered_parts = image(spectrum(windows * x[:, None]).mul_(response), shape)
    return filtered_parts.mul_(windows).sum(1)


def _over_windows(x: float | Tensor) -> float | Tensor:
    """``(B, C, ...)`` as ``(B, 1, C, ...)``, to be broadcast over windows."""
    return x[:, None] if isinstance(x, Tensor) and x.ndim == 4 else x


def _filtered_sum(
    total: Tensor | None, spectra: Sequence[tuple[float | Tensor, Tensor]], response: Tensor
) -> Tensor:
    """``response · (total + Σ w x)`` in real arithmetic, which compilers fuse to one loop."""
    real = None if total is None else torch.view_as_real(total)
    for weight, x in spectra:
        weight = weight[..., None] if isinstance(weight, Tensor) else weight
        real = add_scaled(real, weight, torch.view_as_real(x))
    assert real is not None
    return torch.view_as_complex(real * response[..., None])


def times(weight: float | Tensor, x: float | Tensor) -> float | Tensor:
    """``weight · x``; without a pass over the image if the weight is the number 1."""
    return x if _is_one(weight) else weight * x


def add_scaled(total: Tensor | None, weight: float | Tensor, x: Tensor) -> Tensor:
    """``total + weight · x`` with as few passes over the image as possible."""
    if total is None:
        return x if _is_one(weight) else weight * x
    if isinstance(weight, Tensor):
        return total + weight * x
    return torch.add(total, x, alpha=weight)


def _is_one(weight: float | Tensor) -> bool:
    return not isinstance(weight, Tensor) and weight == 1
