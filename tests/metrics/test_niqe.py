"""NIQE: its parts against SciPy, Pillow and known distributions; its value where parameters are."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage, special, stats
from skimage import data

from unfold.metrics import NIQE, MetricError
from unfold.metrics.niqe import features, fit_aggd, halve, normalize
from unfold.metrics.pixels import luma

PARAMETERS = Path(os.environ.get("UNFOLD_DATA", "")) / "weights" / "iqa" / "niqe_pris_params.npz"
# Of the pictures as scikit-image ships them, with these parameters and the full-range luma, by
# pyiqa 0.1.16 (calculate_niqe in pyiqa/archs/niqe_arch.py, color_space "yiq", float32 input).
PYIQA = {"astronaut": 3.0624, "coffee": 4.0616, "chelsea": 2.5721}


def picture(name, size=None):
    array = getattr(data, name)()
    if size:
        array = array[: size[0], : size[1]]
    return torch.tensor(array).permute(2, 0, 1)[None].float() / 255


def levels(name, size):
    return (255 * luma(picture(name, size).double())).round()


@pytest.mark.skipif(
    not os.environ.get("UNFOLD_DATA") or not PARAMETERS.is_file(),
    reason="the pristine parameters are in the folder named by UNFOLD_DATA",
)
@pytest.mark.parametrize(("name", "value"), PYIQA.items())
def test_agrees_with_pyiqa(name, value):
    metric = NIQE(weights=PARAMETERS)
    assert metric(picture(name)).item() == pytest.approx(value, abs=0.01)
    assert metric(picture(name).double()).item() == pytest.approx(value, abs=0.01)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0, 3.5])
@pytest.mark.parametrize(("left", "right"), [(1.0, 1.0), (0.5, 2.0), (3.0, 0.7)])
def test_the_fit_recovers_what_the_samples_were_drawn_from(alpha, left, right):
    generator = np.random.default_rng(0)
    n = 400_000
    size = stats.gengamma(1 / alpha, alpha).rvs(n, random_state=generator)
    negative = generator.random(n) < left / (left + right)
    samples = np.where(negative, -left * size, right * size)
    fit = fit_aggd(torch.tensor(samples)[None])
    assert fit.alpha.item() == pytest.approx(alpha, rel=0.03)
    assert fit.left.item() == pytest.approx(left, rel=0.06)
    assert fit.right.item() == pytest.approx(right, rel=0.06)
    spread = samples.std() / n**0.5
    want = (right - left) * special.gamma(2 / alpha) / special.gamma(1 / alpha)
    assert want == pytest.approx(samples.mean(), abs=5 * spread)  # the formula is the mean
    assert fit.mean.item() == pytest.approx(want, rel=0.05, abs=5 * spread)


def test_the_fits_alpha_is_the_nearest_of_all():
    """Against trying every shape, in SciPy's gamma functions."""
    samples = np.random.default_rng(1).standard_t(4, (20, 500))
    grid = np.arange(0.2, 10.0005, 0.001)
    inside = special.gamma(2 / grid) ** 2 / (special.gamma(1 / grid) * special.gamma(3 / grid))
    for row, alpha in zip(samples, fit_aggd(torch.tensor(samples)).alpha, strict=True):
        ratio = np.sqrt((row[row < 0] ** 2).mean() / (row[row > 0] ** 2).mean())
        target = np.abs(row).mean() ** 2 / (row**2).mean()
        target *= (ratio**3 + 1) * (ratio + 1) / (ratio**2 + 1) ** 2
        assert alpha.item() == pytest.approx(grid[np.abs(inside - target).argmin()], abs=1e-9)


def test_a_flat_block_has_no_fit():
    assert fit_aggd(torch.zeros(1, 10)).alpha.isnan().all()


def test_normalization_is_scipys_filters():
    y = levels("coffee", (96, 192))
    offsets = np.arange(-3, 4)
    window = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * (7 / 6) ** 2))
    window /= window.sum()
    x = y[0, 0].numpy()
    mean = ndimage.correlate(x, window, mode="nearest")
    square = ndimage.correlate(x * x, window, mode="nearest")
    want = (x - mean) / (np.sqrt(np.abs(square - mean**2)) + 1)
    np.testing.assert_allclose(normalize(y)[0, 0].numpy(), want, atol=1e-9)


