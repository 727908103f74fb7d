"""spandrel's own loader with unfold's files."""

import itertools
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

pytest.importorskip("spandrel")

import spandrel
from spandrel import ArchRegistry, ImageModelDescriptor, ModelLoader, UnsupportedModelError
from unfold_spandrel import install

import unfold
from unfold.estimators.noise import estimate_noise
from unfold.models.pretrained import pretrained_models, with_weights
from unfold.models.weights import save_model
from unfold.priors import denoiser
from unfold.registry.spec import resolve

DENOISER = Path(denoiser.__file__).with_suffix(".safetensors")


def file_of(name):
    return Path(with_weights({"kind": name})["folder"], "model.safetensors")


@pytest.fixture
def registry():
    """A copy of spandrel's main registry, with all of its architectures."""
    return spandrel.MAIN_REGISTRY.copy()


@pytest.fixture
def loader(registry):
    install(registry=registry)
    return ModelLoader(registry=registry)


def photo(height=40, width=48):
    generator = torch.Generator().manual_seed(0)
    coarse = 0.3 * torch.rand(1, 3, 5, 6, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")
    return (smooth + 0.02 * torch.randn(smooth.shape, generator=generator)).clamp(0, 1)


@pytest.mark.parametrize("name", ["zero-dce", "lednet-small", "jude-small", "deblur", "era-small"])
def test_it_loads_and_restores_what_unfold_does(name, loader):
    if name == "lednet-small":
        pytest.importorskip("unfold_lednet")
    model = loader.load_from_file(file_of(name))
    assert isinstance(model, ImageModelDescriptor)
    assert model.architecture.id == f"unfold-{name}"
    assert (model.purpose, model.scale) == ("Restoration", 1)
    assert (model.input_channels, model.output_channels) == (3, 3)
    with torch.inference_mode():
        want = unfold.create_model(name, pretrained=True)(photo()).image
    assert (want - photo()).abs().max() > 0.005  # something happens
    torch.testing.assert_close(model(photo()), want)


def test_every_model_that_is_shipped_is_known(loader):
    ids = {loader.load_from_file(file_of(name)).architecture.id for name in pretrained_models()}
    # (Of deconv-small and deblur, one file, the one that needs no kernel.)
    assert ids == {f"unfold-{name}" for name in pretrained_models() if name != "deconv-small"}


def test_the_denoiser_is_told_the_noise_that_is_there(loader):
    model = loader.load_from_file(DENOISER)
    noisy = photo()
    step = estimate_noise(noisy) ** 2
    assert 0.01 < step.sqrt().item() < 0.04
    with torch.inference_mode():
        want = denoiser.Denoiser()(noisy, step).clamp(0, 1)
    torch.testing.assert_close(model(noisy), want)


def test_weights_are_those_of_the_file(loader, tmp_path):
    state = load_file(file_of("zero-dce"))
    zeros = {name: torch.zeros_like(value) for name, value in state.items()}
    save_file(zeros, tmp_path / "0.safetensors")
    nothing = loader.load_from_file(tmp_path / "0.safetensors")
    torch.testing.assert_close(nothing(photo()), photo())  # curves of 0 leave a photo alone
    state.pop(next(iter(state)))
    save_file(state, tmp_path / "part.safetensors")
    with pytest.raises(UnsupportedModelError):
        loader.load_from_file(tmp_path / "part.safetensors")


def write(folder, kind, **options):
    spec = resolve("models", {"kind": kind, **options})
    torch.manual_seed(1)
    model = spec.build()
    save_model(folder, model.state_dict(), spec, needs={"unfold-imaging": "0.1.0"})
    return model.eval()


def test_models_of_ones_own(registry, tmp_path):
    mine = write(tmp_path / "mine", "zero-dce", iterations=3, width=4)
    (added,) = set(install(tmp_path / "mine", registry=registry)) - set(install_ids())
    assert added.endswith("mine")
    model = ModelLoader(registry=registry).load_from_file(tmp_path / "mine" / "model.safetensors")
    with torch.inference_mode():
        torch.testing.assert_close(model(photo()), mine(photo()).image)


def install_ids():
    return install(registry=ArchRegistry())


def test_a_folder_counts_before_what_is_shipped(registry, tmp_path):
    write(tmp_path / "mine", "zero-dce")
    install(tmp_path / "mine", registry=registry)
    model = ModelLoader(registry=registry).load_from_file(file_of("zero-dce"))
    assert model.architecture.id.endswith("mine")


def test_a_model_that_needs_a_kernel_is_refused(registry, tmp_path):
    prior = {"kind": "resunet", "widths": (4,), "residual": True}
    write(tmp_path / "needs", "plug-and-play", prior=prior)
    install(tmp_path / "needs", registry=registry)
    with pytest.raises(unfold.ComponentError, match="needs a blur's kernel"):
        ModelLoader(registry=registry).load_from_file(tmp_path / "needs" / "model.safetensors")


def test_a_folder_without_a_model_is_refused(registry, tmp_path):
    before = len(registry)
    with pytest.raises(unfold.ComponentError, match="describes no model"):
        install(tmp_path, registry=registry)
    assert len(registry) == before


def test_twice_is_once(registry):
    assert len(install(registry=registry)) == len(pretrained_models())  # denoiser for deconv-small
    assert install(registry=registry) == []


def test_programs_get_it_by_the_main_registry():
    install()
    assert "unfold-jude-small" in spandrel.MAIN_REGISTRY
    model = ModelLoader().load_from_file(file_of("zero-dce"))
    assert model.architecture.id == "unfold-zero-dce"
    assert model.to("cpu").float()(photo()).shape == photo().shape
    with pytest.raises(Exception, match="does not support half precision"):
        model.half()


def test_the_files_of_others_are_theirs_still(loader):
    """Here a DnCNN of 17 layers."""
    widths, state = (1, *[8] * 16, 1), {}
    for i, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
        state[f"model.{2 * i}.weight"] = torch.zeros(outputs, inputs, 3, 3)
        state[f"model.{2 * i}.bias"] = torch.zeros(outputs)
    assert loader.load_from_state_dict(state).architecture.id == "DnCNN"
