"""The normal equations of one block: accumulate them, then solve by what they are made of."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from .cg import CG
from .operators import Fourier, LinearMap, MatrixFree, Pixel, Structure, image, spectrum


class Normal:
    """``A x = b`` for the minimiser of ``Σ w/2 ‖J x + c‖² + ⟨Γ, J x + c⟩``.

    ``A = Σ w JᵀJ`` and ``b = −Σ Jᵀ(w c + Γ)``. Both are kept apart by the basis in which they are
    diagonal: ``pixel`` and ``power`` (a real spectrum) for ``A``, ``rhs`` and ``rhs_spectrum`` for
    ``b``. Maps with neither basis are kept as they are, in ``free``.
    """

    def __init__(self, shape: torch.Size) -> None:
        self.shape = shape
        self.structure = Structure.SCALAR
        self.pixel: float | Tensor = 0.0
        self.power: Tensor | None = None
        self.free: list[tuple[float | Tensor, MatrixFree]] = []
        self.rhs: Tensor | None = None
        self.rhs_spectrum: Tensor | None = None

    def add(self, weight: float | Tensor, operator: LinearMap) -> None:
        """Add ``w JᵀJ`` to ``A``."""
        if isinstance(operator, Pixel):
            diagonal = operator.gram_diagonal()
            scalar = not isinstance(diagonal, Tensor)
            self.structure += Structure.SCALAR if scalar else Structure.PIXEL
            self.pixel = self.pixel + weight * diagonal
        elif isinstance(operator, Fourier):
            self.structure += Structure.FOURIER
            self.power = _sum(self.power, weight * operator.gram_power())
        elif isinstance(operator, MatrixFree):
            self.structure = Structure.MIXED
            self.free.append((weight, operator))
        else:
            raise TypeError(
                f"an operator must be Pixel, Fourier or MatrixFree, got {type(operator).__name__}"
            )

    def subtract(self, pulled: Tensor) -> None:
        """Subtract ``Jᵀ y`` from ``b``; a complex tensor is taken for the spectrum of ``Jᵀ y``."""
        if pulled.is_complex():
            self.rhs_spectrum = _difference(self.rhs_spectrum, pulled)
        else:
            self.rhs = _difference(self.rhs, pulled)

    def quotient(self) -> tuple[Tensor, float | Tensor]:
        """``b / d`` and ``d``, where ``A`` is the diagonal ``d`` in the pixel basis.

        What a proximal operator needs: ``prox(b / d, 1 / d)``.
        """
        if self.structure not in (Structure.SCALAR, Structure.PIXEL):
            raise ValueError(f"a {self.structure.value} normal matrix has no pixel diagonal")
        return self._pixel_rhs() / self.pixel, self.pixel

    def solve(self, start: Tensor, cg: CG) -> Tensor:
        """``A⁻¹ b`` by the cheapest exact method; ``start`` and ``cg`` serve the mixed case."""
        if self.structure in (Structure.SCALAR, Structure.PIXEL):
            return self.quotient()[0]
        if self.structure is Structure.FOURIER:
            assert self.power is not None
            # `pixel` is a number or one value per image and channel here: flat in any basis.
            return image(self._full_rhs_spectrum() / (self.power + self.pixel), self.shape)
        return cg.solve(self.apply, self._pixel_rhs(), start, self._preconditioner())

    def apply(self, x: Tensor) -> Tensor:
        """``A x``."""
        y = self.pixel * x
        if self.power is not None:
            y = y + image(self.power * spectrum(x), self.shape)
        for weight, operator in self.free:
            y = y + weight * operator.gram(x)
        return y

    def gradient(self, x: Tensor) -> Tensor:
        """``A x − b``: the gradient at ``x`` of the quadratic that these equations minimise."""
        return self.apply(x) - self._pixel_rhs()

    def _pixel_rhs(self) -> Tensor:
        rhs = self.rhs
        if self.rhs_spectrum is not None:
            rhs = _sum(rhs, image(self.rhs_spectrum, self.shape))
        assert rhs is not None
        return rhs

    def _full_rhs_spectrum(self) -> Tensor:
        if self.rhs is None:
            assert self.rhs_spectrum is not None
            return self.rhs_spectrum
        return _sum(self.rhs_spectrum, spectrum(self.rhs))

    def _preconditioner(self):
        """``M⁻¹`` of the stationary part of ``A``; of its diagonal, if no part is stationary."""
        power = self.power
        for weight, operator in self.free:
            if operator.stationary is not None:
                power = _sum(power, weight * operator.stationary)
        if power is None:
            pixel = self.pixel
            # With nothing but matrix-free maps nothing is known, and plain CG is what is left.
            return (lambda r: r / pixel) if isinstance(pixel, Tensor) else (lambda r: r)
        flat = self.pixel
        if self.structure is Structure.MIXED and isinstance(flat, Tensor):
            flat = flat.mean((-2, -1), keepdim=True)
        return partial(_divide_spectrum, divisor=power + flat, shape=self.shape)


def _divide_spectrum(x: Tensor, divisor: Tensor, shape: torch.Size) -> Tensor:
    return image(spectrum(x) / divisor, shape)


def _sum(a: Tensor | None, b: Tensor) -> Tensor:
    return b if a is None else a + b


def _difference(a: Tensor | None, b: Tensor) -> Tensor:
    return -b if a is None else a - b