@settings(max_examples=15, deadline=None)
@given(rows=st.integers(2, 20), columns=st.integers(2, 20))
def test_halving_is_pillows_bicubic_inside_and_mirrored_at_the_border(rows, columns):
    size = (2 * rows + 8, 2 * columns + 8)
    x = np.random.default_rng(rows).random(size).astype(np.float32)
    half = halve(torch.tensor(x, dtype=torch.float64)[None, None])[0, 0].numpy()
    pillow = np.asarray(Image.fromarray(x).resize((size[1] // 2, size[0] // 2), Image.BICUBIC))
    assert half.shape == pillow.shape
    np.testing.assert_allclose(half[2:-2, 2:-2], pillow[2:-2, 2:-2], atol=1e-6)
    # Pillow leaves out what lies beyond the border: give it the mirrored picture instead.
    wide = np.pad(x, 8, mode="symmetric")
    pillow = np.asarray(
        Image.fromarray(wide).resize((wide.shape[1] // 2, wide.shape[0] // 2), Image.BICUBIC)
    )
    np.testing.assert_allclose(half, pillow[4:-4, 4:-4], atol=1e-6)


def test_features_of_a_block_do_not_depend_on_the_others_order():
    """Blocks are rows first; each has its fit of values and of products, at two scales."""
    y = levels("astronaut", (200, 300))
    found = features(y)
    assert found.shape == (1, 2 * 3, 36)
    block = normalize(y[..., :192, :288])[0, 0, 96:192, 96:192]  # second row, second column
    fit = fit_aggd(block.flatten())
    torch.testing.assert_close(found[0, 4, 0], fit.alpha)
    torch.testing.assert_close(found[0, 4, 1], (fit.left + fit.right) / 2)
    down = fit_aggd((block * torch.from_numpy(np.roll(block.numpy(), 1, 0))).flatten())
    torch.testing.assert_close(found[0, 4, 6:10], torch.stack((down.alpha, down.mean, *down[1:])))


@pytest.fixture
def parameters(tmp_path):
    """A mean and covariance made here: those of the features of a photo."""
    found = features(levels("astronaut", (512, 512)))[0].numpy()
    path = tmp_path / "pristine.npz"
    np.savez(path, mu_pris_param=found.mean(0)[None], cov_pris_param=np.cov(found.T))
    return path


def test_distance_is_that_of_the_formula(parameters):
    metric = NIQE(weights=parameters)
    assert metric(picture("astronaut")).item() == pytest.approx(0, abs=1e-5)
    made = np.load(parameters)
    samples = features(levels("coffee", (400, 600)))[0].numpy()
    away = samples.mean(0) - made["mu_pris_param"][0]
    pooled = (made["cov_pris_param"] + np.cov(samples.T)) / 2
    want = np.sqrt(away @ np.linalg.pinv(pooled) @ away)
    assert metric(picture("coffee")).item() == pytest.approx(want, rel=0.02)


def test_what_has_too_few_blocks_is_refused(parameters):
    metric = NIQE(weights=parameters)
    with pytest.raises(ValueError, match=r"two blocks of 96×96 pixels, got 191×100 pixels"):
        metric(torch.rand(1, 3, 100, 191))
    with pytest.raises(ValueError, match="two blocks that are not flat"):
        metric(torch.full((1, 3, 200, 200), 0.5))


def test_without_parameters_it_says_where_they_are(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(MetricError, match=r"NIQE needs niqe_pris_params\.npz.*https://raw.*put it"):
        NIQE()
    bad = tmp_path / "bad.npz"
    bad.write_text("hello")
    with pytest.raises(MetricError, match=r"bad\.npz is no \.npz file with mu_pris_param"):
        NIQE(weights=bad)
    np.savez(bad, mu_pris_param=np.zeros(3), cov_pris_param=np.zeros((3, 3)))
    with pytest.raises(MetricError, match=r"is not for 36 features: mean \(3,\)"):
        NIQE(weights=bad)
