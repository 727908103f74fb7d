"""Filter-adaptive convolution: every pixel and channel has a filter of its own."""

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

# Elements of one tap's filters in one strip: on a CPU they should stay in its cache; on a GPU
# each strip costs 50 kernel launches.
_STRIP_ON_CPU, _STRIP = 2**18, 2**24


def filter_adaptive(x: Tensor, hidden: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Correlate each pixel's neighborhood with filters that a pointwise convolution predicts.

    ``y[c, p] = Σ_t x[c, p + t] · f[c, t, p]``, ``f = weight · hidden + bias``, t over the 5×5
    neighbors; beyond the border the nearest pixel counts.

    The filters are 25 times as large as ``x``. Here they are made tap by tap, a strip of rows at
    a time, used at once and dropped; the backward pass makes them anew. (It is not differentiable
    twice.)

    Args:
        x: ``(B, C, H, W)``.
        hidden: ``(B, D, H, W)``; its dtype is the result's.
        weight: ``(25 C, D, 1, 1)``; row ``25 c + 5 i + j`` makes tap (i, j) of channel c.
        bias: ``(25 C,)``.

    Source: Zhou et al., "Spatio-temporal filter adaptive network for video deblurring", ICCV
    2019; in LEDNet's FASC, section 4.2.
    """
    padded = pad(x, (SIZE // 2,) * 4, mode="replicate")
    weights = rearrange(weight, "(c t) d 1 1 -> t c d 1 1", t=SIZE**2)
    biases = rearrange(bias, "(c t) -> t c", t=SIZE**2)
    return _FilterAdaptive.apply(*(v.to(hidden.dtype) for v in (padded, hidden, weights, biases)))


def filter_norms(hidden: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """How strong the filters at each pixel are: root mean square over channels of their
    Euclidean norms, ``(B, 1, H, W)``, without gradients.

    With ``[weight, bias] = Q R`` the norm of all filters is ``‖R [hidden, 1]‖``: no filter is made.
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
    if torch.compiler.is_compiling():  # (each strip would be 25 more convolutions in the graph)
        return iter((slice(0, height),))
    limit = _STRIP_ON_CPU if out.device.type == "cpu" else _STRIP
    rows = max(1, limit // (out.shape[0] * out.shape[1] * width))
    return (slice(top, min(top + rows, height)) for top in range(0, height, rows))


def _taps(padded: Tensor, rows: slice) -> Iterator[Tensor]:
    """For each tap the neighbors that it sees, as views: those of a strip of rows."""
    width = padded.shape[-1] - SIZE + 1
    for i in range(SIZE):
        for j in range(SIZE):
            yield padded[..., rows.start + i : rows.stop + i, j : j + width]
