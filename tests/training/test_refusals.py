"""Priors that no gradient passes through are refused before a training begins."""

import pytest
import torch
from tiny_training import photos, recipe

import unfold
from unfold.cli import main
from unfold.core import Prior
from unfold.training import TrainingError, train
from unfold.training.assemble import assemble
from unfold.training.distributed import Distributed


class Plugged(Prior):
    differentiable = False

    def prox(self, v, step):
        return v.detach()


MESSAGE = r"the model cannot be trained: Plugged, its prior of block Z, is not differentiable; .*"


class WithPlugged:
    """The spec of a model that has one among priors that can be trained."""

    kind = "deconv-small"

    def build(self):
        model = unfold.create_model("deconv-small", K=2)
        model.stages.stages[1].lagrangian.priors["Z"] = Plugged()
        return model


@pytest.fixture
def given(tmp_path):
    source = photos(tmp_path / "photos", scale=8)
    return recipe(source).model_copy(update={"model": WithPlugged()})


def test_assembly_refuses_it_and_names_its_block(given, tmp_path):
    for refused in (
        lambda: assemble(given, Distributed(torch.device("cpu"))),
        lambda: train(given, tmp_path / "run"),
    ):
        with pytest.raises(TrainingError, match=MESSAGE + r"model\.prior=resunet"):
            refused()
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_the_dry_run_of_bm3d_is_refused_in_one_line(tmp_path, capsys):
    pytest.importorskip("bm3d")
    pytest.importorskip("unfold_bm3d")
    source = photos(tmp_path / "photos", scale=8)
    command = ["train", "jude-small", "--set", f"data.source={source}", "-o", str(tmp_path / "run"),
               "--set", 'model={"kind": "deconv-small", "prior": "bm3d"}', "--dry-run"]  # fmt: skip
    assert main(command) == 2
    told = capsys.readouterr().err
    assert told.startswith("unfold: the model cannot be trained: BM3D, its prior of block Z, is ")
    assert told.count("\n") == 1


def test_a_prior_outside_a_lagrangian_is_named_by_its_place(tmp_path):
    from unfold.training.assemble import _check_gradients

    class Wrapper(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.denoiser = Plugged()

    with pytest.raises(TrainingError, match="Plugged, its prior of denoiser, is not"):
        _check_gradients(Wrapper())
