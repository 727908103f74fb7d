"""The least-squares adversarial loss."""

from __future__ import annotations

from torch import Tensor


def lsgan(scores: Tensor, *, real: bool) -> Tensor:
    """``mean (D − 1)²`` for inputs that D should classify as real, ``mean D²`` for others.

    It depends on the scores of a discriminator, not on pictures, so it is a function for the
    unpaired task and not a `Loss` for recipes. A generator minimizes ``lsgan(D(G(a)), real=True)``,
    a discriminator the mean of both kinds.

    Args:
        scores: scores of any shape, one for each patch.

    Source: Mao et al., "Least squares generative adversarial networks", ICCV 2017, equation 9.

    Example:
        >>> import torch
        >>> from unfold.losses import lsgan
        >>> scores = torch.tensor([1.0, 0.5])
        >>> lsgan(scores, real=True).item(), lsgan(scores, real=False).item()
        (0.125, 0.625)
    """
    return (scores - float(real)).square().mean()
