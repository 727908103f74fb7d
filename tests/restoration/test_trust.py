"""Trust: it equals the dense Jacobian of linear restorations, and reaches files and pages."""

import pytest
import torch
from skimage.data import astronaut

import unfold
from unfold import UnfoldError
from unfold.cli import main
from unfold.degradation import blur
from unfold.imaging import Photo, read, write
from unfold.restoration import TiledInference, with_trust
from unfold.restoration.trust import BAND, picture, probed
from unfold.restorer import Trust

KERNEL = torch.tensor([[0.05, 0.15, 0.3, 0.3, 0.15, 0.05]])[None, None]
RIDGE = {"prior": "ridge", "K": 4, "border": "reflected"}


def photo(size, sigma=0.02):
    torch.manual_seed(0)
    sharp = torch.from_numpy(astronaut()[: size[0], 150 : 150 + size[1]].copy())
    sharp = 0.1 + 0.8 * sharp.permute(2, 0, 1)[None] / 255
    return sharp, blur(sharp, KERNEL) + sigma * torch.randn(sharp.shape)


@pytest.mark.parametrize("kernel", [torch.ones(1, 1, 1, 1), KERNEL])
def test_a_linear_restoration(kernel):
    # The image is J y: its freedom is the trace of H J, its variance that of noise through J.
    torch.manual_seed(0)
    model = unfold.create_model("deconv-small", **RIDGE, noise=0.05, strength=3.0).eval()
    y = 0.4 + 0.2 * torch.rand(1, 1, 14, 18)
    measurements = model.measure(y, kernel=kernel)

    def linear(photo):
        return model(photo, kernel=kernel, measurements=measurements).image

    J = torch.autograd.functional.jacobian(linear, y).view(y.numel(), y.numel())
    H = blur(torch.eye(y.numel()).view(-1, 1, 14, 18), kernel).reshape(y.numel(), y.numel()).T
    noise = torch.full((1, 1, 1, 1), 0.05)
    made = [probed(model, y, kernel, measurements, noise, seed=i).trust for i in range(12)]
    freedom = torch.stack([trust.measured.mean() for trust in made]).mean()
    torch.testing.assert_close(freedom, (H @ J).trace() / y.numel(), rtol=0.12, atol=0)
    scale = model.error_scale[0] or 1
    variance = torch.stack([(trust.deviation / scale).square().mean() for trust in made]).mean()
    want = 0.05**2 * J.square().sum(1).mean() + 1e-6
    torch.testing.assert_close(variance, want, rtol=0.12, atol=0)


def test_bars_hold_most_values_and_the_rest_of_the_photo_is_untouched():
    sharp, y = photo((112, 128))
    for name in ("tv-deblur", "deconv-small"):
        model = unfold.create_model(name, pretrained=name == "deconv-small").eval()
        made = with_trust(model, y, kernel=KERNEL)
        with torch.inference_mode():
            assert torch.equal(made.image, model(y, kernel=KERNEL).image)
        trust = made.trust
        assert trust.calibrated
        error = made.image - sharp
        assert (error.abs() <= BAND * trust.deviation).float().mean() > 0.8
        assert trust.deviation.mean() < 3 * error.square().mean().sqrt()
        assert 0 <= trust.measured.min() < trust.measured.max() <= 1
        assert (trust.reblur > 0.5).all()
        assert 0 < trust.blocks["I"].item() < 1


def test_the_stronger_the_prior_the_less_is_measured():
    _, y = photo((64, 64))
    shares = [
        with_trust(unfold.create_model("tv-deblur", strength=s).eval(), y, kernel=KERNEL)
        for s in (0.01, 1.0, 100.0)
    ]
    low, middle, high = (made.trust.measured.mean().item() for made in shares)
    assert low > middle > high
    assert high < 0.05


def test_a_photo_that_is_given_back_is_measured():
    sharp, _ = photo((64, 64))
    model = unfold.create_model("deblur", pretrained=True, kernel_estimator="point", noise=0.004)
    made = with_trust(model, sharp)
    assert torch.equal(made.image, sharp)
    assert (made.trust.measured == 1).all()


def test_a_wrong_kernel_fails_the_reblur_test():
    _, y = photo((128, 128), sigma=0.004)
    model = unfold.create_model("tv-deblur").eval()
    wrong = with_trust(model, y, kernel=torch.ones(1, 1, 11, 11) / 121).trust
    assert wrong.reblur.mean() < 0.2


