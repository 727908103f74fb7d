"""Models with other parts: every prior, every blur, and what their options promise."""

import pytest
import torch
from skimage.data import astronaut, chelsea

import unfold
from unfold.core import History
from unfold.degradation import Outliers, blur
from unfold.priors import TotalVariation

TV = {"kind": "total-variation", "iterations": 20}
SMALL = {"kind": "kernel", "size": 5, "widths": [4, 8]}
WEIGHTS = {"deepinv-dncnn": {"depth": 3, "width": 8}, "deepinv-drunet": {"width": 4, "blocks": 1}}
SIZES = {"resunet": {"widths": [4, 8]}, "ircnn": {"width": 4}, "bm3d": {"profile": "lc"},
         "drunet": {"widths": [4, 8, 8, 8], "blocks": 1}, "deepinv-tv": {"iterations": 20},
         "deepinv-wavelet": {"iterations": 3}}  # fmt: skip
PLAIN = {"enhancer": None, "denoiser": None, "exposure": None, "light_prior": None}
KERNEL = torch.tensor([[0.0, 0.1, 0.2], [0.1, 0.3, 0.1], [0.2, 0.0, 0.0]])[None, None]


def crop(side, noise=0.0, top=60, left=180):
    sharp = torch.from_numpy(astronaut()[top : top + side, left : left + side].copy())
    sharp = sharp.permute(2, 0, 1)[None].float() / 255
    rng = torch.Generator().manual_seed(0)
    return (sharp + noise * torch.randn(sharp.shape, generator=rng)).clamp(0, 1)


def small_prior(name):
    options = SIZES.get(name, {})
    if name in WEIGHTS:
        options = {"weights": "random", **WEIGHTS[name]}
    return {"kind": name, **options}


