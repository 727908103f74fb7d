"""What DEvUDP's networks minimise, from photos without pairs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unfold.core import Restorer
from unfold.losses import lsgan

RECONSTRUCTION, SELF_REGRESSION = 10.0, 5.0


def generator_losses(
    G: Restorer, G_inv: Restorer, D: nn.Module, A: Tensor, B: Tensor
) -> dict[str, Tensor]:
    """The terms, weighted, whose sum G and G⁻¹ minimise together::

        mean (D(G(A)) − 1)²  +  10 · |A − G⁻¹(G(A))|  +  5 · (|B − G(B)| + |A − G⁻¹(A)|)

    ``|·|`` is the mean absolute difference on the networks' range [−1, 1]: twice that of photos
    in [0, 1]. D's parameters get gradients too, which an optimiser of G and G⁻¹ leaves alone;
    clear them before D's own step.

    Args:
        G: makes good photos of bad ones.
        G_inv: G⁻¹, the other way round.
        D: scores photos in [0, 1], `PatchDiscriminator` for one.
        A: bad photos ``(B, 3, H, W)`` in [0, 1].
        B: good photos of other scenes.

    Returns:
        ``adversarial``, ``reconstruction``, ``self_regression``: scalars.

    Source: the DEvUDP paper, its objective and weights; that the weight 5 is on each of the two
    self-regressions is our reading.
    """
    made = G(A).image
    alone = _distance(B, G(B).image) + _distance(A, G_inv(A).image)
    return {
        "adversarial": lsgan(D(made), real=True),
        "reconstruction": RECONSTRUCTION * _distance(A, G_inv(made).image),
        "self_regression": SELF_REGRESSION * alone,
    }


def discriminator_losses(G: Restorer, D: nn.Module, A: Tensor, B: Tensor) -> dict[str, Tensor]:
    """The terms whose sum D minimises: ``½ mean (D(B) − 1)² + ½ mean D(G(A))²``.

    No gradient reaches G.

    Args:
        G, D, A, B: as in `generator_losses`.

    Returns:
        ``real`` and ``made``: scalars.

    Source: Mao et al., "Least squares generative adversarial networks", ICCV 2017, equation 9.
    """
    with torch.no_grad():
        made = G(A).image
    return {"real": 0.5 * lsgan(D(B), real=True), "made": 0.5 * lsgan(D(made), real=False)}


def _distance(a: Tensor, b: Tensor) -> Tensor:
    return 2 * (a - b).abs().mean()
