import pytest
import torch

from unfold.core.clip import clip

X = torch.tensor([-2.0, 0.0, 0.4, 1.0, 3.0])


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-1.0, 0.3), (X - 1, X - 0.5)])
def test_values_are_those_of_a_clamp_and_the_gradient_passes(bounds):
    x = X.clone().requires_grad_()
    clipped = clip(x, *bounds)
    assert torch.equal(clipped, X.clamp(*bounds))
    upstream = torch.arange(1.0, 6.0)
    clipped.backward(upstream)
    assert torch.equal(x.grad, upstream)


def test_without_a_gradient_it_is_a_clamp():
    assert torch.equal(clip(X), X.clamp(0, 1))
    with torch.no_grad():
        assert not clip(X.clone().requires_grad_()).requires_grad


def test_what_lies_outside_can_come_back():
    """A plain clamp would hold it there."""
    x = torch.tensor([1.5], requires_grad=True)
    for _ in range(20):
        (gradient,) = torch.autograd.grad((clip(x) - 0.5).square().sum(), x)
        with torch.no_grad():
            x -= 0.2 * gradient
    assert clip(x).item() == pytest.approx(0.5, abs=1e-3)
