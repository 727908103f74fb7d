"""Each loss against another way to compute it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import lsq_linear
from scipy.signal import convolve2d

import unfold
from unfold.core import State
from unfold.imaging.boundary import pad_periodic
from unfold.losses import FFT, L1, LossError, Outcome, Perceptual, Reblur, StageWise, lsgan
from unfold.losses.consistency import reblur
from unfold.metrics import MetricError
from unfold.models.estimating import Estimates
from unfold.registry.spec import resolve, spec_type
from unfold.restorer import Restoration
from unfold.training.task import captured

SMALL_KERNEL = {"kind": "kernel", "size": 5}
SHAPES = st.tuples(st.integers(1, 3), st.just(3), st.integers(1, 9), st.integers(1, 9))


def pictures(shape, count=2, dtype=torch.float64):
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(1), dtype=dtype)


def outcome(made, target, **batch):
    return Outcome(Restoration(made), {"input": target, "target": target, **batch})


@given(shape=SHAPES)
@settings(max_examples=20)
def test_l1(shape):
    made, target = pictures(shape)
    want = np.mean(np.abs(made.numpy() - target.numpy()))
    assert L1()(outcome(made, target)).item() == pytest.approx(want)


def test_l1_of_a_smaller_part():
    made, target = pictures((2, 3, 8, 12))
    small = Outcome(Restoration(made, {"side": made[..., ::4, ::4]}), {"target": target})
    blocks = target.numpy().reshape(2, 3, 2, 4, 3, 4).mean((3, 5))
    want = np.abs(made.numpy()[..., ::4, ::4] - blocks).mean()
    assert L1(of="side", scale=4)(small).item() == pytest.approx(want)
    with pytest.raises(LossError, match=r"'side' has shape .* at scale 2: compare"):
        L1(of="side", scale=2)(small)


@given(shape=SHAPES, share=st.floats(0.1, 4))
@settings(max_examples=20)
def test_l1_of_channels_brought_to_the_targets_brightness(shape, share):
    made, target = pictures(shape)
    target = share * target
    want = np.zeros(shape)
    for at in np.ndindex(shape[:2]):  # least squares with bounds, channel by channel
        x, y = made[at].numpy().reshape(-1, 1), target[at].numpy().ravel()
        ratio = lsq_linear(x, y, bounds=(0.4, 2.5)).x.item()
        want[at] = np.abs(ratio * made[at].numpy() - target[at].numpy())
    got = L1(match_brightness=True)(outcome(made, target)).item()
    assert got == pytest.approx(want.mean(), rel=1e-5, abs=1e-9)


def test_the_brightness_that_l1_matches_gives_no_gradient():
    made, target = pictures((1, 3, 4, 4))
    learned = made.clone().requires_grad_()
    L1(match_brightness=True)(outcome(learned, target)).backward()
    ratio = (made * target).sum((-2, -1), keepdim=True) / made.square().sum((-2, -1), keepdim=True)
    want = ratio * (ratio * made - target).sign() / made.numel()
    torch.testing.assert_close(learned.grad, want)
    black = torch.zeros_like(made)
    assert L1(match_brightness=True)(outcome(black, target)).item() == pytest.approx(target.mean())


@given(shape=SHAPES)
@settings(max_examples=20)
def test_fft(shape):
    made, target = pictures(shape)
    spectrum = np.fft.rfft2(made.numpy() - target.numpy())
    want = np.mean([np.abs(spectrum.real), np.abs(spectrum.imag)])
    assert FFT()(outcome(made, target)).item() == pytest.approx(want)


def test_fft_of_half_precision_is_computed_in_float32():
    made, target = pictures((1, 3, 8, 8), dtype=torch.float32)
    want = FFT()(outcome(made.bfloat16().float(), target.bfloat16().float()))
    got = FFT()(outcome(made.bfloat16(), target.bfloat16()))
    assert got.dtype == torch.float32
    assert got.item() == pytest.approx(want.item(), rel=0.02)  # the difference is rounded once


@pytest.mark.parametrize("size", [(3, 3), (4, 5), (7, 2)])
def test_reblur_is_a_sum_of_weighted_convolutions(size):
    (sharp, photo), kernels = pictures((2, 3, 20, 23)), torch.rand(2, 2, *size).double()
    kernels /= kernels.sum((-2, -1), keepdim=True)
    maps = torch.rand(2, 2, 20, 23).double()
    made = reblur(sharp, kernels, maps)
    top, left = (s // 2 for s in size)
    inside = (slice(s - 1, n - s + 1) for s, n in zip(size, (20, 23), strict=True))
    rows, columns = inside
    for b, c in np.ndindex(2, 3):
        full = sum(
            maps[b, m].numpy()
            * convolve2d(sharp[b, c].numpy(), kernels[b, m].numpy())[top:, left:][:20, :23]
            for m in range(2)
        )
        np.testing.assert_allclose(made[b, c].numpy()[rows, columns], full[rows, columns])
    parts = {"kernel": kernels, "maps": maps}
    loss = Reblur()(Outcome(Restoration(sharp, parts), {"input": photo}))
    assert loss.item() == pytest.approx((made - photo).abs().mean().item())


def test_reblur_has_the_models_borders():
    """ErA's blur of its own X, on its own grid, is what the loss computes."""
    model = unfold.create_model("era-small", K=1, kernel_estimator=SMALL_KERNEL)
    photo = torch.rand(1, 3, 24, 27)
    blurred = reblur(photo, torch.full((1, 1, 5, 5), 1 / 25))
    x, frame = pad_periodic(photo, (2, 2), multiple=16)
    kernel = torch.full((1, 3, 5, 5), 1 / 25)
    logits, noise = torch.zeros(1, 3, *x.shape[-2:]), torch.full((1, 1, 1, 1), 0.01)
    state = model.start(Estimates(x, frame, {"noise": noise}, kernel, noise, logits))
    blur = model.stages.stages[0].lagrangian.constraints[0].residual
    made = blur(state.replace("U", torch.zeros_like(x)))
    torch.testing.assert_close(frame.crop(made), blurred)


