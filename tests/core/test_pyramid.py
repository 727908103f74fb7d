"""From coarse to fine: what goes on, what is resized from where."""

import pytest
import torch
from torch.nn.functional import interpolate

from unfold.core import Equal, Lagrangian, Quadratic, Regularizer, Stage, State, Unrolled, lower
from unfold.core.pyramid import coarse_to_fine
from unfold.priors import SoftThreshold


def test_what_was_changed_goes_on_and_the_rest_is_resized_from_full_size():
    torch.manual_seed(0)
    state = {
        "X": torch.rand(2, 3, 12, 17),
        "I": torch.rand(2, 3, 12, 17),
        "w": torch.ones(2, 1, 1, 1),
    }
    seen = []

    def run(level):
        seen.append(level)
        return (
            level.replace("I", level["I"] + 1)
            .replace("w", level["w"] * 2)
            .replace("new", level["X"])
        )

    last = coarse_to_fine(run, state, (0.5, 1.0))
    first, second = seen
    half = {"size": (6, 8), "mode": "bicubic", "antialias": True}
    torch.testing.assert_close(first["X"], interpolate(state["X"], **half), rtol=0, atol=0)
    torch.testing.assert_close(first["I"], interpolate(state["I"], **half), rtol=0, atol=0)
    assert torch.equal(second["X"], state["X"])
    grown = interpolate(first["I"] + 1, (12, 17), mode="bicubic", antialias=True)
    assert torch.equal(second["I"], grown)
    assert "new" not in second
    assert torch.equal(second["w"], 2 * state["w"])
    assert torch.equal(last["w"], 4 * state["w"])
    assert torch.equal(last["I"], grown + 1)
    assert torch.equal(state["w"], torch.ones(2, 1, 1, 1))


def test_kernels_keep_their_sum_their_centre_and_odd_sides():
    kernel = torch.zeros(1, 1, 21, 15)
    kernel[..., 10, 7] = 0.6
    kernel[..., 8:13, 7] += 0.08
    sizes = []

    def run(level):
        h = level["H"]
        sizes.append(tuple(h.shape[-2:]))
        torch.testing.assert_close(h.sum((-2, -1)), torch.ones(1, 1))
        assert h.min() >= 0
        rows = torch.arange(h.shape[-2]) - h.shape[-2] // 2
        assert (h.sum(-1).flatten() @ rows.float()).abs() < 1e-5
        return level.replace("H", h)

    coarse_to_fine(
        run, {"X": torch.rand(1, 1, 40, 40), "H": kernel}, (0.1, 0.25, 0.5, 1), kernels="H"
    )
    assert sizes == [(3, 3), (5, 5), (11, 9), (21, 15)]


def test_a_declaration_runs_as_it_is():
    lagrangian = Lagrangian(Quadratic(Equal("I", "X"), 1.0), Regularizer("I", SoftThreshold(), 0.1))
    stages = Unrolled([Stage(lower(lagrangian, ("I",)), {})])
    x = torch.rand(1, 1, 16, 16)
    last = coarse_to_fine(stages, {"X": x, "I": torch.zeros_like(x)}, (0.25, 1.0))
    torch.testing.assert_close(last["I"], (x - 0.1).clamp_min(0))


def test_refusals():
    state = {"X": torch.rand(1, 1, 8, 8), "H": torch.ones(1, 1, 4, 3) / 12}
    with pytest.raises(ValueError, match=r"'H' has shape \(1, 1, 4, 3\).*odd"):
        coarse_to_fine(State, state, (1.0,), kernels=["H"])
    for scales in ((), (0.5, 1.5), (0, 1)):
        with pytest.raises(ValueError, match=r"scales must be numbers in \(0, 1\]"):
            coarse_to_fine(State, state, scales)
