"""A photo comes back in the form in which it is given, as the command restores it."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms
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


def _pil(mode, size=(6, 4)):
    """A picture with other values in every pixel and channel."""
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 4), dtype=np.uint8)
    if mode == "I;16":
        return Image.fromarray(noise[..., 0].astype(np.uint16) * 251)
    return Image.fromarray(noise, "RGBA").convert(mode)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I;16"])
def test_pil_images_keep_their_mode_and_values(mode):
    image = _pil(mode)
    same = unfold.restore(image, model="identity")
    assert same.mode == mode
    np.testing.assert_array_equal(np.asarray(same), np.asarray(image))


@pytest.mark.parametrize("mode", ["P", "1", "CMYK", "YCbCr", "HSV"])
def test_pil_images_of_other_modes_become_rgb(mode):
    image = _pil("RGB").convert(mode)
    same = unfold.restore(image, model="identity")
    assert same.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(same), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize(("mode", "with_alpha"), [("P", "RGBA"), ("L", "LA")])
def test_a_transparent_color_becomes_alpha(mode, with_alpha):
    image = _pil("RGB").convert(mode)
    image.info["transparency"] = int(np.asarray(image)[0, 0])
    same = unfold.restore(image, model="identity")
    assert same.mode == with_alpha
    assert np.asarray(same)[0, 0, -1] == 0
    assert np.asarray(same)[..., -1].max() == 255


def test_pil_images_of_16_bits_in_another_byte_order():
    data = np.arange(24).reshape(4, 6) * 2500
    image = Image.frombytes("I;16B", (6, 4), data.astype(">u2").tobytes())
    same = unfold.restore(image, model="identity")
    assert same.mode == "I;16"
    np.testing.assert_array_equal(np.asarray(same), data)


def test_only_the_colors_are_restored():
    """Alpha reaches neither the model nor is it changed."""
    image, model = _pil("RGBA", (32, 32)), unfold.create_model("tv-deblur")
    restored = np.asarray(unfold.restore(image, model=model))
    np.testing.assert_array_equal(restored[..., 3], np.asarray(image)[..., 3])
    colors = unfold.restore(np.asarray(image)[..., :3].copy(), model=model)
    np.testing.assert_array_equal(restored[..., :3], colors)


@pytest.mark.parametrize(
    ("photo", "mode"),
    [
        ({"gray": True, "bits": 16}, "I;16"),
        ({"gray": True, "bits": 8}, "L"),
        ({"gray": True, "bits": 16, "alpha": True}, "LA"),
        ({"bits": 16}, "RGB"),
        ({"bits": 8, "alpha": True}, "RGBA"),
    ],
)
def test_files_keep_what_pil_can_hold(photo, mode, tmp_path):
    image = torch.rand(1 if photo.get("gray") else 3, 4, 6).expand(3, -1, -1)
    alpha = torch.rand(1, 4, 6) if photo.pop("alpha", None) else None
    path = tmp_path / "photo.png"
    write(path, Photo(image.contiguous(), alpha=alpha, **photo))
    restored = unfold.restore(path, model="identity")
    assert restored.mode == mode
    top = 65535 if mode == "I;16" else 255
    got = np.asarray(restored).reshape(4, 6, -1) / top
    want = image[: 1 if photo.get("gray") else 3]
    want = want if alpha is None else torch.cat((want, alpha))
    np.testing.assert_allclose(got, want.permute(1, 2, 0), atol=0.51 / top + 0.51 / 65535)


def test_the_color_profile_is_kept(tmp_path):
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    write(tmp_path / "photo.png", Photo(torch.rand(3, 4, 6), icc=icc))
    image = Image.open(tmp_path / "photo.png")
    for form in (tmp_path / "photo.png", image):
        assert unfold.restore(form, model="identity").info["icc_profile"] == icc
    gray = image.convert("L")  # to which the profile does not apply
    gray.info["icc_profile"] = icc
    assert "icc_profile" not in unfold.restore(gray, model="identity").info


def test_a_kernel_in_every_form(photo, tmp_path):
    kernel = np.outer(np.hanning(7)[1:-1], np.hanning(9)[1:-1])
    kernel /= kernel.sum()
    np.save(tmp_path / "kernel.npy", kernel)
    tensor = torch.from_numpy(kernel).float()[None, None]
    want = unfold.restore(photo, model="tv-deblur", kernel=tensor)
    assert (want != unfold.restore(photo, model="tv-deblur")).any()
    forms = (kernel, kernel[None, None], tensor[0, 0], tmp_path / "kernel.npy",
             str(tmp_path / "kernel.npy"))  # fmt: skip
    for form in forms:
        np.testing.assert_array_equal(unfold.restore(photo, model="tv-deblur", kernel=form), want)


GRAY = np.full((8, 8), 0.5)


@pytest.mark.parametrize(
    ("image", "error"),
    [
        (GRAY.astype(np.int64), r"uint8, uint16 or floating-point.*int64.*astype"),
        (GRAY.astype(bool), r"got bool.*astype"),
        (GRAY.astype(np.uint32), r"got uint32.*astype"),
        (GRAY.astype(complex), "got complex128"),
        (np.zeros((0, 8, 3)), r"none of them 0, got \(0, 8, 3\): restore"),
        (np.zeros((1, 8, 8, 3)), r"\(H, W, C\) or \(H, W\).*got.*one by one"),
        (torch.zeros(2, 3, 8, 8), "one by one"),
        (torch.zeros(3, 0, 8), "none of them 0"),
        (torch.zeros(3, 8, 8, dtype=torch.uint8), "divide 8-bit values by 255"),
        (42, "got int: convert"),
        ([[0.5]], "got list: convert"),
        (Image.new("F", (8, 8)), r"mode F.*numpy.asarray\(image\), scaled to \[0, 1\]"),
        (Image.new("I", (8, 8)), "mode I .*scaled"),
        (Image.new("RGB", (0, 8)), "none of them 0"),
    ],
)
def test_what_is_no_photo_is_refused(image, error):
    with pytest.raises(ImageError, match=error):
        unfold.restore(image, model="identity")


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"kernel": [[1.0]]}, "a kernel must be a tensor or an array .*got list: convert"),
        ({"kernel": np.array([["a"]])}, "array of numbers.*got <U1"),
        ({"kernel": torch.ones(1, 1, dtype=torch.complex64)}, "got torch.complex64"),
        ({"kernel": np.ones((3, 3))}, "sum to 1, got.*divide it by its sum"),
        ({"kernel": np.ones((2, 3, 3)) / 9}, r"shape \(1, 1, height, width\), got \(2, 3, 3\)"),
        ({"kernel": "no.npy"}, "no.npy: cannot be read"),
        ({"device": "cudaa"}, "^device 'cudaa' cannot be used .*give one of auto, cpu"),
        ({"device": "meta"}, "device 'meta' cannot be used"),
        ({"device": None}, "device 'None' cannot be used"),
        ({"memory": "2GBs"}, "'2GBs' is not an amount of memory; write it as 2GiB"),
        ({"memory": -1}, "-1 is not an amount"),
        ({"memory": 0}, "0 is not an amount"),
        ({"memory": 0.5}, "0.5 is not an amount"),
        ({"memory": True}, "True is not an amount"),
        ({"model": 3}, "a model must be a name, .*got int"),
        ({"model": torch.nn.Identity()}, "a model must be a name, .*got Identity"),
        ({"model": "jude"}, "no trained weights of it are shipped"),
        ({"model": "jude-smal"}, "no model named 'jude-smal'"),
    ],
)
def test_bad_options_are_refused(options, error):
    with pytest.raises(unfold.UnfoldError, match=error):
        unfold.restore(GRAY, **{"model": "tv-deblur", **options})


def test_memory_as_text(photo, restored):
    made = unfold.restore(photo, model="tv-deblur", memory="8GiB")
    np.testing.assert_array_equal(made, restored)


def test_a_model_of_colors_refuses_four_channels(photo):
    with pytest.raises(ImageError, match="restores images of 3 channels, got 4: choose"):
        unfold.restore(np.concatenate([photo, photo[..., :1]], -1), model="deconv-small")


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
