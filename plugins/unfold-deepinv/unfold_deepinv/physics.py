"""A linear physics of DeepInverse in a formula of unfold."""

from __future__ import annotations

from deepinv.physics import BlurFFT, LinearPhysics, StackedLinearPhysics
from torch import Tensor

from unfold.core import State
from unfold.core.expression import Expression
from unfold.core.operators import FourierDiagonal, Structure
from unfold.errors import InputTypeError
from unfold.terms.linear import Applied


def linear_physics(physics: LinearPhysics, of: Expression) -> Applied:
    """``A x`` for the forward operator ``A`` of a physics, as part of a formula of unfold.

    Its normal matrix, ``physics.A_adjoint`` after ``physics.A``, is solved by conjugate gradients,
    that of a ``BlurFFT`` by one division in the Fourier domain. The noise and the sensor of the
    physics are not used. The physics is not copied: later changes of its parameters
    (``physics.update(...)``) also change the formula.

    Args:
        physics: its ``A`` maps images ``(B, C, H, W)`` to real tensors with four axes, and its
            ``A_adjoint`` is the adjoint of ``A`` (``physics.adjointness_test`` checks this).
        of: ``x``, a block or an expression.

    Raises:
        InputTypeError: if the physics is not linear, or returns several tensors.

    Example::

        >>> import deepinv, torch, unfold as uf
        >>> from unfold_deepinv import linear_physics
        >>> physics = deepinv.physics.Inpainting((3, 32, 32), mask=0.5)
        >>> (x, z), y = uf.blocks("x z"), uf.data("y")
        >>> L = uf.sq(linear_physics(physics, x) - y) / 2 + 0.02 * uf.tv(z)
        >>> L = L + uf.constraint(x - z, 0.5)
        >>> L.solve(y=physics(torch.rand(1, 3, 32, 32)), maximum=5)["z"].shape
        torch.Size([1, 3, 32, 32])
    """
    if not isinstance(physics, LinearPhysics) or isinstance(physics, StackedLinearPhysics):
        raise InputTypeError(
            f"linear_physics needs a deepinv.physics.LinearPhysics that returns one tensor, got "
            f"{type(physics).__name__}: write a term for each part of a stacked physics"
        )
    return _Convolved(physics, of) if isinstance(physics, BlurFFT) else _Measured(physics, of)


class _Measured(Applied):
    def __init__(self, physics: LinearPhysics, of: Expression) -> None:
        super().__init__(physics.A, of, physics.A_adjoint)
        self.physics = physics

    def inverse(self, name: str, state: State, target: Tensor | None = None) -> Tensor | None:
        if target is None or name not in self.of:
            return None
        return self.of.inverse(name, state, self.physics.A_adjoint(target))


class _Convolved(_Measured):
    outer_structure = Structure.FOURIER

    def outer(self, state: State) -> FourierDiagonal:  # type: ignore[override]
        amplitude, phase = self.physics.mask[..., 0], self.physics.angle
        return FourierDiagonal(amplitude * phase, self.of.shape(state))
