"""A photo comes back in the form in which it is given, as the command restores it."""

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

import unfold
from unfold.degradation.blur import blur
from unfold.imaging import ImageError, Photo, read, write


@pytest.fixture(scope="module")
def photo():
    return np.ascontiguousarray(data.astronaut()[100:148, 200:264])


@pytest.fixture(scope="module")
def restored(photo):
    return unfold.restore(photo, model="tv-deblur")


def test_every_form_gives_the_same_picture(photo, restored, tmp_path):
    assert restored.shape == photo.shape
    assert restored.dtype == np.uint8
    assert 20 < 20 * np.log10(255 / np.sqrt(np.square(restored - photo.astype(float)).mean())) < 60
    tensor = torch.from_numpy(photo).permute(2, 0, 1).float() / 255
    write(tmp_path / "photo.png", Photo(tensor))
    forms = {
        "path": unfold.restore(tmp_path / "photo.png", model="tv-deblur"),
        "pil": unfold.restore(Image.fromarray(photo), model="tv-deblur"),
        "float": unfold.restore(photo.astype(np.float64) / 255, model="tv-deblur") * 255,
        "16 bits": unfold.restore(photo.astype(np.uint16) * 257, model="tv-deblur") / 257.0,
        "tensor": unfold.restore(tensor, model="tv-deblur").permute(1, 2, 0) * 255,
        "batch": unfold.restore(tensor[None], model="tv-deblur")[0].permute(1, 2, 0) * 255,
    }
    assert isinstance(forms["path"], Image.Image)
    for name, form in forms.items():
        difference = np.abs(np.asarray(form, float) - restored).max()
        assert difference <= 0.501, name


def test_it_is_what_the_command_makes(photo, restored, tmp_path):
    from unfold.cli import main

    write(tmp_path / "photo.png", Photo(torch.from_numpy(photo).permute(2, 0, 1) / 255))
    out = tmp_path / "out.png"
    arguments = ["restore", str(tmp_path / "photo.png"), "-o", str(out), "--model", "tv-deblur"]
    assert main(arguments) == 0
    command = (read(out).image * 255).round().permute(1, 2, 0).numpy().astype(np.uint8)
    np.testing.assert_array_equal(command, restored)


def test_a_gray_photo_stays_gray(photo):
    gray = photo.mean(-1).astype(np.uint8)
    assert unfold.restore(gray, model="tv-deblur").shape == gray.shape
    assert unfold.restore(Image.fromarray(gray), model="tv-deblur").mode == "L"


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("identity", {}),
        ("tv-deblur", {"K": 2}),
        ("plug-and-play", {"K": 2, "prior": "total-variation"}),
        ("deblur", {"K": 2, "prior": "total-variation", "border": "estimated"}),
        ("refocus", {"K": 2}),
        ("jude-classic", {"K": 2}),
        ("era", {"K": 1, "prior": "total-variation", "kernel_estimator": "disc"}),
    ],
)
def test_channels_that_are_alike_are_restored_alike(name, options, photo):
    """Noise, exposure, light and kernels are those of the photo, however many channels show it."""
    model = unfold.create_model(name, **options).eval()
    assert model.channels is None
    gray = torch.from_numpy(photo).float().mean(-1)[None] / 510
    kernel = torch.full((1, 1, 3, 3), 1 / 9)
    want = unfold.restore(gray.expand(3, -1, -1), model=model, kernel=kernel)
    assert name == "identity" or (want - gray).abs().max() > 0.01
    for channels in (1, 4, 16):
        got = unfold.restore(gray.expand(channels, -1, -1), model=model, kernel=kernel)
        torch.testing.assert_close(got, want[:1].expand_as(got), atol=2e-4, rtol=0)


def test_spectral_bands_are_deblurred(photo):
    """A kernel and noise for all 16 bands, and a denoiser of color photos for each."""
    sharp = torch.from_numpy(photo).float()[..., :1] / 255 * torch.linspace(0.5, 1, 16)
    kernel = torch.full((1, 1, 5, 5), 1 / 25)
    blurred = blur(sharp.permute(2, 0, 1)[None], kernel)[0].permute(1, 2, 0)
    noise = 0.01 * torch.randn(blurred.shape, generator=torch.Generator().manual_seed(0))
    bad = (blurred + noise).clamp(0, 1).numpy()
    made = unfold.restore(bad, model={"kind": "plug-and-play", "K": 4}, kernel=kernel)
    before, after = (np.square(x - sharp.numpy()).mean((0, 1)) for x in (bad, made))
    assert (after < 0.7 * before).all()


def test_what_is_no_photo_is_refused(photo):
    for bad, error in (
        (photo.astype(np.int32), "unsigned integers or floating-point, got int32"),
        (photo[None], r"\(H, W, C\) or \(H, W\), got"),
        (torch.zeros(2, 3, 8, 8), "one by one"),
        (torch.zeros(3, 8, 8, dtype=torch.uint8), "divide 8-bit values by 255"),
        (42, "got int"),
    ):
        with pytest.raises(ImageError, match=error):
            unfold.restore(bad, model="tv-deblur")
    with pytest.raises(ImageError, match="restores images of 3 channels, got 4: choose"):
        unfold.restore(np.concatenate([photo, photo[..., :1]], -1), model="deconv-small")
    with pytest.raises(unfold.UnfoldError, match="no trained weights of it are shipped"):
        unfold.restore(photo, model="jude")
    with pytest.raises(unfold.UnfoldError, match="no model named 'jude-smal'"):
        unfold.restore(photo, model="jude-smal")


def test_every_error_has_one_base():
    import importlib
    import pkgutil

    from unfold.errors import UnfoldError

    names = [m.name for m in pkgutil.walk_packages(unfold.__path__, "unfold.")]
    quick = [n for n in names if "__main__" not in n and ".app" not in n and "on_ray" not in n]
    found = {}
    for name in quick:
        module = importlib.import_module(name)
        for value in vars(module).values():
            own = isinstance(value, type) and issubclass(value, Exception)
            if own and value.__module__.startswith("unfold"):
                found[value.__qualname__] = value
    assert len(found) > 15
    assert [n for n, e in found.items() if not issubclass(e, UnfoldError)] == []


def test_one_door_makes_every_kind_of_component():
    assert unfold.create("priors", "resunet", widths=[4, 8]).requires_training
    assert unfold.create("priors", "resunet", 1, widths=[4, 8]) is not None
    assert unfold.create("terms", "equal", "a", "b").formula() == "a − b"
    assert unfold.create("models", "tv-deblur", K=2) is not None
    assert unfold.create("metrics", "psnr") is not None
    with pytest.raises(unfold.ComponentError, match="of models, not of priors"):
        unfold.create("priors", "tv-deblur", pretrained=True)
