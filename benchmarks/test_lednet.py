"""LEDNet's filter-adaptive convolution, tap by tap, against all filters at once."""

import pytest
import torch
from torch.nn.functional import conv2d, pad, unfold

pytest.importorskip("unfold_lednet")

from unfold_lednet.adaptive import filter_adaptive

# Level of the decoder at 1280×720 -> channels, height, width.
LEVELS = {"1/2": (64, 360, 640), "1/4": (128, 180, 320), "1/8": (128, 90, 160)}


def plain(x, hidden, weight, bias):
    shape = (*x.shape[:2], 25, -1)
    seen = unfold(pad(x, (2, 2, 2, 2), mode="replicate"), 5).view(shape)
    return (conv2d(hidden, weight, bias).view(shape) * seen).sum(2).view_as(x)


@pytest.mark.benchmark(group="lednet")
@pytest.mark.parametrize("level", LEVELS)
def test_filter_adaptive_convolution(against, benchmark, device, level):
    channels, height, width = LEVELS[level]
    x, hidden = torch.rand(2, 1, channels, height, width, device=device)
    weight = torch.randn(25 * channels, channels, 1, 1, device=device) / channels
    inputs = (x, hidden, weight, torch.randn(25 * channels, device=device))
    with torch.inference_mode():
        torch.testing.assert_close(filter_adaptive(*inputs), plain(*inputs), rtol=0, atol=1e-3)
    against(
        lambda: filter_adaptive(*inputs), lambda: plain(*inputs), "all filters at once", rounds=5
    )
    if device.type == "cpu":
        assert benchmark.extra_info["ratio"] < 1 / 1.5
