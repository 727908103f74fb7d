"""Proven upper bounds of the Lipschitz constants of networks."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

_GRID = 16  # frequencies on each axis
_ONE = (nn.ReLU, nn.Tanh, nn.Identity, nn.ELU)  # (ELU: with its default alpha)


@torch.no_grad()
def lipschitz_bound(module: nn.Module) -> float:
    """An upper bound of the Lipschitz constant of a network; infinite if none is known.

    The bound of a convolution is its largest gain over all frequencies (see `conv_gain`), and that
    of a sequence the product. Modules of other types define a method ``lipschitz()``.

    Example:
        >>> from torch import nn
        >>> from unfold.priors.lipschitz import lipschitz_bound
        >>> lipschitz_bound(nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.ReLU())) < 1.01
        True
    """
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        plain = module.groups == 1 and module.padding_mode == "zeros"
        return conv_gain(module.weight) if plain else math.inf
    if isinstance(module, nn.Sequential):
        return math.prod(lipschitz_bound(part) for part in module)
    if isinstance(module, _ONE) and getattr(module, "alpha", 1.0) == 1:
        return 1.0
    known = getattr(module, "lipschitz", None)
    found = None if known is None else known()
    return math.inf if found is None else found


def conv_gain(weight: Tensor) -> float:
    """An upper bound of ``‖C‖₂``, C a convolution with zero padding, any stride and dilation.

    The gain at each frequency is the spectral norm of the kernel's transform, ``outputs×inputs``.
    Between the sampled frequencies it is larger by at most ``1/cos(π d/N)`` on each axis, d the
    degree of the trigonometric polynomial and N the number of samples. Padding, strides and borders
    are projections, which do not increase the gain.

    Args:
        weight: ``(outputs, inputs, h, w)``, also of a transposed convolution.

    Source: Pfister and Bresler, "Bounding multivariate trigonometric polynomials", IEEE TSP 2019;
    Sedghi, Gupta and Long, "The singular values of convolutional layers", ICLR 2019.
    """
    degrees = [size // 2 for size in weight.shape[-2:]]
    samples = max(_GRID, *(4 * degree for degree in degrees))
    wide = weight if weight.shape[0] <= weight.shape[1] else weight.transpose(0, 1)
    response = torch.fft.rfft2(wide.double(), s=(samples, samples)).permute(2, 3, 0, 1)
    slack = math.prod(math.cos(math.pi * degree / samples) for degree in degrees)
    largest = torch.linalg.eigvalsh(response @ response.mH).max()
    return largest.clamp_min(0).sqrt().item() / slack
