"""Residuals, which data terms square and constraints set to zero."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from unfold.errors import InputError

from .normal import add_scaled
from .operators import LinearMap, MatrixFree, Structure
from .state import State

if TYPE_CHECKING:
    from .ambiguity import Ambiguity


class Residual(nn.Module):
    """``r(state)``, affine in each of its blocks taken alone: ``r = J x + c``.

    A subclass implements ``forward`` and declares in ``blocks`` the entries in which it is affine,
    and the structure of ``JᵀJ`` for each. Everything else has a default by autograd; with a
    structured ``operator`` in the subclass the solve becomes exact and fast.

    Args:
        blocks: entry name, or pairs of a name and a structure -> structure of ``JᵀJ``. It must
            hold for every state, because the solver is chosen before any value is known.
        reads: the other entries that ``forward`` reads (kernels, masks, observations). A block in
            the ``reads`` of any term cannot be updated, and is refused, unless it is one of the
            ``optional_blocks``.
        optional_blocks: those of ``reads`` in which the residual is also affine -> structure of
            ``JᵀJ``. They are data, of any shape that ``forward`` accepts, unless they are in the
            order; ``operator`` and ``offset`` then must support them (a blur's kernel).

    Raises:
        InputError: if a name is empty, contains a full stop, or is used twice, or an optional block
            is not in ``reads``.

    Example:
        >>> import torch
        >>> from unfold.core import Residual, State, Structure
        >>> class Gray(Residual):  # (R + G + B) / 3 − y
        ...     def __init__(self):
        ...         super().__init__({"x": Structure.MATRIX_FREE}, reads=("y",))
        ...     def forward(self, state):
        ...         return state["x"].mean(1, keepdim=True) - state["y"]
        >>> state = State({"x": torch.ones(1, 3, 1, 1), "y": torch.zeros(1, 1, 1, 1)})
        >>> Gray().operator("x", state).adjoint(torch.ones(1, 1, 1, 1)).flatten()
        tensor([0.3333, 0.3333, 0.3333])
    """

    def __init__(
        self,
        blocks: Mapping[str, Structure] | Sequence[tuple[str, Structure]],
        reads: Sequence[str] = (),
        optional_blocks: Mapping[str, Structure] | None = None,
    ) -> None:
        super().__init__()
        pairs = list(blocks.items()) if isinstance(blocks, Mapping) else list(blocks)
        names = [name for name, _ in pairs] + list(reads)
        for name in names:
            if not name or "." in name:
                raise InputError(f"block name {name!r}: must be non-empty, without a full stop")
            if names.count(name) > 1:
                raise InputError(
                    f"{type(self).__name__} uses {name!r} twice: each of its entries needs a name "
                    "of its own"
                )
        self.blocks: dict[str, Structure] = dict(pairs)
        self.reads = tuple(reads)
        self.optional_blocks: dict[str, Structure] = dict(optional_blocks or {})
        for name in self.optional_blocks:
            if name not in self.reads:
                raise InputError(
                    f"{type(self).__name__} has the optional block {name!r}, which is not in its "
                    "reads: add it there"
                )

    def structure(self, block: str) -> Structure | None:
        """The structure of ``JᵀJ`` for a block, optional or not; None for any other name."""
        return self.blocks.get(block) or self.optional_blocks.get(block)

    @abstractmethod
    def forward(self, state: Mapping[str, Tensor]) -> Tensor:
        """``r``, ``(B, C, H, W)``."""

    def operator(self, block: str, state: State) -> LinearMap:
        """``J`` of one block at this state; by default matrix-free, by autograd."""
        x = torch.zeros_like(state[block])

        def moved(value: Tensor) -> Tensor:
            return self(state.replace(block, value))

        pullback = torch.func.vjp(moved, x)[1]
        offset = moved(x)
        return MatrixFree(lambda v: moved(v) - offset, lambda y: pullback(y)[0], x.shape)

    def offset(self, block: str, state: State) -> Tensor:
        """``c``: the residual at ``block = 0``."""
        return self(state.replace(block, torch.zeros_like(state[block])))

    def rhs_quadratic(self, block: str, state: State, operator: LinearMap) -> Tensor:
        """``−Jᵀ c``, in the basis of the operator: a (complex) spectrum if it is Fourier-diagonal.

        The contribution of a quadratic term to the right side of the normal equations, per unit of
        weight. Override to cache it or to compute it faster.
        """
        return pull(operator, -self.offset(block, state))

    def rhs_constraint(
        self, block: str, state: State, operator: LinearMap, dual: Tensor, weight: Tensor | float
    ) -> Tensor:
        """``−Jᵀ(Γ + w c)``: the contribution of a constraint, in the same basis."""
        return pull(operator, -add_scaled(dual, weight, self.offset(block, state)))

    def check_shapes(self, state: State) -> None:
        """Check that the shapes of the blocks fit together, before each update. The default
        requires one height and width, and one batch size and number of channels except 1.

        Raises:
            InputError: lists the blocks and their shapes.
        """
        shapes = tuple(state[name].shape for name in self.blocks)
        # (The compiler warns about caches.)
        combine = _combine.__wrapped__ if torch.compiler.is_compiling() else _combine
        if not combine(shapes):
            blocks = zip(self.blocks, shapes, strict=True)
            listing = ", ".join(f"{name} {tuple(shape)}" for name, shape in blocks)
            raise InputError(
                f"{type(self).__name__} cannot combine {listing}: blocks are (batch, "
                "channels, height, width) of one size; batch and channels may be 1"
            )

    def ambiguities(self, order: Collection[str]) -> Sequence[Ambiguity]:
        """The changes of blocks that do not change the residual, for any data, if the blocks of an
        order are unknown: for example the scale of two factors. The default is none."""
        return ()

    @property
    def equated(self) -> tuple[str, ...]:
        """The two blocks whose difference is the residual; empty for other residuals."""
        return ()

    def formula(self) -> str:
        """The residual in mathematical notation, for ``explain``."""
        return type(self).__name__

    def gram_formula(self, block: str) -> str:
        """``JᵀJ`` of one block in mathematical notation, for ``explain``."""
        return f"J_{block}ᵀJ_{block}"


@lru_cache  # (called at every update of every stage)
def _combine(shapes: tuple[torch.Size, ...]) -> bool:
    for i in range(4):
        sizes = {shape[i] if len(shape) == 4 else 0 for shape in shapes}
        if 0 in sizes or len(sizes - {1}) > 1 or (i > 1 and len(sizes) > 1):
            return False
    return True


def pull(operator: LinearMap, y: Tensor) -> Tensor:
    """``Jᵀ y``; a spectrum if ``J`` is Fourier-diagonal."""
    return operator.pull(y if operator.sign == 1 else -y)
