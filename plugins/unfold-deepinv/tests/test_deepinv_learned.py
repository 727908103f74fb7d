import importlib
import inspect
import sys

import pytest
import torch

pytest.importorskip("deepinv")

from deepinv.models import DRUNet
from unfold_deepinv import DeepInvDnCNN, DeepInvDRUNet

from unfold.errors import InputError
from unfold.testing import checks

NOISE = 2 / 255  # that of the released DnCNN: "sigma2" of 255
SMALL = {
    DeepInvDnCNN: {"depth": 3, "width": 8},
    DeepInvDRUNet: {"width": 4, "blocks": 1},
}
RELEASED = {DeepInvDnCNN: "dncnn_sigma2_color.pth", DeepInvDRUNet: "drunet_deepinv_color_finetune"}


def make(cls, channels=3, **options):
    torch.manual_seed(0)
    prior = cls(channels, **{"weights": "random", **SMALL[cls], **options})
    with torch.no_grad():
        for parameter in prior.parameters():  # DRUNet's random start is nearly zero
            parameter.add_(0.03 * torch.randn_like(parameter))
    return prior.eval()


@pytest.mark.parametrize("check", checks("priors", lambda: make(DeepInvDnCNN)), ids=str)
def test_conformance_of_dncnn(check):
    check()


@pytest.mark.parametrize("check", checks("priors", lambda: make(DeepInvDRUNet)), ids=str)
def test_conformance_of_drunet(check):
    check()


def image(*size, channels=3):
    torch.manual_seed(1)
    return torch.rand(2, channels, *size, dtype=torch.float64)


@pytest.fixture
def drunet():
    return make(DeepInvDRUNet).double()


@pytest.fixture
def dncnn():
    return make(DeepInvDnCNN).double()


@torch.no_grad()
def test_drunet_is_told_the_standard_deviation(drunet):
    v = image(16, 16)
    step = torch.full((1, 1, 1, 1), 0.01, dtype=torch.float64)
    sigma = torch.tensor(0.1, dtype=torch.float64)
    torch.testing.assert_close(drunet.prox(v, step), drunet.net(v, sigma))
    assert (drunet.prox(v, step) - drunet.net(v, sigma**2)).abs().max() > 1e-6  # it is listening


@torch.no_grad()
def test_drunet_takes_a_step_for_each_image_and_maps(drunet):
    v = image(16, 24)
    steps = torch.tensor([0.01, 0.09], dtype=torch.float64)
    expected = drunet.net(v, steps.sqrt())
    torch.testing.assert_close(drunet.prox(v, steps.view(2, 1, 1, 1)), expected)
    maps = torch.rand(2, 1, 16, 24, dtype=torch.float64)
    torch.testing.assert_close(drunet.prox(v, maps), drunet.net(v, maps.sqrt()))
    of_each_channel = torch.cat((maps * 0.25, maps, maps * 2.25), 1)  # σ/2, σ, 3σ/2
    torch.testing.assert_close(drunet.prox(v, of_each_channel), drunet.net(v, maps.sqrt()))


def test_drunets_defaults_are_those_of_the_released_weights():
    theirs = inspect.signature(DRUNet).parameters
    ours = inspect.signature(DeepInvDRUNet).parameters
    width = ours["width"].default
    assert theirs["nc"].default == (width, 2 * width, 4 * width, 8 * width)
    assert theirs["nb"].default == ours["blocks"].default


@torch.no_grad()
def test_dncnn_is_itself_at_the_noise_it_was_trained_for(dncnn):
    v = image(16, 16)
    step = torch.full((1, 1, 1, 1), NOISE**2, dtype=torch.float64)
    torch.testing.assert_close(dncnn.prox(v, step), dncnn.net(v))


@torch.no_grad()
def test_dncnn_serves_every_noise_by_scaling(dncnn):
    v = image(16, 16)
    factors = torch.tensor([0.5, 10.0], dtype=torch.float64).view(2, 1, 1, 1)
    steps = (factors * NOISE) ** 2
    expected = torch.cat([f * dncnn.net(x[None] / f) for x, f in zip(v, factors, strict=True)])
    torch.testing.assert_close(dncnn.prox(v, steps), expected)
    torch.testing.assert_close(dncnn.prox(7 * v, 49 * steps), 7 * dncnn.prox(v, steps))


def test_dncnn_refuses_a_map(dncnn):
    with pytest.raises(ValueError, match=r"DeepInvDnCNN takes one step .* got a map"):
        dncnn.prox(image(8, 8), torch.rand(2, 1, 8, 8, dtype=torch.float64))


@pytest.mark.parametrize("cls", SMALL)
def test_weights_come_from_a_file(cls, tmp_path):
    source, file = make(cls), tmp_path / "weights.pth"
    torch.save(source.net.state_dict(), file)
    v, step = image(16, 16).float(), torch.full((1, 1, 1, 1), 0.01)
    other = cls(weights=file, **SMALL[cls])
    with torch.no_grad():
        assert torch.equal(source.prox(v, step), other.prox(v, step))


@pytest.mark.parametrize("cls", SMALL)
def test_without_weights_it_says_what_to_give(cls):
    with pytest.raises(ValueError, match=rf"(?s)needs weights, got None.*{RELEASED[cls]}.*random"):
        cls()
    with pytest.raises(ValueError, match=r"needs weights, got 'download'.*none is released"):
        cls(weights="download", **SMALL[cls])
    with pytest.raises(InputError, match=r"no file .*nowhere\.pth"):
        cls(weights="nowhere.pth", **SMALL[cls])


@pytest.mark.parametrize("cls", SMALL)
def test_weights_of_another_layout_are_refused(cls, tmp_path):
    file = tmp_path / "gray.pth"
    torch.save(make(cls, 1).net.state_dict(), file)
    with pytest.raises(ValueError, match=r"(?s)gray\.pth does not hold the weights.*size mismatch"):
        cls(3, weights=file, **SMALL[cls])


class Harm:
    def __reduce__(self):
        return (sys.exit, (3,))


@pytest.mark.parametrize("cls", SMALL)
def test_nothing_is_unpickled(cls, tmp_path):
    file = tmp_path / "harm.pth"
    torch.save({"weight": Harm()}, file)
    with pytest.raises(ValueError, match=r"harm\.pth is no file of plain tensors"):
        cls(weights=file, **SMALL[cls])


@pytest.mark.parametrize("cls", SMALL)
def test_a_download_is_not_unpickled_either(cls, monkeypatch):
    """What reaches torch.hub: the released file's address, and weights_only."""
    calls = []

    def fetch(url, **options):
        calls.append((url, options))
        return {}

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", fetch)
    with pytest.raises(ValueError, match=r"(?s)does not hold the weights.*Missing key"):
        cls(weights="download")
    ((url, options),) = calls
    assert url.startswith("https://huggingface.co/deepinv/")
    assert RELEASED[cls] in url
    assert options["weights_only"] is True


def test_deepinv_is_imported_only_when_a_prior_is_built(monkeypatch):
    for name in [n for n in sys.modules if n.partition(".")[0] == "unfold_deepinv"]:
        monkeypatch.delitem(sys.modules, name)
    loaded = [name for name in sys.modules if name.startswith("deepinv.")]
    for name in ("deepinv", *loaded, "ptwt", "pywt"):
        monkeypatch.setitem(sys.modules, name, None)  # importing it fails from here on
    plugin = importlib.import_module("unfold_deepinv")
    for prior in plugin.__all__:
        with pytest.raises(ImportError):
            getattr(plugin, prior)()
