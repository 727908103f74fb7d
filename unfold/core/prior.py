"""Priors: functions of a block, given by their proximal operators."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, overload

import torch
from torch import Tensor, nn

from .inputs import check_prox

if TYPE_CHECKING:
    from .expression import Expression
    from .objective import Belief


class Prior(nn.Module):
    """A function ``g`` of one block, given by its proximal operator.

    A learned prior is one whose ``prox`` is a network: its ``g`` is unknown, so it has no
    ``value``, and only shape, dtype and device of its output are guaranteed.

    Attributes:
        accepts_map: whether ``step`` may vary from pixel to pixel. True for priors that act
            pixel by pixel, for those that solve the weighted problem, and for learned ones, which
            take the map as their conditioning. Where it is False, the update of a block whose
            normal matrix is pixel-diagonal majorizes (see `unfold.core.Minimize`).
        differentiable: whether gradients pass through ``prox``. Where they do not, it raises a
            RuntimeError if one is asked for, rather than cut the graph silently.
        convex: whether ``g`` is known to be convex.
        exact: whether ``prox`` is the minimizer to rounding, and no finite number of iterations.
        requires_training: whether its output is meaningless until it is trained.
        reads: the data of the state that ``g`` reads (see `at`).
        channels: number of channels of ``v``; None: any.

    Calling the prior checks the arguments, and raises an `unfold.errors.InputError`; ``prox``
    itself checks nothing.

    Example:
        >>> import torch
        >>> from unfold.core import Prior
        >>> class NonNegative(Prior):
        ...     convex = exact = True
        ...     def prox(self, v, step):
        ...         return v.clamp_min(0)
        >>> NonNegative()(torch.tensor([[[[-1.0, 2.0]]]]), step=torch.ones(1, 1, 1, 1))
        tensor([[[[0., 2.]]]])
    """

    accepts_map: bool = True
    differentiable: bool = True
    convex: bool = False
    exact: bool = False
    requires_training: bool = False
    reads: tuple[str, ...] = ()
    channels: int | None = None

    @abstractmethod
    def prox(self, v: Tensor, step: Tensor) -> Tensor:
        """``argmin_x g(x) + Σ (x − v)² / (2·step)``.

        Args:
            v: ``(B, C, H, W)``.
            step: positive, broadcastable to ``v``: ``(1 or B, 1, 1, 1)``, or a map
                ``(B, 1 or C, H, W)``. For an image with Gaussian noise around ``v`` it is the
                noise variance, in the square of the image's unit.
        """

    def step_for(self, variance: Tensor) -> Tensor:
        """The ``step`` that removes white noise of a given variance from a photo in [0, 1].

        A denoiser is given the variance itself, which is the default. A function ``g`` that was
        not scaled to be the negative logarithm of a density of photos needs another step: total
        variation, say, half the standard deviation. Models that take any prior ask for it here.

        Args:
            variance: positive, ``(1 or B, 1, 1, 1)``.
        """
        return variance

    def value(self, x: Tensor) -> Tensor | None:
        """``g(x)`` for each image, ``(B,)``; None where ``g`` is not known (a learned prior)."""
        return None

    def lipschitz(self) -> float | None:
        """A proven bound of the Lipschitz constant of ``prox`` in ``v``; None where none is known.

        By default 1 where ``g`` is convex and its prox exact. (Where the step is a map: in the norm
        whose squares it divides.)

        Source: Moreau, "Proximité et dualité dans un espace hilbertien", 1965.
        """
        return 1.0 if self.convex and self.exact else None

    def determines(self, ambiguity: str) -> str | None:
        """How ``g`` removes an ambiguity of its block, in words, for ``explain``.

        Args:
            ambiguity: its kind, ``"scale"``, ``"shift"`` or ``"no blur"`` (see
                `unfold.core.ambiguity`).

        Returns:
            How it removes it, or to what part; None where it does not, or where that is not known.
        """
        return None

    def at(self, state: Mapping[str, Tensor]) -> Prior:
        """The prior at a state: itself, unless ``g`` reads data (the counts of a photo, say)."""
        return self

    @overload
    def __call__(self, v: Expression) -> Belief: ...
    @overload
    def __call__(self, v: Tensor, step: Tensor) -> Tensor: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The term ``g(x)`` of a block or an expression; of a tensor and a step, ``prox``."""
        return super().__call__(*args, **kwargs)

    def forward(self, v: Any, step: Tensor | None = None) -> Any:
        if step is None and not isinstance(v, Tensor):
            from .objective import believed

            return believed(self, v)
        if not torch.compiler.is_compiling():
            check_prox(self, v, step)  # type: ignore[arg-type]
        return self.prox(v, step)  # type: ignore[arg-type]