MODELS = {
    "jude": {"K": 1, "kernel_estimator": SMALL, "denoiser": {"kind": "reflectance", "width": 4}},
    "jude-classic": {"K": 1},
    "era": {"K": 1, "kernel_estimator": SMALL, "num_kernels": 2},
    "deconv-small": {"K": 2},
    "plug-and-play": {"K": 2},
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("prior", unfold.list("priors"))
def test_every_prior_runs_in_every_model(name, prior, monkeypatch):
    if prior == "bm3d":  # on its usual grid of the noise's spectrum a call takes half a second
        monkeypatch.setattr("bm3d.BM3DProfileLC.nf", 4)
    model = unfold.create_model(name, prior=small_prior(prior), **MODELS[name]).eval()
    with torch.no_grad():
        restoration = model(crop(24, noise=0.03), kernel=KERNEL)
    assert restoration.image.shape == (1, 3, 24, 24)
    assert restoration.image.isfinite().all()
    assert all(part.isfinite().all() for part in restoration.parts.values())


STRENGTH = {
    "jude": {"K": 6, **PLAIN, "kernel_estimator": "point"},
    "jude-small": {"K": 6, **PLAIN, "kernel_estimator": "point"},
    "jude-classic": {"K": 6, "exposure": None, "enhancer": None},
    "era": {"K": 6, "num_kernels": 1, "blur": "convolution", "kernel_estimator": "point",
            "error": False},
    "era-small": {"K": 6, "kernel_estimator": SMALL},
    "deblur": {"K": 6, "kernel_estimator": "point"},
    "deconv-small": {"K": 6},
    "plug-and-play": {"K": 6},
    "refocus": {"K": 6},
    "tv-deblur": {"K": 6},
}  # fmt: skip


@pytest.mark.parametrize("name", STRENGTH)
def test_strength_takes_from_the_data_what_it_gives_the_prior(name):
    photo = blur(crop(40), KERNEL)
    photo = (photo + 0.03 * torch.randn(photo.shape)).clamp(0, 1)
    misfits, variations = [], []
    for strength in (0.25, 0.5, 1.0, 2.0, 4.0):
        torch.manual_seed(1)
        options = {**STRENGTH[name], "strength": strength, "noise": 0.03}
        if name == "jude-classic":
            del options["noise"]
        options |= {} if name == "tv-deblur" else {"prior": TV}
        model = unfold.create_model(name, **options).eval()
        with torch.no_grad():
            image = model(photo, kernel=KERNEL).image
        misfits.append((blur(image, KERNEL) - photo)[..., 3:-3, 3:-3].norm().item())
        variations.append(TotalVariation().value(image).item())
    assert misfits == sorted(misfits), misfits
    assert variations == sorted(variations, reverse=True), variations
    assert variations[-1] < 0.95 * variations[0]


def test_every_model_with_a_strength_is_looked_at():
    from unfold.registry import scan
    from unfold.registry.spec import spec_type

    own = [c.name for c in scan().components
           if c.group == "models" and c.distribution == "unfold-imaging"]  # fmt: skip
    assert set(STRENGTH) == {n for n in own if "strength" in spec_type("models", n).model_fields}


BOUNDED = [
    {},
    {"order": "paper"},
    {"start": "zero"},
    {"reflectance": "Z/L"},
    {"illumination_channels": 1},
    {"hyper_parameters": "predicted-from-kernel"},
    {"trust": False},
    {"tied": True},
]


@pytest.mark.parametrize("options", BOUNDED, ids=str)
@pytest.mark.parametrize("seed", [0, 1])
def test_reflectance_and_light_keep_their_bounds_for_any_parameters(options, seed):
    torch.manual_seed(seed)
    prior = {"kind": "resunet", "widths": [4], "residual": True}
    model = unfold.create_model("jude", K=2, prior=prior, kernel_estimator=SMALL, **options).eval()
    for parameter in model.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    with torch.no_grad():
        parts = model(torch.rand(2, 3, 24, 20)).parts
    assert parts["R"].min() >= 0
    assert parts["L"].min() >= 0.01 - 1e-7
    assert parts["L"].max() <= 1
    assert parts["R"].isfinite().all()


VARIANTS = {
    "jude": [
        {"start": "zero"},
        {"trust": False},
        {"blur": "masked-convolution"},
        {"blur": "filter-flow", "trust": False, "num_kernels": 2},
        {"blur": "filter-flow", "trust": False, "num_kernels": 1},
        {"hyper_parameters": "learned-constants"},
        {"noise": 0.02},
    ],
    "era": [
        {"num_kernels": 1},
        {"num_kernels": 1, "blur": "convolution"},
        {"order": "paper"},
        {"error": False},
        {"error_prior": False},
        {"tied": True},
        {"hyper_parameters": "predicted-from-kernel"},
    ],
}


@pytest.mark.parametrize(
    ("name", "options"), [(n, o) for n, found in VARIANTS.items() for o in found], ids=str
)
def test_variants_run_train_and_fill_a_history(name, options):
    torch.manual_seed(0)
    model = unfold.create_model(name, K=2, prior=TV, kernel_estimator=SMALL, **options)
    history = History()
    restoration = model(crop(24, noise=0.02), history=history)
    assert restoration.image.isfinite().all()
    assert len(history.penalties) == 2
    restoration.image.sum().backward()
    reached = [p.grad is not None and p.grad.isfinite().all() for p in model.hyper.parameters()]
    assert all(reached)
    assert model.explain()


def test_variants_have_the_parts_that_they_should():
    photo = crop(24, noise=0.02)

    def parts(name, **options):
        options = {"K": 1, "prior": TV, "kernel_estimator": SMALL, **options}
        with torch.no_grad():
            return unfold.create_model(name, **options)(photo).parts

    one = parts("era", num_kernels=1)
    assert one["kernel"].shape == (1, 2, 5, 5)  # beside it a point: where it does not act
    assert one["kernel"][0, 1, 2, 2] == one["kernel"][0, 1].sum() == 1
    assert one["maps"].shape == (1, 2, 24, 24)
    torch.testing.assert_close(one["maps"].sum(1), torch.ones(1, 24, 24))
    assert "maps" not in parts("era", num_kernels=1, blur="convolution")
    assert not {"E", "P"} & set(parts("era", error=False))
    assert "P" not in parts("era", error_prior=False)
    flow = parts("jude", blur="filter-flow", trust=False, num_kernels=2)
    assert flow["kernel"].shape == (1, 2, 5, 5)
    assert flow["maps"].shape == (1, 2, 24, 24)
    assert "trust" not in flow
    assert parts("jude", blur="masked-convolution")["trust"].shape == (1, 1, 24, 24)


def test_several_kernels_need_maps_and_maps_take_the_place_of_trust():
    with pytest.raises(ValueError, match="several kernels need a blur with maps"):
        unfold.create_model("jude", num_kernels=2, trust=False)
    with pytest.raises(ValueError, match="set trust=False"):
        unfold.create_model("jude", num_kernels=2, blur="filter-flow")
    with pytest.raises(ValueError, match="several kernels need a blur with maps"):
        unfold.create_model("era", blur="convolution")


def psnr(image, target):
    return -10 * (image - target).square().mean().log10().item()


@torch.inference_mode()
def test_a_sharp_photo_comes_back_from_the_untrained_jude_small():
    torch.manual_seed(0)
    sharp = crop(128)
    options = {"prior": "total-variation", "light_prior": None}
    model = unfold.create_model("jude-small", **options).eval()
    point = torch.ones(1, 1, 1, 1)  # (its untrained estimate is a small Gaussian)
    assert psnr(model(sharp, kernel=point).image, sharp) > 30


@torch.inference_mode()
def test_without_outliers_the_untrained_era_sees_no_error():
    torch.manual_seed(0)
    error = unfold.create_model("era-small", prior="total-variation").eval()(crop(96)).parts["E"]
    assert (error == 0).float().mean() > 0.99


@torch.inference_mode()
def test_the_untrained_era_finds_planted_outliers():
    torch.manual_seed(0)
    sharp = torch.from_numpy(chelsea()[:160, :240].copy()).permute(2, 0, 1)[None] / 255
    before = blur(sharp, torch.full((1, 1, 5, 5), 1 / 25))
    plant = Outliers(density=(1e-3, 1e-3))
    after = plant.apply(before, plant.sample(1, torch.Generator().manual_seed(0)))
    model = unfold.create_model("era-small", prior="identity").eval()
    found, planted = model(after).parts["E"] != 0, after != before
    hits = (found & planted).sum().item()
    assert hits > 0.8 * planted.sum().item() > 0
    assert hits > 0.7 * found.sum().item()  # (without a split of E, its threshold is 0.05)


@torch.inference_mode()
def test_in_focus_details_are_no_outliers():
    """Single bright pixels of a sharp photo stay; those of a blurred photo are outliers."""
    torch.manual_seed(0)
    sharp = torch.from_numpy(chelsea()[40:200, 100:300].copy()).permute(2, 0, 1)[None] / 255
    model = unfold.create_model("era-small", prior="identity").eval()
    for blurred in (False, True):
        photo = blur(sharp, torch.full((1, 1, 7, 7), 1 / 49)) if blurred else sharp.clone()
        photo[..., 20::40, 20::40] = 1
        parts = model(photo).parts
        marked = (parts["E"][..., 20::40, 20::40] != 0).any(1).float().mean()
        assert (marked > 0.8) == blurred
        assert blurred or marked < 0.2


@torch.inference_mode()
def test_a_kernel_that_is_given_serves_all_maps_of_a_filter_flow():
    """The maps sum to one: with one kernel for all of them the blur is stationary."""
    torch.manual_seed(0)
    options = {"prior": "total-variation", "light_prior": None, "kernel_estimator": "kernel"}
    model = unfold.create_model("jude-small", blur="filter-flow", num_kernels=2, **options)
    parts = model.eval()(crop(64), kernel=torch.full((1, 1, 3, 3), 1 / 9)).parts
    assert parts["kernel"].shape == (1, 2, 3, 3)
    assert parts["I"].isfinite().all()
