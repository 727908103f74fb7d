"""What declaring costs: stages derived from a Lagrangian against the same arithmetic by hand."""

import pytest
import torch

from unfold.core import Regularizer, Stage, Unrolled, lower
from unfold.degradation import motion_kernel
from unfold.models.jude import PAPER_ORDER, WEIGHTS, jude_lagrangian
from unfold.priors import ResUNet, SoftThreshold


def by_hand(x, kernel, prox, w, rounds):
    """JUDE's stages as one would write them once the updates are known."""
    w1, w2, w3, w4, w5 = w.values()
    z = p = r = q = l = i = x  # noqa: E741
    g = o = d = torch.zeros_like(x)
    h, size = kernel.shape[-1], x.shape[-2:]
    placed = x.new_zeros(1, 1, *size)
    placed[..., :h, :h] = kernel
    otf = torch.fft.rfft2(placed.roll((-(h // 2), -(h // 2)), (-2, -1)))
    power = otf.real.square() + otf.imag.square()
    data = otf.conj() * torch.fft.rfft2(x)
    for _ in range(rounds):
        divisor = w2 * q.square() + w3
        p = prox[0]((w2 * z * q + w3 * r + g) / divisor, 1 / divisor)
        r = p - g / w3
        divisor = w2 * p.square() + w4
        q = prox[1]((w2 * z * p + w4 * l + o) / divisor, 1 / divisor)
        l = q - o / w4  # noqa: E741
        divisor = w2 + w5
        z = prox[2]((w2 * p * q + w5 * i + d) / divisor, x.new_full((1, 1, 1, 1), 1 / divisor))
        top = w1 * data + torch.fft.rfft2(w5 * z - d)
        i = torch.fft.irfft2(top / (w1 * power + w5), s=size)
        g = g + w3 * (r - p)
        o = o + w4 * (l - q)
        d = d + w5 * (i - z)
    return i


@pytest.mark.benchmark(group="stages")
@pytest.mark.parametrize("prior", ["resunet", "soft-threshold"])
def test_five_stages(against, device, prior):
    """With a network as prior, and with next to none, where the overhead shows."""
    torch.manual_seed(0)
    make = {"resunet": lambda: ResUNet(widths=(16, 32, 64)), "soft-threshold": SoftThreshold}[prior]
    priors = [make().to(device).eval() for _ in range(3)]
    regularizers = [Regularizer(block, p) for block, p in zip("PQZ", priors, strict=True)]
    stage = Stage(lower(jude_lagrangian(*regularizers), PAPER_ORDER), WEIGHTS)
    net = Unrolled(stage, repeat=5)
    x, kernel = torch.rand(1, 3, 256, 256, device=device), motion_kernel(31).to(device)
    state = dict.fromkeys("XIZPRQL", x) | {"H": kernel}
    with torch.inference_mode():
        ours, hand = net(state)["I"], by_hand(x, kernel, priors, WEIGHTS, 5)
    torch.testing.assert_close(ours, hand, rtol=1e-3, atol=1e-3)
    rounds = 8 if prior == "resunet" else 30
    against(
        lambda: net(state),
        lambda: by_hand(x, kernel, priors, WEIGHTS, 5),
        "the same arithmetic by hand",
        rounds=rounds,
    )
