"""Total variation without gradients reuses its buffers; with them it must not."""

import pytest
import torch

from unfold.priors import TotalVariation


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (6, 1), (17, 24)])
@pytest.mark.parametrize("step", ["number", "map", "zero"])
def test_both_ways_agree(size, step):
    v = torch.rand(2, 3, *size, dtype=torch.float64)
    steps = {
        "number": v.new_full((1, 1, 1, 1), 0.07),
        "map": 0.2 * torch.rand(2, 1, *size, dtype=torch.float64),
        "zero": v.new_zeros(1, 1, 1, 1),
    }
    prior, before = TotalVariation(iterations=15), v.clone()
    with torch.no_grad():
        fast = prior.prox(v, steps[step])
    assert torch.equal(v, before)
    torch.testing.assert_close(fast, prior.prox(v, steps[step]), rtol=0, atol=1e-12)
