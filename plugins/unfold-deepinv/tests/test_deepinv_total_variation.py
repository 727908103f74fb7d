import pytest
import torch

pytest.importorskip("deepinv")

from unfold_deepinv import DeepInvTV

from unfold.priors.total_variation import TotalVariation
from unfold.testing import checks


@pytest.mark.parametrize("check", checks("priors", DeepInvTV, name="deepinv-tv"), ids=str)
def test_conformance(check):
    check()


def image(*size):
    return torch.rand(2, 3, *size, dtype=torch.float64)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("step", [1e-3, 0.01, 0.1, 0.3])
def test_same_prox_as_unfolds_total_variation(step):
    v, step = image(9, 12), torch.full((1, 1, 1, 1), step, dtype=torch.float64)
    expected = TotalVariation(iterations=2000).prox(v, step)
    # What is left is Chambolle-Pock's own error. A wrong factor in the step shows at 0.3 · step.
    error = (DeepInvTV(iterations=2000).prox(v, step) - expected).abs().max()
    assert error < 1e-6 + 5e-4 * step.item()


def test_default_iterations_are_close():
    v, step = image(16, 16), torch.tensor([0.01, 0.1], dtype=torch.float64).view(2, 1, 1, 1)
    expected = TotalVariation(iterations=2000).prox(v, step)
    assert (DeepInvTV().prox(v, step) - expected).abs().max() < 2e-3


def test_same_value_as_unfolds_total_variation():
    x = image(9, 12)
    torch.testing.assert_close(DeepInvTV().value(x), TotalVariation().value(x))


def test_each_image_has_its_own_step_and_no_memory_of_others():
    v, step = image(9, 12), torch.tensor([0.02, 0.3], dtype=torch.float64).view(2, 1, 1, 1)
    prior = DeepInvTV(iterations=50)
    both = prior.prox(v, step)
    prior.prox(v.flip(0) + 1, step)
    for i in range(2):
        # Not one bit comes from the other image, nor from the calls before.
        assert torch.equal(prior.prox(v[i : i + 1], step[i : i + 1]), both[i : i + 1])


def test_a_map_is_refused():
    v = image(9, 12)
    with pytest.raises(ValueError, match=r"DeepInvTV takes one step .* got a map, \(2, 1, 9, 12\)"):
        DeepInvTV().prox(v, torch.rand(2, 1, 9, 12, dtype=torch.float64))