def test_stage_wise_compares_each_stages_block_where_the_picture_lies():
    model = unfold.create_model("era-small", K=3, kernel_estimator=SMALL_KERNEL)
    photo, target = torch.rand(1, 3, 21, 18), torch.rand(1, 3, 21, 18)
    with captured(model) as stages, torch.no_grad():
        restoration = model(photo)
    assert len(stages) == 3
    _, frame = pad_periodic(photo, (2, 2), multiple=16)
    errors = [(frame.crop(s["X"]) - target).abs().mean().item() for s in stages]
    loss = StageWise(block="X", decay=0.5)
    assert restoration.origin == (frame.top, frame.left)
    got = loss(Outcome(restoration, {"target": target}, tuple(stages))).item()
    assert got == pytest.approx(np.average(errors, weights=[0.25, 0.5, 1]), rel=1e-5)


def test_captured_sees_each_round_of_tied_stages_and_nothing_after():
    model = unfold.create_model("era-small", K=3, kernel_estimator=SMALL_KERNEL, tied=True)
    with captured(model) as stages:
        model(torch.rand(1, 3, 16, 16))
    model(torch.rand(1, 3, 16, 16))
    assert len(stages) == 3


@pytest.mark.parametrize("make", [L1, FFT])
def test_the_mean_over_halves_is_the_whole(make):
    made, target = pictures((4, 3, 6, 5))
    halves = [make()(outcome(made[i : i + 2], target[i : i + 2])).item() for i in (0, 2)]
    assert np.mean(halves) == pytest.approx(make()(outcome(made, target)).item())


def test_lsgan():
    scores = torch.tensor([0.0, 2.0, 1.0])
    assert lsgan(scores, real=True).item() == pytest.approx(2 / 3)
    assert lsgan(scores, real=False).item() == pytest.approx(5 / 3)


@pytest.fixture(scope="module")
def vgg(tmp_path_factory):
    from torchvision.models.vgg import cfgs, make_layers

    torch.manual_seed(0)
    features = make_layers(cfgs["E"][:7])  # the first two blocks and a convolution
    path = tmp_path_factory.mktemp("vgg") / "vgg19.pth"
    torch.save({f"features.{k}": v for k, v in features.state_dict().items()}, path)
    return path, features


def test_perceptual_is_the_distance_of_torchvisions_features(vgg):
    path, features = vgg
    made, target = pictures((2, 3, 16, 20), dtype=torch.float32)
    loss = Perceptual(layers=("conv3_1", "conv1_2", "conv2_2"), weights=path)
    want, at = 0.0, {2, 7, 10}
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in
                 ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))  # fmt: skip
    x, y = (made - mean) / std, (target - mean) / std
    with torch.no_grad():
        for number, layer in enumerate(features):
            # (Clones: the ReLUs work in place.)
            x, y = layer(x.clone()), layer(y.clone())
            if number in at:
                want += (x - y).abs().mean().item()
    assert loss(outcome(made, target)).item() == pytest.approx(want, rel=1e-4)
    made.requires_grad_()
    loss(outcome(made, target)).backward()
    assert made.grad.abs().sum() > 0
    assert not [p for p in loss.parameters() if p.requires_grad]


def test_perceptual_says_what_it_needs(vgg, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(MetricError, match=r"needs vgg19-dcbb9e9d\.pth.*checkpoints"):
        Perceptual()
    with pytest.raises(LossError, match=r"no layer conv1_3"):
        Perceptual(layers=("conv1_3",), weights=vgg[0])
    with pytest.raises(LossError, match=r"holds no VGG19"):
        Perceptual(layers=("conv5_4",), weights=vgg[0])


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (L1(picture="gone"), "no picture 'gone'; they have input, target"),
        (L1(of="I"), "no part 'I'; it makes image"),
        (Reblur(), "no part 'kernel'"),
        (StageWise(block="X"), "the model has no stages"),
    ],
)
def test_what_is_missing_is_told(loss, message):
    with pytest.raises(LossError, match=message):
        loss(outcome(*pictures((1, 3, 4, 4))))


def test_more_that_is_missing():
    made = torch.rand(1, 3, 8, 8)
    several = Outcome(Restoration(made, {"kernel": torch.rand(1, 2, 3, 3)}), {"input": made})
    with pytest.raises(LossError, match="2 kernels need maps"):
        Reblur()(several)
    there = Outcome(Restoration(made), {"target": made}, (State({"Z": made}),))
    with pytest.raises(LossError, match="no block 'X'; there are Z"):
        StageWise(block="X")(there)


@pytest.mark.parametrize("name", ["l1", "fft", "reblur"])
def test_losses_are_components(name):
    spec = resolve("losses", name)
    assert type(spec.build()) is type(spec_type("losses", name)().build())
    assert spec.model_dump()["kind"] == name
