"""The fast mode: near the exact one, on real photos, for every model that has convolutions."""

import copy
import warnings

import pytest
import torch
from skimage.data import astronaut, chelsea, coffee
from skimage.metrics import peak_signal_noise_ratio
from systems import random_kernel

import unfold
from unfold.models import fast as module
from unfold.models.fast import fast
from unfold.priors import ResUNet
from unfold.registry import scan

PHOTOS = {
    name: torch.tensor(array[40:88, 100:148]).permute(2, 0, 1)[None].float() / 255
    for name, array in {"astronaut": astronaut(), "coffee": coffee(), "chelsea": chelsea()}.items()
}
CPU = torch.device("cpu")
# (The small ones stand for the large; trained needs a folder.)
LARGE = {"jude", "era", "lednet", "devudp", "devudp-dt", "trained", "declared"}
# A plugin's network may paint the whole image, untrained: noise.
MODELS = [
    (c.name, 50 if c.distribution == "unfold-imaging" else 45)
    for c in scan().components
    if c.group == "models" and c.name not in LARGE
]


def perturbed(model):
    """Untrained networks begin as the identity, many of them: no rounding would show."""
    with torch.no_grad():
        for p in model.parameters():
            spread = p.std() if p.numel() > 1 and p.std() > 0 else torch.tensor(0.02)
            p += 0.3 * spread * torch.randn_like(p)
    return model


def psnr(a, b):
    return peak_signal_noise_ratio(a.numpy(), b.numpy(), data_range=1)


def restore(model, photo, kernel):
    with torch.inference_mode():
        return model(photo, kernel=kernel).image


@pytest.mark.parametrize(("name", "least"), MODELS)
def test_within_50_db_of_the_exact_mode(name, least):
    exact = perturbed(unfold.create_model(name).eval())
    before = copy.deepcopy(exact.state_dict())
    quick = fast(exact, bfloat16=True)
    kernel = random_kernel(size=(5, 5), dtype=torch.float32)
    photos = torch.cat(list(PHOTOS.values()))
    for want, got in zip(*(restore(m, photos, kernel) for m in (exact, quick)), strict=True):
        assert got.dtype == torch.float32
        if not any(p.dtype == torch.bfloat16 for p in quick.parameters()):
            assert torch.equal(got, want), "nothing to speed up: nothing changes"
        else:
            assert not torch.equal(got, want), "bfloat16 must have been used"
            assert psnr(want, got) > least
    for key, value in exact.state_dict().items():
        assert value.dtype == before[key].dtype
        assert torch.equal(value, before[key])


@pytest.mark.parametrize("name", ["jude-small", "era-small", "zero-dce"])
def test_the_inner_convolutions_are_bfloat16_and_nothing_else(name):
    inner = 0
    for path, part in fast(unfold.create_model(name), bfloat16=True).named_modules():
        for p in part.parameters(recurse=False):
            assert not p.requires_grad
            convolves = isinstance(part, (torch.nn.Conv2d, torch.nn.ConvTranspose2d))
            half = convolves and min(part.in_channels, part.out_channels) > 4
            assert p.dtype == (torch.bfloat16 if half else torch.float32), path
            inner += half
    assert inner > 4


def test_a_network_that_passes_its_input_on_does_not_round_it():
    """Delta kernels at both ends: the photo takes the skip, beside what the body makes of it."""
    prior = ResUNet(widths=(32, 64)).eval()
    with torch.no_grad():
        prior.net.tail.weight *= 0.1
        for i in range(3):
            prior.net.head.weight[i] = torch.zeros(4, 3, 3)
            prior.net.head.weight[i, i, 1, 1] = 1
            prior.net.tail.weight[i, i, 1, 1] += 1
        step = torch.full((1, 1, 1, 1), 1e-4)
        photo = PHOTOS["coffee"]
        quick = fast(prior, bfloat16=True)
        want, got = prior(photo, step), quick(photo, step)
    assert psnr(want, got) > 58  # 52 were the ends bfloat16 too


def test_without_units_for_bfloat16_it_says_so_and_stays_exact(monkeypatch):
    monkeypatch.setattr(module, "bfloat16_pays", lambda device: False)
    exact = perturbed(unfold.create_model("jude-small").eval())
    with pytest.warns(UserWarning, match="bfloat16 is slower than float32 on this cpu"):
        quick = fast(exact)
    assert all(p.dtype == torch.float32 for p in quick.parameters())
    photo, kernel = PHOTOS["astronaut"], random_kernel(size=(5, 5), dtype=torch.float32)
    torch.testing.assert_close(restore(quick, photo, kernel), restore(exact, photo, kernel))


def test_a_model_without_convolutions_is_copied_silently():
    classic = unfold.create_model("jude-classic", K=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quick = fast(classic)
    assert quick is not classic
    photo, kernel = PHOTOS["coffee"], random_kernel(size=(5, 5), dtype=torch.float32)
    assert torch.equal(restore(quick, photo, kernel), restore(classic, photo, kernel))


@pytest.mark.parametrize(("half", "pays"), [(0.5, True), (2.0, False)])
def test_bfloat16_pays_where_it_takes_less_time(half, pays):
    seconds = {torch.float32: 1.0, torch.bfloat16: half}
    assert module.bfloat16_pays(CPU, lambda dtype, device: seconds[dtype]) is pays


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu():
    exact = perturbed(unfold.create_model("jude-small").eval())
    photo = PHOTOS["chelsea"]
    want = restore(exact, photo, None)
    got = restore(fast(exact.to("cuda"), bfloat16=True), photo.cuda(), None).cpu()
    assert psnr(want, got) > 50
