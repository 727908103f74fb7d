"""Losses: one number for a restored batch, to be minimized."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from unfold.core import State
from unfold.errors import UnfoldError
from unfold.estimators.exposure import expose
from unfold.restorer import Restoration

# Entries of a batch that losses read and models are not given.
OTHER = "other"  # a second input of the same scene
TRUE_KERNEL = "true-kernel"


class LossError(UnfoldError, ValueError):
    """Raised if a loss does not fit the model or the data; the message says what is missing.

    Example:
        >>> import torch
        >>> from unfold import Restoration
        >>> from unfold.losses import L1, Outcome
        >>> L1()(Outcome(Restoration(torch.rand(1, 3, 8, 8)), {"input": torch.rand(1, 3, 8, 8)}))
        Traceback (most recent call last):
            ...
        unfold.losses.base.LossError: the data have no picture 'target'; they have input
    """


@dataclass(frozen=True)
class Outcome:
    """A batch and its restoration: the argument of losses.

    Attributes:
        restoration: the images ``(B, 3, H, W)`` and the model's parts.
        batch: ``"input"``, ``"target"`` and any other picture, ``(B, 3, H, W)`` in [0, 1].
        stages: the state after each stage, first to last; empty unless a loss asks for them.
        other: the restoration of the batch's ``"other"``, a second input of the same scene; None
            unless a loss asks for it.

    Example:
        >>> import torch
        >>> from unfold import Restoration
        >>> from unfold.losses import Outcome
        >>> restoration = Restoration(torch.rand(1, 3, 8, 8), {"kernel": torch.ones(1, 1, 1, 1)})
        >>> outcome = Outcome(restoration, {"target": torch.rand(1, 3, 8, 8)})
        >>> outcome.made("kernel").shape, outcome.picture("target").shape
        (torch.Size([1, 1, 1, 1]), torch.Size([1, 3, 8, 8]))
    """

    restoration: Restoration
    batch: Mapping[str, Any]
    stages: tuple[State, ...] = ()
    other: Restoration | None = None

    def picture(self, name: str, *, match_exposure: bool = False) -> Tensor:
        """A picture of the batch.

        Args:
            name: name of its entry.
            match_exposure: whether it is brought to the exposure of the restoration's parts: by
                ``expose`` with the parts ``gain`` and ``curve``, if the model returns both. No
                gradient passes to them.

        Raises:
            LossError: if the data have no picture of that name.
        """
        if name not in self.batch:
            have = ", ".join(k for k, v in self.batch.items() if isinstance(v, Tensor))
            raise LossError(f"the data have no picture {name!r}; they have {have}")
        parts = self.restoration.parts
        if match_exposure and "gain" in parts and "curve" in parts:
            return expose(self.batch[name], parts["gain"].detach(), parts["curve"].detach())
        return self.batch[name]

    def made(self, name: str) -> Tensor:
        """``"image"``, or a part of the restoration.

        Raises:
            LossError: if the model does not return that part.
        """
        if name == "image":
            return self.restoration.image
        if name not in self.restoration.parts:
            have = ", ".join(("image", *self.restoration.parts))
            raise LossError(f"the model makes no part {name!r}; it makes {have}")
        return self.restoration.parts[name]

    def made_of_both(self, name: str) -> tuple[Tensor, Tensor]:
        """`made` for the input and for the batch's ``"other"``.

        Raises:
            LossError: if the model does not return that part, or has not restored the other input.
        """
        if self.other is None:
            raise LossError(f"the model has not restored the second input, the picture {OTHER!r}")
        return self.made(name), replace(self, restoration=self.other).made(name)

    def compared(
        self, of: str, picture: str, scale: int = 1, *, match_exposure: bool = False
    ) -> tuple[Tensor, Tensor]:
        """The restoration and its target, averaged over squares of side ``scale``.

        Unknown values (NaN) of the target are replaced by the restoration, for an error of 0.

        ``match_exposure`` is that of `picture`.

        Raises:
            LossError: if one of them is missing, or their shapes differ.
        """
        made = self.made(of)
        wanted = avg_pool2d(self.picture(picture, match_exposure=match_exposure), scale)
        if made.shape != wanted.shape:
            raise LossError(
                f"{of!r} has shape {tuple(made.shape)} and {picture!r} {tuple(wanted.shape)} at "
                f"scale {scale}: compare pictures of one size"
            )
        return made, known(wanted, made)


def known(wanted: Tensor, made: Tensor) -> Tensor:
    """The target, in which unknown values (NaN) are replaced by the restoration, for an error of
    0."""
    return torch.where(wanted.isnan(), made.detach(), wanted)


class Loss(nn.Module):
    """A training loss: the distance of a restored batch from its target, or another criterion.

    It is a mean over the images of the batch. The mean of the losses of two halves is the loss of
    the whole, so that accumulation and several processes have no effect.

    Attributes:
        needs_stages: whether it reads `Outcome.stages`.
        needs_other: whether it reads `Outcome.other`.

    Example:
        >>> import torch
        >>> from unfold import Restoration
        >>> from unfold.losses import Loss, Outcome
        >>> class Squared(Loss):
        ...     def forward(self, outcome):
        ...         made, wanted = outcome.compared("image", "target")
        ...         return (made - wanted).square().mean()
        >>> restoration = Restoration(torch.full((1, 3, 4, 4), 0.5))
        >>> Squared()(Outcome(restoration, {"target": torch.ones(1, 3, 4, 4)})).item()
        0.25
    """

    needs_stages: ClassVar[bool] = False
    needs_other: ClassVar[bool] = False

    @abstractmethod
    def forward(self, outcome: Outcome) -> Tensor:
        """The loss, a scalar.

        Raises:
            LossError: if a part of the model or a picture of the data is missing.
        """


def at_least(side: int, image: Tensor, name: str) -> None:
    """Check that pictures are at least as large as the regions that a loss averages.

    Raises:
        LossError: if a picture is smaller.
    """
    height, width = image.shape[-2:]
    if min(height, width) < side:
        raise LossError(
            f"{name}: averages regions of {side}×{side}, got {height}×{width}; take larger crops"
        )
