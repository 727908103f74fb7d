"""deconv-small: its updates against dense solves, its penalties, what it refuses."""

import math

import pytest
import torch

import unfold
from unfold.core import State
from unfold.degradation import blur, motion_kernel
from unfold.estimators import estimate_noise
from unfold.models.parts import with_hyper_parameters

TINY = {"K": 3, "prior": {"kind": "resunet", "widths": [4, 8]}}


def circulant(kernel, size):
    """The matrix of circular convolution, column by column, without an FFT."""
    (h, w), (rows, columns) = kernel.shape, size
    dense = torch.zeros(rows * columns, rows * columns, dtype=torch.float64)
    for y in range(rows):
        for x in range(columns):
            for i in range(h):
                for j in range(w):
                    to = (y + i - h // 2) % rows * columns + (x + j - w // 2) % columns
                    dense[to, y * columns + x] += kernel[i, j]
    return dense


@pytest.mark.parametrize("size", [(5, 6), (7, 4)])
@pytest.mark.parametrize("k", [0, 1])
def test_a_round_is_a_dense_solve_and_a_prior(size, k):
    torch.manual_seed(0)
    options = {**TINY, "K": 2, "border": "reflected"}  # a stage alone, without Impute
    model = unfold.create_model("deconv-small", **options).double()
    stage = model.stages.stages[k]
    x, z = torch.rand(2, 1, 3, *size, dtype=torch.float64)
    kernel = torch.rand(1, 1, 3, 2, dtype=torch.float64)
    kernel /= kernel.sum()
    sigma = torch.full((1, 1, 1, 1), 0.02, dtype=torch.float64)
    start = State({"X": x, "I": x, "Z": z, "H": kernel, "noise": sigma})
    made = stage(State(with_hyper_parameters(model.hyper, start)))

    s = 0.19 if k == 0 else 0.02  # the prior's deviation in the first round and in the last
    w = 0.23 * 0.02**2 / s**2
    h = circulant(kernel[0, 0], size)
    normal = h.T @ h + w * torch.eye(len(h))
    dense = (x.flatten(2) @ h + w * z.flatten(2)) @ torch.linalg.inv(normal)
    torch.testing.assert_close(made["I"], dense.view_as(x), atol=1e-6, rtol=1e-6)
    prior = stage.lagrangian.priors["Z"]
    torch.testing.assert_close(made["Z"], prior.prox(made["I"], torch.full_like(sigma, s**2)))


@pytest.mark.parametrize("name", ["deconv-small", "plug-and-play"])
@pytest.mark.parametrize("k", [0, 1, 4])
def test_penalties_begin_as_those_of_plug_and_play(name, k):
    model = unfold.create_model(name, **{**TINY, "K": 5})
    place = k / 4
    for sigma in (0.002, 0.03):
        start = State({"noise": torch.full((2, 1, 1, 1), sigma)})
        found = model.stages.stages[k].penalties(with_hyper_parameters(model.hyper, start))
        s = math.exp((1 - place) * math.log(0.19) + place * math.log(sigma))
        want = 0.23 * sigma**2 / s**2
        torch.testing.assert_close(found["w"], torch.full((2, 1, 1, 1), want))
        torch.testing.assert_close(found["z"] / found["w"], torch.full((2, 1, 1, 1), s**2))


def test_it_needs_a_kernel():
    model = unfold.create_model("deconv-small", **TINY)
    assert model.needs_kernel
    with pytest.raises(ValueError, match=r"needs the blur's kernel: give kernel=\.\.\., or"):
        model(torch.rand(1, 3, 16, 16))


def test_noise_is_estimated_unless_it_is_given():
    photo, point = torch.rand(2, 3, 24, 24), torch.ones(1, 1, 1, 1)
    photo[1] *= 0.1
    estimated = unfold.create_model("deconv-small", **TINY)(photo, kernel=point).parts["noise"]
    assert torch.equal(estimated, estimate_noise(photo))
    assert estimated[1] < 0.5 * estimated[0]
    given = unfold.create_model("deconv-small", noise=0.03, **TINY)(photo, kernel=point)
    assert torch.equal(given.parts["noise"], torch.full((2, 1, 1, 1), 0.03))


def test_each_photo_has_its_kernel():
    torch.manual_seed(0)
    model = unfold.create_model("deconv-small", **TINY).eval()
    photos, kernels = torch.rand(2, 3, 24, 20), torch.rand(2, 1, 5, 3)
    kernels /= kernels.sum((2, 3), keepdim=True)
    both = model(photos, kernel=kernels).image
    for i in range(2):
        alone = model(photos[i : i + 1], kernel=kernels[i : i + 1]).image
        torch.testing.assert_close(both[i : i + 1], alone, atol=1e-5, rtol=0)


def test_untrained_it_deconvolves():
    """With priors at the identity the rounds are Tikhonov's: a faint blur is undone."""
    astronaut = pytest.importorskip("skimage.data").astronaut()
    sharp = torch.from_numpy(astronaut).float().permute(2, 0, 1)[None, :, 60:188, 160:288] / 255
    kernel = motion_kernel(9, generator=torch.Generator().manual_seed(1))
    blurred = blur(sharp, kernel)
    rng = torch.Generator().manual_seed(2)
    blurred = blurred + 0.002 * torch.randn(blurred.shape, generator=rng)
    restored = unfold.create_model("deconv-small").eval()(blurred, kernel=kernel).image
    errors = [(image - sharp).square().mean() for image in (blurred, restored)]
    assert errors[1] < 0.5 * errors[0]


def test_a_kernel_may_lie_in_a_wider_array_of_zeros():
    """What surrounds the kernel is no blur, and does not change what the network sees."""
    torch.manual_seed(0)
    model = unfold.create_model("deconv-small", pretrained=True).eval()
    photo, kernel = torch.rand(1, 3, 40, 36), torch.rand(1, 1, 5, 7)
    kernel /= kernel.sum()
    wider = torch.nn.functional.pad(kernel, (17, 17, 18, 18))
    with torch.inference_mode():
        narrow, wide = (model(photo, kernel=k).image for k in (kernel, wider))
    torch.testing.assert_close(narrow, wide, atol=1e-4, rtol=0)
