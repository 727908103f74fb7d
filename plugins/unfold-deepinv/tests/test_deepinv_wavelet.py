import pytest
import torch

pytest.importorskip("deepinv")

from deepinv.models import WaveletDenoiser
from unfold_deepinv import DeepInvWavelet

from unfold.testing import checks


@pytest.mark.parametrize("check", checks("priors", DeepInvWavelet, name="deepinv-wavelet"), ids=str)
def test_conformance(check):
    check()


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def image(*size):
    return torch.rand(2, 3, *size, dtype=torch.float64)


STEPS = torch.tensor([0.05, 0.2], dtype=torch.float64).view(2, 1, 1, 1)


def haar(n):
    """One level of the orthonormal Haar transform as a matrix, averages first."""
    rows = torch.zeros(n, n, dtype=torch.float64)
    for i in range(n // 2):
        rows[i, 2 * i] = rows[i, 2 * i + 1] = 0.5**0.5
        rows[n // 2 + i, 2 * i], rows[n // 2 + i, 2 * i + 1] = 0.5**0.5, -(0.5**0.5)
    return rows


@pytest.mark.parametrize("iterations", [1, 20])
def test_haar_soft_thresholds_the_details(iterations):
    v = image(8, 12)
    left, right = haar(8), haar(12)
    coefficients = left @ v @ right.T
    details = torch.ones(8, 12, dtype=torch.bool)
    details[:4, :6] = False
    shrunk = coefficients.sign() * (coefficients.abs() - STEPS).clamp_min(0)
    expected = left.T @ torch.where(details, shrunk, coefficients) @ right
    prior = DeepInvWavelet(wavelet="haar", level=1, iterations=iterations)
    torch.testing.assert_close(prior.prox(v, STEPS), expected)
    value = (coefficients.abs() * details).sum((1, 2, 3))
    torch.testing.assert_close(prior.value(v), value)


@pytest.mark.parametrize(
    ("wavelet", "size"), [("haar", (16, 24)), ("haar", (9, 13)), ("db2", (9, 13)), ("db8", (8, 12))]
)
def test_optimality(wavelet, size):
    """Fermat's rule: (v − x)/step is a subgradient of g at x, found by way of the dual.

    No step of size 1e-3 in any of many directions lowers the objective, and the duality gap,
    g(x) − ⟨x, (v − x)/step⟩, which is zero at the minimizer only, is small.
    """
    v = image(*size)
    prior = DeepInvWavelet(wavelet=wavelet, iterations=300)
    x = prior.prox(v, STEPS)
    gap = prior.value(x) - (x * (v - x) / STEPS).sum((1, 2, 3))
    assert (gap.abs() <= 1e-4 * prior.value(x)).all()

    def objective(x):
        return prior.value(x) + ((x - v) ** 2 / (2 * STEPS)).sum((1, 2, 3))

    best = objective(x)
    for _ in range(30):
        assert (objective(x + 1e-3 * torch.randn_like(x)) > best).all()


@pytest.mark.parametrize(("wavelet", "size"), [("haar", (9, 13)), ("db4", (16, 16))])
def test_adjoint(wavelet, size):
    prior, x = DeepInvWavelet(wavelet=wavelet), image(*size)
    bands = [torch.randn_like(d) for d in prior._details(x)]
    forward = sum((d * b).sum() for d, b in zip(prior._details(x), bands, strict=True))
    torch.testing.assert_close(forward, (x * prior._adjoint(bands, x)).sum())


def test_one_iteration_is_deepinvs_denoiser():
    v = image(16, 16)
    expected = WaveletDenoiser(wv="db4")(v, ths=STEPS.flatten())
    torch.testing.assert_close(DeepInvWavelet(wavelet="db4", iterations=1).prox(v, STEPS), expected)


def test_each_image_has_its_own_step():
    v, prior = image(9, 13), DeepInvWavelet(iterations=5)
    both = prior.prox(v, STEPS)
    for i in range(2):
        alone = prior.prox(v[i : i + 1], STEPS[i : i + 1])
        torch.testing.assert_close(alone, both[i : i + 1])


def test_a_map_is_refused():
    with pytest.raises(ValueError, match=r"takes one step .* got a map, \(1, 3, 1, 1\)"):
        DeepInvWavelet().prox(image(8, 8), torch.rand(1, 3, 1, 1, dtype=torch.float64))


def test_only_orthogonal_wavelets():
    with pytest.raises(ValueError, match=r"needs an orthogonal wavelet, got 'bior2\.2'"):
        DeepInvWavelet(wavelet="bior2.2")
