"""Tiled and whole agree: for every model that is registered, and where agreement has a reason."""

import pytest
import torch
from torch.nn.functional import avg_pool2d, pad

import unfold
from unfold.core import Restoration, Restorer
from unfold.models.cascade import Cascade
from unfold.restoration import AnySize, tiling
from unfold.restoration.reach import Reach

# Options that make slow models quick; a model without any is tried as it is.
_NETWORK = {"kind": "resunet", "widths": [8, 16, 16, 16], "residual": True}
_KERNEL = {"kind": "kernel", "widths": [8, 8, 8, 8, 8]}
_DENOISER = {"kind": "reflectance", "width": 8}
TINY = {
    "jude": {"K": 1, "prior": _NETWORK, "kernel_estimator": _KERNEL, "denoiser": _DENOISER},
    "era": {"K": 1, "prior": _NETWORK, "kernel_estimator": _KERNEL},
    "jude-small": {"K": 1, "prior": _NETWORK, "light_prior": _NETWORK},
    "era-small": {"K": 1, "prior": _NETWORK},
    # (Of less noise they ring further than this photo is wide.)
    "deconv-small": {"K": 2, "noise": 0.1},
    "jude-classic": {"K": 4, "noise": 0.1},
    "plug-and-play": {"K": 3, "noise": 0.1, "prior": "total-variation"},
    "refocus": {"noise": 0.1},
    "tv-deblur": {"K": 8, "noise": 0.1},
    "devudp-dt": {"widths": (8, 8, 8), "blocks": 1},
}
MOTION = torch.zeros(1, 1, 9, 9)
MOTION[..., 4, 2:7] = 1 / 5


@pytest.fixture(scope="module")
def photo():
    from skimage.data import astronaut

    crop = torch.from_numpy(astronaut()[20:244, 100:356].copy()).permute(2, 0, 1) / 255
    noise = 0.01 * torch.randn(crop.shape, generator=torch.Generator().manual_seed(0))
    return (0.4 * crop + noise).clamp(0, 1)


@pytest.fixture
def in_tiles(monkeypatch):
    """Restores in tiles of at most so many pixels."""

    def restore(model, photo, pixels, **options):
        monkeypatch.setattr(AnySize, "_fits", lambda *_: False)
        monkeypatch.setattr(AnySize, "_rate", lambda *_: 1.0)
        monkeypatch.setattr(AnySize, "_tile_pixels", lambda *_: pixels)
        return AnySize(model.eval(), **options)(photo)

    return restore


def whole(model, photo, kernel=None):
    with torch.inference_mode():
        return model.eval()(photo[None], kernel=kernel).image[0]


def trained_a_little(name, **options):
    """Weights that are not those that a model starts with, where much is the identity."""
    try:
        model = unfold.create_model(name, **TINY.get(name, {}) | options)
    except Exception as error:  # one that needs files, say
        pytest.skip(f"{name} cannot be built from nothing: {error}")
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        parameter.data += 0.01 * torch.randn(parameter.shape, generator=generator)
    return model


@pytest.mark.parametrize("name", unfold.list("models"))
def test_tiled_is_whole(name, photo, in_tiles):
    """What is within 16 pixels of the border may differ; nothing else by as much as 1e-3."""
    model = trained_a_little(name)
    if model.whole:
        pytest.skip(f"{name} says that it must see the whole photo")
    kernel = MOTION if model.needs_kernel or not model.requires_training else None
    want = whole(model, photo, kernel)
    restored = in_tiles(model, photo, 40_000, kernel=kernel)
    (tiled,) = restored.tilings
    assert len(tiled.grid) > 1
    assert tiled.reach.found
    difference = (restored.image - want).abs()[:, 16:-16, 16:-16]
    assert difference.max() < 1e-3


class Toy(Restorer):
    """Of its neighbourhood, of a mean, or of both."""

    requires_training = False

    def __init__(self, reach=0, survey=False, means=False):
        super().__init__()
        self.reach, self.surveys = reach, survey
        self.means = ("tone",) if means else ()

    def forward(self, image, *, kernel=None, ledger=None, guide=None):
        guide = guide or {}
        x = image
        if self.surveys:
            x = x - guide.get("mean", self.survey(image)["mean"])
        parts = {}
        if self.means:
            parts["tone"] = avg_pool2d(image.square(), 8, ceil_mode=True)
            x = x - guide.get("tone", parts["tone"].mean((-2, -1), keepdim=True))
        if self.reach:
            x = avg_pool2d(pad(x, [self.reach] * 4), 2 * self.reach + 1, 1)
        return Restoration((0.5 + x).clamp(0, 1), parts)

    def survey(self, image, *, kernel=None):
        return {"mean": image.mean((1, 2, 3), keepdim=True)} if self.surveys else {}

    def explain(self):
        return "a toy"


@pytest.mark.parametrize("reach", [0, 3, 9, 20])
def test_the_reach_is_measured(reach, photo, in_tiles):
    (tiled,) = in_tiles(Toy(reach), photo, 40_000).tilings
    assert reach <= tiled.grid.halo <= reach + 12
    assert tiled.reach.found


