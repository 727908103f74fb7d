"""Weights in the released layout, made here at random, and the networks of others that read it."""

import itertools
import math
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from unfold_drunet import DRUNet
from unfold_drunet.public import modules

import unfold
from unfold.models.convert import rename
from unfold.testing import checks

SMALL = {"widths": (4, 6, 8, 10), "blocks": 2}  # four levels, as the release


def make():
    torch.manual_seed(0)
    return DRUNet(widths=(2, 3), blocks=1)


@pytest.mark.parametrize("check", checks("priors", make), ids=str)
def test_conformance(check):
    check()


def layout(channels=3, widths=SMALL["widths"], blocks=SMALL["blocks"]):
    """Name -> shape of the release's entries."""
    shapes = {"m_head": (widths[0], channels + 1, 3, 3), "m_tail": (channels, widths[0], 3, 3)}
    for level, (width, coarser) in enumerate(itertools.pairwise(widths), 1):
        for i, layer in itertools.product(range(blocks), (0, 2)):
            shapes[f"m_down{level}.{i}.res.{layer}"] = (width, width, 3, 3)
            shapes[f"m_up{level}.{i + 1}.res.{layer}"] = (width, width, 3, 3)
        shapes[f"m_down{level}.{blocks}"] = shapes[f"m_up{level}.0"] = (coarser, width, 2, 2)
    for i, layer in itertools.product(range(blocks), (0, 2)):
        shapes[f"m_body.{i}.res.{layer}"] = (widths[-1], widths[-1], 3, 3)
    return {f"{name}.weight": shape for name, shape in shapes.items()}


def released(channels=3):
    """A state dict in which every entry matters."""
    generator = torch.Generator().manual_seed(1)
    return {
        name: torch.randn(shape, generator=generator) / math.prod(shape[1:]) ** 0.5
        for name, shape in layout(channels).items()
    }


@torch.no_grad()
@pytest.mark.parametrize("channels", [1, 3])
def test_the_network_is_that_of_deepinverse(channels, tmp_path):
    models = pytest.importorskip("deepinv.models")
    theirs = models.DRUNet(channels, channels, nc=SMALL["widths"], nb=2, pretrained=None)
    theirs.load_state_dict(released(channels))
    torch.save(released(channels), tmp_path / "drunet.pth")
    prior = DRUNet(channels, weights=tmp_path / "drunet.pth", **SMALL)
    v, sigma = torch.rand(2, channels, 40, 48), torch.tensor([0.05, 0.2])
    want = theirs(v, sigma)
    assert want.std() > 0.1
    torch.testing.assert_close(prior(v, sigma.view(2, 1, 1, 1) ** 2), want, rtol=1e-5, atol=1e-5)


def test_every_layer_of_the_release_has_a_name():
    """Of the released size: 32.6 million parameters, none of them allocated."""
    with torch.device("meta"):
        prior = DRUNet()
        state = {n: torch.empty(s) for n, s in layout(3, (64, 128, 256, 512), 4).items()}
    assert len(state) == 64
    prior.load_state_dict(rename(state, modules(4, 4), prior.state_dict()))
    assert sum(p.numel() for p in prior.parameters()) == 32_640_960


@torch.no_grad()
def test_by_name_and_from_safetensors(tmp_path):
    save_file(released(), tmp_path / "drunet.safetensors")
    prior = unfold.create("priors", "drunet", weights=tmp_path / "drunet.safetensors", **SMALL)
    assert not prior.requires_training
    assert DRUNet(**SMALL).requires_training
    v, step = torch.rand(1, 3, 32, 32), torch.full((1, 1, 1, 1), 0.01)
    torch.save(released(), tmp_path / "drunet.pth")
    assert torch.equal(prior(v, step), DRUNet(weights=tmp_path / "drunet.pth", **SMALL)(v, step))


class Harm:
    def __reduce__(self):
        return (os.mkdir, ("harm",))


WRONG = {
    "another width": (lambda s: s, {"widths": (4, 6, 8, 12)}, r"misshapen: .*m_down3\.2\.weight"),
    "gray": (lambda s: released(1), {}, r"m_head\.weight \(needs \(4, 4, 3, 3\), got"),
    "missing": (
        lambda s: {n: v for n, v in s.items() if n != "m_up2.0.weight"},
        {},
        r"1 missing: m_up2\.0\.weight; set channels",
    ),
    "unexpected": (lambda s: {**s, "m.weight": torch.ones(1)}, {}, "1 unexpected: m.weight"),
    "no state dict": (lambda s: [1, 2], {}, "must hold a state dict, got a list"),
    "objects": (lambda s: {**s, "m_tail.weight": Harm()}, {}, "no file of plain tensors"),
}


@pytest.mark.parametrize("case", WRONG)
def test_refused(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    change, options, message = WRONG[case]
    torch.save(change(released()), "wrong.pth")
    with pytest.raises(unfold.ComponentError, match=r"wrong\.pth .*" + message) as error:
        DRUNet(weights="wrong.pth", **{**SMALL, **options})
    assert "\n" not in str(error.value)
    assert os.listdir() == ["wrong.pth"]


def test_no_such_file(tmp_path):
    for name in ("nowhere.pth", "nowhere.safetensors"):
        with pytest.raises(unfold.ComponentError, match=rf"{name}: cannot be read \(No such"):
            DRUNet(weights=tmp_path / name, **SMALL)
    (tmp_path / "short.safetensors").write_bytes(b"short")
    with pytest.raises(unfold.ComponentError, match="no file of plain tensors"):
        DRUNet(weights=tmp_path / "short.safetensors", **SMALL)


@torch.no_grad()
@pytest.mark.parametrize("channels", [1, 3])
def test_the_released_weights_denoise(channels):
    """Where they lie: drunet_color.pth, drunet_gray.pth in UNFOLD_DATA/weights/denoise."""
    name = {1: "drunet_gray.pth", 3: "drunet_color.pth"}[channels]
    file = Path(os.environ.get("UNFOLD_DATA", "nowhere"), "weights", "denoise", name)
    if not file.is_file():
        pytest.skip(f"no file {file}")
    photo = pytest.importorskip("skimage.data").astronaut()[:96, 150:278] / 255
    photo = torch.as_tensor(photo).float().permute(2, 0, 1)[None, :channels]
    noisy = photo + 0.1 * torch.randn(photo.shape, generator=torch.Generator().manual_seed(0))
    denoised = DRUNet(channels, weights=file)(noisy, torch.full((1, 1, 1, 1), 0.01))
    assert (denoised - photo).square().mean() < 0.1 * (noisy - photo).square().mean()
