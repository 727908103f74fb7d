"""Every unrolled model: one contract. And what is particular to each."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.data import astronaut, chelsea, coffee
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from systems import random_kernel, random_state

import unfold
from unfold.core import History
from unfold.degradation import blur, motion_kernel
from unfold.estimators import estimate_noise
from unfold.models.assembly import prepare
from unfold.models.jude import NAMES, Impute, jude_objective
from unfold.registry import scan
from unfold.terms import Convolution

BUILT_IN = [c for c in scan().components if c.distribution == "unfold-imaging"]
# (Models that unroll nothing of their own, such as identity, run the conformance kit alone.)
MODELS = [c.name for c in BUILT_IN if c.group == "models" and c.name.startswith(("jude", "era"))]
BLIND = ("jude-small", "jude-classic")
QUICK = [name for name in MODELS if name not in ("jude", "era")]


@pytest.fixture(scope="module")
def models():
    torch.manual_seed(0)
    blind = {"kernel_estimator": {"kind": "blind", "size": 9}}  # (of few levels)
    return {
        name: unfold.create_model(name, **(blind if name in BLIND else {})).eval()
        for name in MODELS
    }


@pytest.mark.parametrize("name", MODELS)
def test_contract(models, name):
    model = models[name]
    image = 0.5 * torch.rand(2, 3, 23, 30)
    before = image.clone()
    with torch.no_grad():
        restoration = model(image)
        again = model(image)
        alone = model(image[1:])
        small = model(image[:, :, :1, :1])
    assert torch.equal(image, before), "the input is not changed"
    assert restoration.image.shape == image.shape
    assert restoration.image.min() >= 0
    assert restoration.image.max() <= 1
    assert torch.equal(restoration.image, again.image)
    torch.testing.assert_close(restoration.image[1:], alone.image, rtol=0, atol=1e-4)
    assert small.image.shape == (2, 3, 1, 1)
    assert restoration.parts["kernel"].ndim == 4
    for name, part in restoration.parts.items():
        assert part.isfinite().all(), name


@pytest.mark.parametrize("name", QUICK)
@given(batch=st.integers(1, 2), size=st.tuples(st.integers(1, 40), st.integers(1, 40)))
@settings(max_examples=8, deadline=None)
def test_any_size_is_kept(models, name, batch, size):
    with torch.no_grad():
        assert models[name](torch.rand(batch, 3, *size)).image.shape == (batch, 3, *size)


@pytest.mark.parametrize("name", MODELS)
def test_explain_names_every_block_of_the_order(models, name):
    text = models[name].explain()
    blocks = {"era": "EPUZXGOD", "era-small": "EUZXGO"}.get(name, "IZPRQLGOD")
    starts = [line.split()[0] for line in text.splitlines() if line.strip()]
    assert sorted(s for s in starts if s in blocks and len(s) == 1) == sorted(blocks)
    assert "parameters" in text


@pytest.mark.parametrize("name", QUICK)
def test_a_history_is_filled_and_changes_nothing(models, name):
    image, history = torch.rand(1, 3, 24, 24), History()
    with torch.no_grad():
        assert torch.equal(models[name](image).image, models[name](image, history=history).image)
    assert len(history.penalties) == models[name].stages.repeat * len(models[name].stages.stages)
    assert all(e.lagrangian.isfinite().all() for e in history.entries)


@pytest.mark.parametrize("name", ["jude-small", "era-small"])
def test_gradients_reach_every_parameter_that_can_matter(name):
    torch.manual_seed(0)
    model = unfold.create_model(name)
    for parameter in model.parameters():  # leave the start, where zero layers block gradients
        parameter.data += 0.01 * torch.randn_like(parameter)
    model(torch.rand(2, 3, 32, 40)).image.sum().backward()
    dead = {n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()}
    assert not dead


def test_in_the_papers_order_the_last_updates_of_jude_are_dead():
    """Why the order was changed: the last Z, and the last two I, never reach the image."""
    torch.manual_seed(0)
    model = unfold.create_model("jude", K=3, order="paper")
    model(torch.rand(1, 3, 16, 16)).image.sum().backward()
    assert not [n for n, p in model.named_parameters() if p.grad is None]
    priors = [set(stage.lagrangian.priors) for stage in model.stages.stages]
    assert priors == [set("PQZRL"), set("PQZRL"), set("PQRL")]  # no network on the last Z
    idle = (model.hyper.affine.grad[0] == 0).nonzero().tolist()
    assert {(k, NAMES[i]) for k, i in idle} >= {(2, "log_z"), (2, "log_w5")}


def test_jude_has_the_papers_size():
    count = sum(p.numel() for p in unfold.create_model("jude").parameters())
    assert count == pytest.approx(35.2e6, rel=0.02)


@pytest.mark.parametrize("name", ["jude-small", "era-small"])
def test_small_presets_are_small(models, name):
    assert sum(p.numel() for p in models[name].parameters()) < 3e6


def test_the_papers_ablations_are_arguments():
    def count(**options):
        with torch.device("meta"):  # sizes without values
            return sum(p.numel() for p in unfold.create_model("jude", **options).parameters())

    full, tied = count(), count(tied=True)
    one = count(K=1)
    assert tied - one == 4 * 2 * len(NAMES)  # hyper-parameters are each stage's own
    assert full - one == 4 * (count(K=2) - one)
    assert count(denoiser=None) < full
    assert count(prior="ircnn") < full / 3
    with torch.no_grad():
        image = torch.rand(1, 3, 20, 20)
        model = unfold.create_model("jude-small", prior="ircnn", denoiser=None, K=2, tied=True)
        assert model(image).image.shape == image.shape


def test_priors_are_given_as_objects_too():
    from unfold.priors import TotalVariation

    made = []

    def prior(channels):
        made.append(channels)
        return TotalVariation(iterations=2)

    model = unfold.create_model(
        "jude-small", prior=prior, light_prior=None, reflectance_prior=None, K=2
    )
    assert made == [3, 1, 3, 3, 1, 3]  # P, Q (light of one channel), Z of either stage
    assert model(torch.rand(1, 3, 16, 16)).image.isfinite().all()


@pytest.mark.parametrize("name", ["jude-small", "era-small"])
def test_a_prior_that_is_made_already_is_refused(name):
    from unfold.priors import TotalVariation

    with pytest.raises(ValueError, match="several times, got one TotalVariation: pass a function"):
        unfold.create_model(name, prior=TotalVariation())


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_kernel_is_cast_to_the_photos_type(models, name, dtype):
    image, kernel = torch.rand(1, 3, 16, 16), random_kernel(size=(3, 5)).to(dtype)
    with torch.no_grad():
        cast = models[name](image, kernel=kernel)
        assert torch.equal(cast.image, models[name](image, kernel=kernel.float()).image)
    assert cast.parts["kernel"].dtype == image.dtype


def test_the_untrained_jude_trusts_the_blur_model(models):
    with torch.no_grad():
        model = unfold.create_model("jude-small", kernel_estimator="kernel", trust=True).eval()
        assert model(torch.rand(2, 3, 24, 24)).parts["trust"].min() > 0.9


def test_eras_weights_sum_to_one_in_every_pixel(models):
    with torch.no_grad():
        maps = models["era-small"](torch.rand(2, 3, 17, 24)).parts["maps"]
    assert maps.shape == (2, 4, 17, 24)
    torch.testing.assert_close(maps.sum(1), torch.ones(2, 17, 24))


@pytest.mark.parametrize(
    ("kernel", "size", "padded", "corner"),
    [
        (torch.ones(1, 1, 17, 1) / 17, 1, (64, 32), (16, 0)),
        (torch.ones(1, 1, 1, 17) / 17, 1, (32, 64), (0, 16)),
        (None, 17, (64, 64), (16, 16)),
    ],
)
def test_the_margin_is_as_high_and_wide_as_the_kernel_reaches(kernel, size, padded, corner):
    # (It begins at a multiple of 16, so that networks treat a part of the photo alike.)
    x, frame = prepare(torch.rand(1, 3, 32, 32), kernel, size=size)
    assert x.shape == (1, 3, *padded)
    assert (frame.top, frame.left) == corner


def test_one_channel_illumination():
    model = unfold.create_model("jude", K=1, illumination_channels=1)
    parts = model(torch.rand(1, 3, 16, 16)).parts
    assert parts["L"].shape == parts["enhanced"].shape == (1, 1, 16, 16)


class TestBadInput:
    @pytest.mark.parametrize(
        ("image", "message"),
        [
            (
                torch.rand(3, 8, 8),
                r"\(batch, .*, height, width\), got \(3, 8, 8\): add a batch",
            ),
            (torch.rand(8, 8), r"add the missing axes with image\[None\]"),
            (torch.rand(1, 3, 0, 8), r"got \(1, 3, 0, 8\): leave out empty"),
            (torch.rand(0, 3, 8, 8), "leave out empty images and batches"),
            (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), "floating point.*uint8"),
            (255 * torch.rand(1, 3, 8, 8), "divide 8-bit values by 255"),
            (torch.full((1, 3, 8, 8), float("nan")), r"must lie in \[0, 1\], got values from nan"),
        ],
    )
    @pytest.mark.parametrize("name", QUICK)
    def test_images(self, models, name, image, message):
        with pytest.raises(ValueError, match=message):
            models[name](image)

    @pytest.mark.parametrize("name", ["jude-small", "era-small", "deconv-small"])
    @pytest.mark.parametrize(
        ("shape", "remedy"),
        [
            ((1, 1, 8, 8), r"repeat the gray channel with image.expand\(-1, 3, -1, -1\)"),
            ((1, 8, 8, 3), r"channels first with image.permute\(0, 3, 1, 2\)"),
            ((1, 4, 8, 8), "choose a model for this number of channels, such as tv-deblur"),
            ((1, 16, 8, 8), "choose a model for this number of channels, such as tv-deblur"),
        ],
    )
    def test_channels(self, name, shape, remedy):
        model = unfold.create_model(name)
        with pytest.raises(ValueError, match=rf"\(batch, 3, .*got .*{remedy}"):
            model(torch.rand(shape), kernel=torch.ones(1, 1, 1, 1))

    @pytest.mark.parametrize(
        ("kernel", "message"),
        [
            (torch.ones(3, 3) / 9, r"\(1 or 2, 1, height, width\)"),
            (torch.ones(3, 3) / 9, r"got \(3, 3\): add axes with kernel\[None, None\]"),
            (torch.ones(3, 1, 3, 3) / 9, r"\(1 or 2, 1, height, width\).*one for each image"),
            (torch.full((1, 1, 3, 3), torch.nan), "must be finite, got NaN or infinite values"),
            (torch.ones(1, 1, 3, 3), "must sum to 1"),
            (torch.ones(1, 1, 3, 3) / 18, r"must sum to 1, got \[0\.5.*divide it by its sum"),
        ],
    )
    @pytest.mark.parametrize("name", QUICK)
    def test_kernels(self, models, name, kernel, message):
        with pytest.raises(ValueError, match=message):
            models[name](torch.rand(2, 3, 8, 8), kernel=kernel)


def test_imputing_and_solving_never_raises_the_trusted_misfit():
    """Impute majorizes w/2 ‖√T (H⊗I − Y)‖²: with the I update it descends on it."""
    from unfold.core import Lagrangian, Quadratic, lower

    fit = Convolution("I", kernel="H", observed="X")
    lagrangian = Lagrangian(Quadratic(fit, 1.0))
    state = random_state(["I", "X", "Y"], (2, 3, 8, 9), kernel=(3, 3))
    state["H"] = 0.3 * state["H"]
    state["H"][..., 1, 1] += 0.7  # invertible
    state["T"] = torch.rand(2, 1, 8, 9, dtype=torch.float64)
    (solve,) = lower(lagrangian, ("I",))

    def misfit(now):
        return (state["T"] * fit({**now, "X": state["Y"]}).square()).sum()

    before = misfit(state)
    for _ in range(20):
        state = solve(Impute()(state, {}), {})
        after = misfit(state)
        assert after <= before + 1e-12
        before = after
    assert before < 0.5 * misfit({**state, "I": state["Y"]})


def test_impute_keeps_what_it_trusts():
    state = random_state(["I", "X", "Y"], (1, 3, 8, 9))
    state["T"] = torch.ones(1, 1, 8, 9, dtype=torch.float64)
    torch.testing.assert_close(Impute()(state, {})["X"], state["Y"])
    state["T"] = torch.zeros(1, 1, 8, 9, dtype=torch.float64)
    blurred = Convolution("I", kernel="H", observed="X")({**state, "X": 0 * state["X"]})
    torch.testing.assert_close(Impute()(state, {})["X"], blurred)


def test_the_model_and_the_documentation_share_one_lagrangian():
    text = jude_objective().lagrangian.explain(order=("I", "P"))
    assert "‖H⊗I − X‖²" in text


def photo(array):
    return torch.tensor(array).permute(2, 0, 1)[None].float() / 255


def degrade(sharp, kernel, exposure, sigma):
    generator = torch.Generator().manual_seed(0)
    blurred = blur(exposure * sharp, kernel)
    noise = sigma * torch.randn(blurred.shape, generator=generator)
    return ((blurred + noise).clamp(0, 1) * 255).round() / 255


def psnr(a, b):
    return peak_signal_noise_ratio(a.numpy(), b.numpy(), data_range=1)


@pytest.fixture(scope="module")
def classic():
    return unfold.create_model("jude-classic").eval()


@pytest.fixture
def kernel():
    return motion_kernel(21, generator=torch.Generator().manual_seed(3))


class TestClassic:
    def test_deblurs_a_real_photo_with_real_borders(self, classic, kernel):
        sharp = photo(astronaut()[:256, :256])
        bad = degrade(sharp, kernel, 1.0, 0.01)
        with torch.no_grad():
            good = classic(bad, kernel=kernel).image
        assert psnr(sharp, good) > psnr(sharp, bad) + 6
        # the border, where the photo is not periodic, is deblurred too
        edge = torch.ones(256, 256, dtype=torch.bool)
        edge[12:-12, 12:-12] = False
        assert psnr(sharp[..., edge], good[..., edge]) > psnr(sharp[..., edge], bad[..., edge]) + 3

    def test_brightens_deblurs_and_denoises_a_dark_photo(self, classic, kernel):
        sharp = photo(coffee()[:300, 100:400])
        bad = degrade(sharp, kernel, 0.25, 0.01)
        with torch.no_grad():
            good = classic(bad, kernel=kernel).image
        brightened = (4 * bad).clamp(0, 1)
        assert psnr(sharp, good) > psnr(sharp, brightened) + 3
        ssim = lambda a: structural_similarity(  # noqa: E731
            sharp[0].numpy(), a[0].numpy(), channel_axis=0, data_range=1
        )
        assert ssim(good) > ssim(brightened) + 0.3

    @pytest.mark.parametrize(
        "good", [astronaut()[:256, :256], coffee()[:200, :200], chelsea()[:200, 100:300]]
    )
    def test_a_good_photo_comes_back_nearly_unchanged(self, classic, good):
        sharp = photo(good)
        with torch.no_grad():
            # Coffee's texture is taken for noise of 0.0097, which is 40.3 dB: a prior that is given
            # this level may remove as much.
            assert psnr(sharp, classic(sharp).image) > 39.5

    def test_the_exposure_is_left_alone(self, kernel):
        sharp = photo(coffee()[:200, 100:300])
        dark = degrade(sharp, kernel, 0.25, 0.0)
        model = unfold.create_model("jude-classic", exposure=None, enhancer=None)
        with torch.no_grad():
            restored = model(dark, kernel=kernel).image
        assert restored.mean().item() == pytest.approx(dark.mean().item(), rel=0.02)

    def test_parts_multiply_to_the_image(self, classic):
        with torch.no_grad():
            dark = 0.3 * photo(coffee()[:64, :64])
            restoration = classic(dark, kernel=torch.ones(1, 1, 1, 1))
        product = restoration.parts["enhanced"] * restoration.parts["denoised"]
        torch.testing.assert_close(product.clamp(0, 1), restoration.image)

    def test_black_and_white_and_constant_images(self, classic):
        for value in (0.0, 0.5, 1.0):
            image = torch.full((1, 3, 20, 30), value)
            with torch.no_grad():
                restored = classic(image).image
            torch.testing.assert_close(restored, image, rtol=0, atol=0.05 if value != 0.5 else 0.5)

    @pytest.mark.parametrize("sigma", [0.005, 0.02, 0.08])
    def test_noise_estimate(self, sigma):
        sharp = photo(chelsea())
        noisy = sharp + sigma * torch.randn(sharp.shape)
        assert estimate_noise(noisy).item() == pytest.approx(sigma, rel=0.25, abs=0.004)

    def test_kernel_per_image(self, classic):
        image = photo(coffee()[:64, :64]).repeat(2, 1, 1, 1)
        kernels = random_kernel(2, 1, (5, 7), torch.float32)
        with torch.no_grad():
            both = classic(image, kernel=kernels).image
            one = classic(image[1:], kernel=kernels[1:]).image
        torch.testing.assert_close(both[1:], one, rtol=0, atol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", MODELS)
def test_cuda_agrees_with_the_cpu(models, name):
    image = 0.5 * torch.rand(1, 3, 37, 50)
    with torch.no_grad():
        want = models[name](image).image
        got = models[name].to("cuda")(image.cuda()).image.cpu()
    models[name].to("cpu")
    torch.testing.assert_close(got, want, rtol=0, atol=1e-2)
