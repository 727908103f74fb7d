"""Models of unfold in the programs of DeepInverse."""

import pytest
import torch

pytest.importorskip("deepinv")

import deepinv
from deepinv.physics import Blur, BlurFFT, Denoising, GaussianNoise, Inpainting, PoissonNoise
from unfold_deepinv import UnfoldReconstructor

import unfold
from unfold.errors import InputError
from unfold.restorer import Restoration, Restorer


def kernel(h=7, w=4):
    k = torch.rand(1, 1, h, w, generator=torch.Generator().manual_seed(3)) ** 4
    return k / k.sum()


@pytest.fixture
def photo():
    skimage = pytest.importorskip("skimage.data")
    photo = torch.as_tensor(skimage.astronaut()).permute(2, 0, 1)[None] / 255
    return photo[..., 20:148, 160:284]


@pytest.fixture(scope="module")
def small():
    return UnfoldReconstructor(unfold.create_model("deconv-small", pretrained=True))


def psnr(x, reference, rim=0):
    inside = slice(rim, -rim or None)
    return -10 * (x - reference)[..., inside, inside].square().mean().log10().item()


class Told(Restorer):
    """Writes down what it is told, and returns the photo."""

    requires_training = False

    def __init__(self, channels=3):
        super().__init__()
        self.channels = channels

    def measure(self, image, *, kernel=None):
        return {"noise": image.new_full((len(image), 1, 1, 1), 0.5)}

    def forward(self, image, *, kernel=None, history=None, measurements=None):
        self.told = image, kernel, measurements
        return Restoration(image)

    def explain(self):
        return "image = input"


@torch.no_grad()
@pytest.mark.parametrize("padding", ["circular", "FFT", "reflect", "replicate", "valid"])
def test_a_photo_that_a_physics_of_theirs_blurred(padding, photo, small):
    torch.manual_seed(0)
    noise = GaussianNoise(0.01)
    if padding == "FFT":
        physics = BlurFFT(tuple(photo.shape[1:]), kernel(), noise_model=noise)
    else:
        physics = Blur(kernel(), padding=padding, noise_model=noise)
    y = physics(photo)
    restored = small(y, physics)
    assert restored.shape == photo.shape
    inside = photo[..., 3:-3, 1:-2] if padding == "valid" else photo
    blurred = psnr(y, inside, rim=8)
    assert psnr(restored, photo, rim=8) > blurred + 5
    # A kernel that is turned or lies one pixel off loses most of that.
    turned = Blur(kernel().flip(-1, -2), padding=physics.padding) if padding != "FFT" else None
    if turned is not None:
        assert psnr(small(y, turned), photo, rim=8) < psnr(restored, photo, rim=8) - 5
    if padding in ("circular", "FFT"):  # where borders are no guess
        assert psnr(restored, photo) > psnr(small.model(y, kernel=kernel()).image, photo) + 0.2


@torch.no_grad()
def test_what_the_physics_knows_is_told():
    model = Told()
    reconstruct, y = UnfoldReconstructor(model), torch.rand(2, 3, 20, 24)
    sigma = torch.tensor([0.02, 0.07])
    physics = Blur(kernel(), padding="reflect", noise_model=GaussianNoise(sigma))
    torch.testing.assert_close(reconstruct(y, physics), y)
    assert torch.equal(model.told[1], kernel())
    torch.testing.assert_close(model.told[2]["noise"].flatten(), sigma)
    reconstruct(y, BlurFFT((3, 20, 24), kernel()))  # whose filter is repeated for each channel
    assert torch.equal(model.told[1], kernel())
    reconstruct(y, Denoising(GaussianNoise(0.1)))
    assert torch.equal(model.told[1], torch.ones(1, 1, 1, 1))
    torch.testing.assert_close(model.told[2]["noise"].flatten(), torch.tensor([0.1, 0.1]))
    for physics in (None, Denoising(PoissonNoise()), Denoising(GaussianNoise(0.0))):
        reconstruct(y, physics)
        assert model.told[2]["noise"].flatten().tolist() == [0.5, 0.5]  # as it was measured
    reconstruct(y)
    assert model.told[1] is None


@torch.no_grad()
def test_borders():
    model = Told()
    reconstruct, y = UnfoldReconstructor(model), torch.rand(1, 3, 40, 40)
    reconstruct(y, Blur(kernel(), padding="circular"))
    continued = model.told[0]
    torch.testing.assert_close(continued[..., 23:63, 20:60], y)
    torch.testing.assert_close(continued[..., :23, 20:60], y[..., -23:, :])
    # Of a valid convolution with a shifted point, the photo comes to where the image was.
    for h, w in ((7, 4), (4, 7)):
        point = torch.zeros(1, 1, h, w)
        point[..., h // 2, w // 2] = 1
        physics = Blur(point, padding="valid")
        restored = reconstruct(physics(y), physics)
        assert restored.shape == y.shape
        torch.testing.assert_close(restored[..., 4:-4, 4:-4], y[..., 4:-4, 4:-4])


@torch.no_grad()
def test_gray_images(photo, small):
    torch.manual_seed(0)
    gray, physics = photo.mean(1, keepdim=True), Blur(kernel(), padding="reflect")
    restored = small(physics(gray), physics)
    assert restored.shape == gray.shape
    assert psnr(restored, gray) > psnr(physics(gray), gray) + 5
    assert UnfoldReconstructor(Told(None))(gray).shape == gray.shape


def test_deepinverse_evaluates_and_trains_it(photo, small):
    torch.manual_seed(0)
    physics = Blur(kernel(), padding="reflect", noise_model=GaussianNoise(0.01))
    pairs = torch.utils.data.TensorDataset(photo, physics(photo))
    result = deepinv.test(
        small, torch.utils.data.DataLoader(pairs), physics, metrics=[deepinv.metric.PSNR()],
        device="cpu", verbose=False,
    )  # fmt: skip
    with torch.no_grad():
        want = psnr(small(pairs[0][1][None], physics), photo)
    assert result["PSNR"] == pytest.approx(want, abs=0.01)
    assert isinstance(small, deepinv.models.Reconstructor)
    small(torch.rand(1, 3, 16, 16), physics).sum().backward()
    assert any(p.grad is not None and p.grad.abs().max() > 0 for p in small.parameters())


@pytest.mark.parametrize(
    ("physics", "message"),
    [
        (Inpainting((3, 8, 8), mask=0.5), "got Inpainting: .*linear_physics"),
        (Blur(), r"with a filter .*got None"),
        (Blur(torch.rand(1, 3, 3, 3)), r"got \(1, 3, 3, 3\), whose channels differ"),
        (Blur(torch.rand(1, 1, 3, 3, 3)), r"got \(1, 1, 3, 3, 3\)"),
        (Blur(torch.ones(1, 1, 3, 3)), "must sum to 1"),
    ],
)
def test_refused(physics, message, small):
    with pytest.raises(InputError, match=message):
        small(torch.rand(1, 3, 24, 24), physics)
