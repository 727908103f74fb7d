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
    from .objective import PriorOn


class Prior(nn.Module):
    """A function ``g`` of one block, given by its proximal operator.

    A learned prior is a prior whose ``prox`` is a network: its ``g`` is unknown, so it has no
    ``value``, and only the shape, dtype and device of its output are guaranteed.

    Attributes:
        accepts_map: whether ``step`` may vary from pixel to pixel. True for priors that act
            pixel by pixel, for those that solve the weighted problem, and for learned priors with
            the map as an input. If it is False, the update of a block with a pixel-diagonal normal
            matrix majorizes (see `unfold.core.Minimize`).
        differentiable: whether gradients pass through ``prox``. If not, ``prox`` raises a
            `GradientError` for inputs that require one.
        convex: whether ``g`` is known to be convex.
        exact: whether ``prox`` is the minimizer up to rounding errors, not an iterative
            approximation.
        requires_training: whether its output is meaningless before training.
        reads: the data of the state that ``g`` depends on (see `at`).
        channels: number of channels of ``v``; None: any number.

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

        The default is the variance itself, which is correct for a denoiser. A function ``g`` that
        is not the negative logarithm of a density of photos needs another step: for total
        variation, half the standard deviation. Models that accept any prior call this method.

        Args:
            variance: positive, ``(1 or B, 1, 1, 1)``.
        """
        return variance

    def value(self, x: Tensor) -> Tensor | None:
        """``g(x)`` for each image, ``(B,)``; None if ``g`` is unknown (a learned prior)."""
        return None

    def lipschitz(self) -> float | None:
        """A proven upper bound of the Lipschitz constant of ``prox`` in ``v``; None if unknown.

        The default is 1 if ``g`` is convex and its prox exact. (If the step is a map, the norm is
        weighted by its reciprocal.)

        Source: Moreau, "Proximité et dualité dans un espace hilbertien", 1965.
        """
        return 1.0 if self.convex and self.exact else None

    def determines(self, ambiguity: str) -> str | None:
        """How ``g`` removes an ambiguity of its block, as text for ``explain``.

        Args:
            ambiguity: its kind, ``"scale"``, ``"shift"`` or ``"no blur"`` (see
                `unfold.core.ambiguity`).

        Returns:
            How, or to which extent, ``g`` removes it; None if it does not, or if that is unknown.
        """
        return None

    def at(self, state: Mapping[str, Tensor]) -> Prior:
        """The prior at a state: itself, unless ``g`` depends on data, such as counts."""
        return self

    @overload
    def __call__(self, v: Expression) -> PriorOn: ...
    @overload
    def __call__(self, v: Tensor, step: Tensor) -> Tensor: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The term ``g(x)`` for a block or an expression; ``prox`` for a tensor and a step."""
        return super().__call__(*args, **kwargs)

    def forward(self, v: Any, step: Tensor | None = None) -> Any:
        if step is None and not isinstance(v, Tensor):
            from .objective import prior_term

            return prior_term(self, v)
        if not torch.compiler.is_compiling():
            check_prox(self, v, step)  # type: ignore[arg-type]
        return self.prox(v, step)  # type: ignore[arg-type]
