"""Tiled and whole agree, where agreement has a reason. (The kit asks it of every model.)"""

import pytest
import torch
from torch.nn.functional import avg_pool2d, pad

import unfold
from unfold.errors import MemoryLimitError
from unfold.models.cascade import Cascade
from unfold.restoration import TiledInference, tiling
from unfold.restoration.receptive_field import ReceptiveField
from unfold.restorer import Restoration, Restorer

_NETWORK = {"kind": "resunet", "widths": [8, 16, 16, 16], "residual": True}
_KERNEL = {"kind": "kernel", "widths": [8, 8, 8, 8, 8]}
MOTION = torch.zeros(1, 1, 9, 9)
MOTION[..., 4, 2:7] = 1 / 5


@pytest.fixture(scope="module")
def photo():
    from skimage.data import astronaut

    crop = torch.from_numpy(astronaut()[20:244, 100:356].copy()).permute(2, 0, 1) / 255
    noise = 0.01 * torch.randn(crop.shape, generator=torch.Generator().manual_seed(0))
    return (0.4 * crop + noise).clamp(0, 1)


def in_tiles(model, photo, pixels, **options):
    return TiledInference(model.eval(), tile=pixels, **options)(photo)


def whole(model, photo, kernel=None):
    with torch.inference_mode():
        return model.eval()(photo[None], kernel=kernel).image[0]


class Toy(Restorer):
    """Of its neighborhood, of a mean, or of both."""

    requires_training = False

    def __init__(self, receptive_field=0, measure=False, means=False):
        super().__init__()
        self.receptive_field, self.measures = receptive_field, measure
        self.pooled_features = ("tone",) if means else ()

    def forward(self, image, *, kernel=None, history=None, measurements=None):
        measurements = measurements or {}
        x = image
        if self.measures:
            x = x - measurements.get("mean", self.measure(image)["mean"])
        parts = {}
        if self.pooled_features:
            parts["tone"] = avg_pool2d(image.square(), 8, ceil_mode=True)
            x = x - measurements.get("tone", parts["tone"].mean((-2, -1), keepdim=True))
        if self.receptive_field:
            x = avg_pool2d(pad(x, [self.receptive_field] * 4), 2 * self.receptive_field + 1, 1)
        return Restoration((0.5 + x).clamp(0, 1), parts)

    def measure(self, image, *, kernel=None):
        return {"mean": image.mean((1, 2, 3), keepdim=True)} if self.measures else {}

    def explain(self):
        return "a toy"


@pytest.mark.parametrize("receptive_field", [0, 3, 9, 20])
def test_the_receptive_field_is_measured(receptive_field, photo):
    (tiled,) = in_tiles(Toy(receptive_field), photo, 40_000).tilings
    assert receptive_field <= tiled.grid.radius <= receptive_field + 12
    assert tiled.receptive_field.found


@pytest.mark.parametrize("options", [{"measure": True}, {"means": True}], ids=str)
def test_what_is_global_is_measured_globally(options, photo, monkeypatch):
    model = Toy(3, **options)
    want = whole(model, photo)
    restored = in_tiles(model, photo, 30_000)
    torch.testing.assert_close(restored.image, want, rtol=0, atol=1e-5)
    # Were it not, tiles would differ:
    if model.measures:
        measure = model.measure
        model.forward = lambda image, **_: Toy.forward(model, image, measurements=measure(image))
    monkeypatch.setattr(tiling._Tiles, "gather", lambda *_: None)
    far = (in_tiles(model, photo, 30_000).image - want).abs().max()
    assert far > 0.01


def test_each_tile_takes_its_part_of_a_map_of_the_photo(photo):
    """A map that depends on the whole photo: the running sum of the means of its cells."""

    class OfAMap(Toy):
        measured_maps = {"sum": 16}  # noqa: RUF012

        def forward(self, image, *, kernel=None, history=None, measurements=None):
            cells = (measurements or self.measure(image))["sum"]
            height, width = image.shape[-2:]
            pixels = cells.repeat_interleave(16, 2).repeat_interleave(16, 3)
            return Restoration(image / (1 + pixels[..., :height, :width]))

        def measure(self, image, *, kernel=None):
            means = avg_pool2d(image, 16, ceil_mode=True).mean(1, keepdim=True)
            return {"sum": means.cumsum(-1).cumsum(-2) / 100}

    photo = photo[:, :, :250]  # (not of whole cells)
    want = whole(OfAMap(), photo)
    restored = in_tiles(OfAMap(), photo, 30_000)
    assert len(restored.tilings[0].grid) > 1
    assert restored.tilings[0].receptive_field.error == 0
    torch.testing.assert_close(restored.image, want, rtol=0, atol=1e-6)


