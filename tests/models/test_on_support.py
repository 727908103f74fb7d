"""A prior that leaves zeros alone."""

import torch

from unfold.models.era import OnSupport
from unfold.priors import TotalVariation


def test_zeros_stay_and_the_rest_is_the_priors():
    torch.manual_seed(0)
    v = torch.rand(1, 3, 12, 12) * (torch.rand(1, 3, 12, 12) < 0.1)
    step = torch.full((1, 1, 1, 1), 0.05)
    prior = TotalVariation()
    smooth = prior(v, step)
    assert (smooth[v == 0] != 0).any()
    assert torch.equal(OnSupport(prior)(v, step), torch.where(v != 0, smooth, 0))


def test_it_promises_what_its_prior_does():
    prior = TotalVariation()
    wrapped = OnSupport(prior)
    variance = torch.full((1, 1, 1, 1), 0.01)
    assert torch.equal(wrapped.step_for(variance), prior.step_for(variance))
    names = ("accepts_map", "differentiable", "requires_training")
    assert all(getattr(wrapped, name) == getattr(prior, name) for name in names)