def test_tiles_and_batches_agree_with_the_whole():
    _, y = photo((160, 288))
    model = unfold.create_model("tv-deblur", K=4).eval()
    whole = TiledInference(model, kernel=KERNEL, trust=True)(y[0]).trust
    tiled = TiledInference(model, kernel=KERNEL, trust=True, tile=160 * 224)(y[0])
    assert tiled.tilings
    pair = TiledInference(model, kernel=KERNEL, trust=True).restore_batch([y[0], y[0].flip(-1)])
    for trust in (tiled.trust, pair[0].trust):
        assert trust.measured.shape == (1, 1, 160, 288)
        # (Other noise: they agree in the mean.)
        torch.testing.assert_close(trust.measured.mean(), whole.measured.mean(), rtol=0.1, atol=0)
        torch.testing.assert_close(trust.deviation.mean(), whole.deviation.mean(), rtol=0.1, atol=0)
        torch.testing.assert_close(trust.blocks["I"], whole.blocks["I"], rtol=0.01, atol=0)
        assert (trust.reblur - whole.reblur).abs().max() < 0.05
    assert not torch.equal(pair[0].trust.measured, pair[1].trust.measured)


@pytest.mark.parametrize("name", ["zero-dce", "lednet-small", "zero-dce -> tv-deblur"])
def test_models_without_a_declaration_say_so(name):
    with pytest.warns(UserWarning, match="requires training"):
        model = unfold.create_model(name).eval()
    for ask in (lambda: with_trust(model, torch.rand(1, 3, 8, 8)),
                lambda: TiledInference(model, trust=True)):  # fmt: skip
        with pytest.raises(UnfoldError, match="has no Lagrangian.*choose an unrolled model"):
            ask()


def test_picture():
    half = torch.full((1, 1, 2, 2), 0.25)
    trust = Trust(half, half / 25, half, {}, True)
    red, green, blue = picture(trust)
    torch.testing.assert_close(red, torch.full((2, 2), BAND * 0.1))
    assert (green == 0.5).all()
    assert (blue == 0.75).all()
    assert not picture(Trust(half, half, None, {}, True))[2].any()


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "shaken.png"
    write(path, Photo(photo((64, 80))[1][0].clamp(0, 1)))
    return path


MODEL = ["--model", "tv-deblur", "--set", "K=2"]


def test_command(file, tmp_path, capsys):
    out, target, kernel = (tmp_path / name for name in ("out.png", "trust.png", "k.txt"))
    kernel.write_text("0.2 0.3 0.5")
    model = [*MODEL, "--kernel", str(kernel)]
    arguments = ["restore", str(file), "-o", str(out), *model, "--trust"]
    assert main([*arguments, str(target)]) == 0
    assert "% measured, error bars (90 %) ±" in capsys.readouterr().err
    picture = read(target).image
    assert picture.shape == (3, 64, 80)
    assert picture[1].mean() > 0.1
    plain = tmp_path / "plain.png"
    assert main([*arguments[:3], str(plain), *model]) == 0
    assert plain.read_bytes() == out.read_bytes()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (["--trust", "out.png"], "is also the photo or its restoration; choose another name"),
        (["--trust", "shaken.png"], "is also the photo or its restoration; choose another name"),
        (["--trust", "map.npy"], "must be the name of a picture"),
        (["--trust", "map.png", "-o", "folder"], "restore photos one by one, with a file"),
        (["--trust", "map.png", "--model", "zero-dce"], "zero-dce: ZeroDCE has no Lagrangian"),
    ],
)
def test_what_the_command_refuses(change, told, file, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = file.read_bytes()
    assert main(["restore", "shaken.png", "-o", "out.png", *MODEL[:2], *change]) == 2
    assert told in capsys.readouterr().err
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["shaken.png"]


def test_a_picture_that_cannot_be_written(file, tmp_path, capsys):
    (tmp_path / "nodir").write_text("a file")
    out = tmp_path / "out.png"
    trust = str(tmp_path / "nodir/trust.png")
    assert main(["restore", str(file), "-o", str(out), *MODEL, "--trust", trust]) == 1
    assert "cannot be made" in capsys.readouterr().err
    assert out.exists()
