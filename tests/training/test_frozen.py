"""Parts that a recipe freezes keep their weights, and the others learn."""

import pytest
import torch
from safetensors.torch import load_file
from tiny_training import photos, values

from unfold.training import TrainingError, parse_recipe, train
from unfold.training.assemble import assemble
from unfold.training.distributed import Distributed

CPU = Distributed(torch.device("cpu"))
PHASE = {"steps": 2, "batch": 2, "crop": 16, "lr": 1e-2}


@pytest.mark.parametrize("frozen", ["hyper", "stages.stages.0.lagrangian.priors"])
def test_frozen_parts_keep_their_weights(frozen, tmp_path):
    given = values(photos(tmp_path / "photos", scale=8), phases=[PHASE], frozen=[frozen])
    before = assemble(parse_recipe(given), CPU).model.state_dict()
    train(parse_recipe(given), tmp_path / "run")
    after = load_file(tmp_path / "run" / "model.safetensors")
    same = {name: torch.equal(before[name], value) for name, value in after.items()}
    assert all(same[name] for name in same if name.startswith(frozen))
    assert not all(same[name] for name in same if not name.startswith(frozen))
    free = assemble(parse_recipe(given | {"frozen": []}), CPU)
    assert all(p.requires_grad for p in free.model.parameters())


@pytest.mark.parametrize("name", ["enhancers", "stages.9", ""])
def test_parts_that_the_model_does_not_have_are_refused(name, tmp_path):
    given = values(photos(tmp_path / "photos", scale=8), frozen=[name])
    with pytest.raises(TrainingError, match=f"no part {name!r}; parts with weights are: .*stages"):
        assemble(parse_recipe(given), CPU)
