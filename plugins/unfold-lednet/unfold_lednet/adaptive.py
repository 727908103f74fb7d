"""Filter-adaptive convolution: a filter for each pixel and channel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from einops import rearrange
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import conv2d, pad

SIZE = 5
"""Side of the filters."""

# Elements of the filters of one tap in one strip: on a CPU they should fit into the cache; on a
# GPU each strip costs 50 kernel launches.
_STRIP_ON_CPU, _STRIP = 2**18, 2**24


def filter_adaptive(x: Tensor, hidden: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Correlate each pixel's neighborhood with filters that a pointwise convolution predicts.

    ``y[c, p] = Σ_t x[c, p + t] · f[c, t, p]``, ``f = weight · hidden + bias``, t over the 5×5
    neighbors; the border is replicated.

    The filters are 25 times as large as ``x``. They are therefore computed tap by tap, for one
    strip of rows at a time, and not stored; the backward pass computes them again. (The function is
    not twice differentiable.)

    Args:
        x: ``(B, C, H, W)``.
        hidden: ``(B, D, H, W)``; the result has its dtype.
        weight: ``(25 C, D, 1, 1)``; row ``25 c + 5 i + j`` is for tap (i, j) of channel c.
        bias: ``(25 C,)``.

    Source: Zhou et al., "Spatio-temporal filter adaptive network for video deblurring", ICCV
    2019; in LEDNet's FASC, section 4.2.
    """
    padded = pad(x, (SIZE // 2,) * 4, mode="replicate")
    weights = rearrange(weight, "(c t) d 1 1 -> t c d 1 1", t=SIZE**2)
    biases = rearrange(bias, "(c t) -> t c", t=SIZE**2)
    return _FilterAdaptive.apply(*(v.to(hidden.dtype) for v in (padded, hidden, weights, biases)))


def filter_norms(hidden: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The strength of the filters at each pixel: root mean square over channels of their
    Euclidean norms, ``(B, 1, H, W)``, without gradients.

    With ``[weight, bias] = Q R`` the norm of all filters is ``‖R [hidden, 1]‖``, without computing
    the filters.
    """
    with torch.no_grad():
        table = torch.cat((weight.flatten(1), bias[:, None]), 1).float()
        factor = torch.linalg.qr(table, mode="r").R.to(hidden.dtype)
        seen = conv2d(hidden, factor[:, :-1, None, None], factor[:, -1])
        return seen.norm(dim=1, keepdim=True) / (len(bias) / SIZE**2) ** 0.5


class _FilterAdaptive(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, padded: Tensor, hidden: Tensor, weights: Tensor, biases: Tensor
    ) -> Tensor:
        ctx.save_for_backward(padded, hidden, weights, biases)
        out = hidden.new_zeros(len(hidden), weights.shape[1], *hidden.shape[-2:])
        for rows in _strips(out):
            part, part_out = hidden[:, :, rows].contiguous(), out[:, :, rows]
            for seen, weight, bias in zip(_taps(padded, rows), weights, biases, strict=True):
                part_out.addcmul_(conv2d(part, weight, bias), seen)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        (gradient,) = gradients
        padded, hidden, weights, biases = ctx.saved_tensors
        to_padded, to_hidden, to_weights, to_biases = map(torch.zeros_like, ctx.saved_tensors)
        for rows in _strips(gradient):
            part, part_gradient = hidden[:, :, rows].contiguous(), gradient[:, :, rows]
            taps = zip(_taps(padded, rows), _taps(to_padded, rows), strict=True)
            for t, (seen, to_seen) in enumerate(taps):
                to_seen.addcmul_(part_gradient, conv2d(part, weights[t], biases[t]))
                to_filter = part_gradient * seen
                to_hidden[:, :, rows] += conv2d(to_filter, weights[t].transpose(0, 1))
                to_weights[t] += torch.einsum("bchw,bdhw->cd", to_filter, part)[..., None, None]
                to_biases[t] += to_filter.sum((0, 2, 3))
        return to_padded, to_hidden, to_weights, to_biases


def _strips(out: Tensor) -> Iterator[slice]:
    height, width = out.shape[-2:]
    if torch.compiler.is_compiling():  # (each strip would add 25 convolutions to the graph)
        return iter((slice(0, height),))
    limit = _STRIP_ON_CPU if out.device.type == "cpu" else _STRIP
    rows = max(1, limit // (out.shape[0] * out.shape[1] * width))
    return (slice(top, min(top + rows, height)) for top in range(0, height, rows))


def _taps(padded: Tensor, rows: slice) -> Iterator[Tensor]:
    """The shifted input for each tap, as views: the part for a strip of rows."""
    width = padded.shape[-1] - SIZE + 1
    for i in range(SIZE):
        for j in range(SIZE):
            yield padded[..., rows.start + i : rows.stop + i, j : j + width]