@pytest.mark.parametrize("options", [{"survey": True}, {"means": True}], ids=str)
def test_what_is_global_is_measured_globally(options, photo, in_tiles, monkeypatch):
    model = Toy(3, **options)
    want = whole(model, photo)
    restored = in_tiles(model, photo, 30_000)
    torch.testing.assert_close(restored.image, want, rtol=0, atol=1e-5)
    # Were it not, tiles would differ:
    if model.surveys:
        measure = model.survey
        model.forward = lambda image, **_: Toy.forward(model, image, guide=measure(image))
    monkeypatch.setattr(tiling._Tiles, "gather", lambda *_: None)
    far = (in_tiles(model, photo, 30_000).image - want).abs().max()
    assert far > 0.01


def test_a_model_that_can_finish_restores_no_tile_twice(photo, in_tiles):
    class InTwo(Toy):
        begins = 0

        def forward(self, image, *, kernel=None, ledger=None, guide=None):
            self.begins += 1
            tone = avg_pool2d(image.square(), 8, ceil_mode=True)
            parts = {"begun": avg_pool2d(pad(image, [3] * 4), 7, 1), "tone": tone}
            mean = (guide or {}).get("tone", tone.mean((-2, -1), keepdim=True))
            return Restoration(self.finish(image, parts, guide={"tone": mean}), parts)

        def finish(self, image, parts, *, kernel=None, guide):
            return parts["begun"] - guide["tone"]

    model = InTwo()
    model.means, model.finish_reads = ("tone",), {"begun": 3}
    want = whole(model, photo)
    model.begins = 0
    restored = in_tiles(model, photo, 30_000)
    torch.testing.assert_close(restored.image, want, rtol=0, atol=1e-5)
    assert model.begins == len(restored.tilings[0].grid) + 3  # (its reach takes three)


@pytest.mark.parametrize("known", [False, True], ids=["kernel estimated", "kernel known"])
def test_jude_small_finishes_what_it_began(known, photo, in_tiles):
    model = trained_a_little("jude-small", kernel_estimator=_KERNEL)
    for name in ("from_mean.weight", "tail.weight"):  # so that the scene matters
        model.get_parameter(f"enhancer.{name}").data *= 30
    kernel = MOTION if known else None
    finished = in_tiles(model, photo, 40_000, kernel=kernel).image
    model.finish_reads = {}
    restored_anew = in_tiles(model, photo, 40_000, kernel=kernel).image
    assert (finished - restored_anew).abs().max() < 2e-4


def test_a_model_that_looks_everywhere_is_found_out(photo, in_tiles):
    class Undeclared(Toy):
        def survey(self, image, *, kernel=None):
            return {}

        def forward(self, image, **_):
            return Restoration((image - image.mean((1, 2, 3), keepdim=True) + 0.5).clamp(0, 1))

    (tiled,) = in_tiles(Undeclared(), photo, 40_000).tilings
    assert not tiled.reach.found
    assert tiled.reach.left > 0.001


def test_seams_are_verified(photo, in_tiles, monkeypatch):
    (good,) = in_tiles(Toy(9), photo, 30_000, verify=True).tilings
    assert good.seams[0] < 1e-6
    monkeypatch.setattr(tiling, "measure_reach", lambda *_, **__: Reach(0, 0.0))
    bad = in_tiles(Toy(9), photo, 30_000, verify=True)
    assert bad.tilings[0].seams[0] > 1e-3
    worst = (bad.image - whole(Toy(9), photo)).abs().max()
    assert bad.tilings[0].seams[0] <= worst
    assert "seams differ by" in str(bad.tilings[0])


def test_models_in_a_row_are_tiled_each_on_its_own(photo, in_tiles):
    models = Toy(9), Toy(3, survey=True), Toy(3, means=True)
    restored = in_tiles(Cascade(*models), photo, 30_000)
    assert len(restored.tilings) == 3
    want = whole(Cascade(*models), photo)
    torch.testing.assert_close(restored.image, want, rtol=0, atol=1e-5)


def test_a_model_that_must_see_the_whole_photo_is_not_tiled(photo, monkeypatch):
    model = Toy()
    model.whole = True
    monkeypatch.setattr(AnySize, "room", lambda self: 1 << 20)
    monkeypatch.setattr(tiling, "_PLENTY", 1e9)
    with pytest.raises(MemoryError, match=r"whole photo, which takes \d+ MiB, and 1 MiB are left"):
        AnySize(model)(photo)


def test_a_budget_below_what_is_used_says_how_much_it_takes(photo):
    with pytest.raises(MemoryError, match=r"what is left of 1 MiB: allow \d.* or more"):
        AnySize(Toy(3).eval(), memory=1 << 20)(photo)


def test_a_photo_that_fits_is_restored_as_by_the_model(photo):
    model = unfold.create_model("zero-dce").eval()
    restored = AnySize(model, memory=1 << 40)(photo)
    assert restored.tilings == ()
    assert torch.equal(restored.image, whole(model, photo))
