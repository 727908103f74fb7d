import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import conv2d, pad, unfold
from unfold_lednet import adaptive
from unfold_lednet.adaptive import filter_adaptive, filter_norms


def make(channels, height, width, depth=3, batch=2):
    torch.manual_seed(0)
    kind = torch.float64
    x = torch.randn(batch, channels, height, width, dtype=kind)
    hidden = torch.randn(batch, depth, height, width, dtype=kind)
    weight = torch.randn(25 * channels, depth, 1, 1, dtype=kind)
    return x, hidden, weight, torch.randn(25 * channels, dtype=kind)


def plain(x, hidden, weight, bias):
    """All filters and all neighborhoods at once, by `torch.nn.functional.unfold`."""
    batch, channels, height, width = x.shape
    filters = conv2d(hidden, weight, bias).view(batch, channels, 25, -1)
    seen = unfold(pad(x, (2, 2, 2, 2), mode="replicate"), 5).view(batch, channels, 25, -1)
    return (filters * seen).sum(2).view(batch, channels, height, width)


@given(
    st.integers(1, 3), st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 40, 10**6])
)  # strips of one row, of a few, and all at once
@settings(max_examples=25, deadline=None)
def test_it_is_the_plain_formulation(channels, height, width, strip):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adaptive, "_STRIP_ON_CPU", strip)
        inputs = make(channels, height, width)
        torch.testing.assert_close(filter_adaptive(*inputs), plain(*inputs), rtol=0, atol=1e-10)


def test_one_filter_by_hand():
    """Row 25 c + 5 i + j is the tap at row i, column j of channel c."""
    x, hidden, weight, bias = make(2, 7, 6, batch=1)
    y, at = filter_adaptive(x, hidden, weight, bias), (3, 2)
    for c in range(2):
        value = 0.0
        for i in range(5):
            for j in range(5):
                row = 25 * c + 5 * i + j
                tap = weight[row, :, 0, 0] @ hidden[0, :, at[0], at[1]] + bias[row]
                value += tap * x[0, c, at[0] + i - 2, max(at[1] + j - 2, 0)]
        torch.testing.assert_close(y[0, c, at[0], at[1]], value)


def test_gradients(monkeypatch):
    monkeypatch.setattr(adaptive, "_STRIP_ON_CPU", 12)  # several strips
    inputs = [t.requires_grad_() for t in make(2, 4, 3, depth=2)]
    torch.autograd.gradcheck(filter_adaptive, inputs)


def test_gradients_are_those_of_the_plain_formulation():
    inputs = [t.requires_grad_() for t in make(3, 9, 11)]
    weights = torch.randn(2, 3, 9, 11, dtype=torch.float64)
    ours = torch.autograd.grad((filter_adaptive(*inputs) * weights).sum(), inputs)
    theirs = torch.autograd.grad((plain(*inputs) * weights).sum(), inputs)
    torch.testing.assert_close(ours, theirs)


def test_no_filter_is_kept_for_the_backward_pass():
    inputs = [t.requires_grad_() for t in make(4, 32, 32, depth=4, batch=1)]
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()), lambda t: t):
        filter_adaptive(*inputs)
    assert sum(kept) < 4 * inputs[0].numel()  # the filters have 25 times as many


def test_under_autocast():
    inputs = [t.float() for t in make(3, 9, 11)]
    with torch.autocast("cpu", torch.bfloat16):
        hidden = conv2d(inputs[1], torch.eye(3)[..., None, None])
        low = filter_adaptive(inputs[0], hidden, *inputs[2:])
    assert low.dtype == torch.bfloat16
    exact = plain(*inputs)
    assert (low.float() - exact).abs().max() < 0.03 * exact.abs().max()


def test_norms_of_the_filters():
    _, hidden, weight, bias = make(3, 5, 4)
    filters = conv2d(hidden, weight, bias).unflatten(1, (3, 25))
    expected = filters.norm(dim=2).square().mean(1, keepdim=True).sqrt()
    got = filter_norms(hidden, weight, bias)
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)