def test_a_model_that_can_finish_restores_no_tile_twice(photo):
    class InTwo(Toy):
        begins = 0

        def forward(self, image, *, kernel=None, history=None, measurements=None):
            self.begins += 1
            tone = avg_pool2d(image.square(), 8, ceil_mode=True)
            parts = {"begun": avg_pool2d(pad(image, [3] * 4), 7, 1), "tone": tone}
            mean = (measurements or {}).get("tone", tone.mean((-2, -1), keepdim=True))
            return Restoration(self.finish(image, parts, measurements={"tone": mean}), parts)

        def finish(self, image, parts, *, kernel=None, measurements):
            return parts["begun"] - measurements["tone"]

    model = InTwo()
    model.pooled_features, model.finish_reads = ("tone",), {"begun": 3}
    want = whole(model, photo)
    model.begins = 0
    restored = in_tiles(model, photo, 30_000)
    torch.testing.assert_close(restored.image, want, rtol=0, atol=1e-5)
    assert model.begins == len(restored.tilings[0].grid) + 3  # (its reach takes three)


@pytest.mark.parametrize("known", [False, True], ids=["kernel estimated", "kernel known"])
def test_jude_small_finishes_what_it_began(known, photo):
    options = {"K": 1, "prior": _NETWORK, "light_prior": _NETWORK, "kernel_estimator": _KERNEL}
    model = unfold.create_model("jude-small", **options)
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():  # it starts where much is the identity
        parameter.data += 0.01 * torch.randn(parameter.shape, generator=generator)
    for name in ("from_mean.weight", "tail.weight"):  # so that the scene matters
        model.get_parameter(f"enhancer.{name}").data *= 30
    kernel = MOTION if known else None
    finished = in_tiles(model, photo, 40_000, kernel=kernel).image
    model.finish_reads = {}
    restored_anew = in_tiles(model, photo, 40_000, kernel=kernel).image
    difference = (finished - restored_anew).abs()
    assert difference[:, 16:-16, 16:-16].max() < 5e-5
    # (Along the border the enhancer sees the light as far as the photo goes, and no margin.)
    assert difference.max() < 5e-3


def test_a_model_that_looks_everywhere_is_found_out(photo):
    class Undeclared(Toy):
        def measure(self, image, *, kernel=None):
            return {}

        def forward(self, image, **_):
            return Restoration((image - image.mean((1, 2, 3), keepdim=True) + 0.5).clamp(0, 1))

    (tiled,) = in_tiles(Undeclared(), photo, 40_000).tilings
    assert not tiled.receptive_field.found
    assert tiled.receptive_field.error > 0.001


def test_seams_are_verified(photo, monkeypatch):
    (good,) = in_tiles(Toy(9), photo, 30_000, verify=True).tilings
    assert good.seams[0] < 1e-6
    monkeypatch.setattr(tiling, "measure_receptive_field", lambda *_, **__: ReceptiveField(0, 0.0))
    bad = in_tiles(Toy(9), photo, 30_000, verify=True)
    assert bad.tilings[0].seams[0] > 1e-3
    worst = (bad.image - whole(Toy(9), photo)).abs().max()
    assert bad.tilings[0].seams[0] <= worst
    assert "seams differ by" in str(bad.tilings[0])


def test_models_in_a_row_are_tiled_each_on_its_own(photo):
    models = Toy(9), Toy(3, measure=True), Toy(3, means=True)
    restored = in_tiles(Cascade(*models), photo, 30_000)
    assert len(restored.tilings) == 3
    want = whole(Cascade(*models), photo)
    torch.testing.assert_close(restored.image, want, rtol=0, atol=1e-5)


def test_a_model_that_must_see_the_whole_photo_is_not_tiled(photo, monkeypatch):
    model = Toy()
    model.needs_full_image = True
    monkeypatch.setattr(TiledInference, "room", lambda self: 1 << 20)
    with pytest.raises(
        MemoryLimitError, match=r"whole photo, which takes \d+ MiB, and 1 MiB of .* are free"
    ):
        TiledInference(model)(photo)


def test_a_budget_below_what_is_used_says_how_much_it_takes(photo):
    with pytest.raises(MemoryLimitError, match=r"the free part of 1 MiB: allow \d.* or more"):
        TiledInference(Toy(3).eval(), memory=1 << 20)(photo)


def test_a_photo_that_fits_is_restored_as_by_the_model(photo):
    model = unfold.create_model("zero-dce").eval()
    restored = TiledInference(model, memory=1 << 40)(photo)
    assert restored.tilings == ()
    assert torch.equal(restored.image, whole(model, photo))


def test_tiles_that_are_too_small_are_no_lack_of_memory():
    with pytest.raises(ValueError, match="tile=1000: .* use 147456 or more"):
        in_tiles(unfold.create_model("identity"), torch.rand(3, 64, 96), 1000)
