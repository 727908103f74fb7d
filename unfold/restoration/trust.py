"""Trust in a restoration: the measured share of each pixel, error bars, and the re-blur test."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from unfold.core import CG, History, Minimize, Stage, State, Unrolled, explained, measured_share
from unfold.errors import UnfoldError
from unfold.estimators.exposure import expose
from unfold.estimators.noise import estimate_noise
from unfold.estimators.reblur import reblur_share
from unfold.restorer import Restoration, Restorer, Trust

BAND = 1.645
"""So many standard deviations to either side hold 90 % of a Gaussian."""

REACH = 12
"""Pixels around a pixel that its means are taken over."""

_WINDOW = 9  # of each of three means in a row: nearly a Gaussian of deviation 4.5
_PROBE = 0.1  # of the noise: little enough for changes to be linear in it
_SEED = 0x7472757374  # (of no test photo: noise that is there already would be found again)
_ROUNDING = 1e-3  # standard deviation of what 8 bits leave
_WIDEST = 0.1  # error bar that is shown in full red
_CG = CG(maximum=4, tolerance=None)


def is_declared(model: Restorer) -> bool:
    """Whether a model has rounds of a Lagrangian, which the trust requires."""
    return len(model.sequence()) == 1 and isinstance(getattr(model, "stages", None), Unrolled)


def check_declared(model: Restorer) -> Unrolled:
    """The rounds of a model.

    Raises:
        UnfoldError: if it has none.
    """
    if is_declared(model):
        return model.stages  # type: ignore[return-value]
    what = "a row of models" if len(model.sequence()) > 1 else type(model).__name__
    raise UnfoldError(
        f"{what} has no Lagrangian, from which trust is computed: choose an unrolled model, such "
        "as jude-small, deblur or tv-deblur, or leave out trust"
    )


@torch.inference_mode()
def with_trust(
    model: Restorer,
    image: Tensor,
    *,
    kernel: Tensor | None = None,
    history: History | None = None,
    seed: int = 0,
) -> Restoration:
    """Restore a photo and estimate the trust in the result.

    The photo is restored a second time with additional noise of a tenth of its noise level, and
    with the same measurements (kernel, noise level, exposure). With δ for the resulting changes,
    scaled to the full noise, and means over about 20 × 20 pixels:

    - measured: ``mean(δ(B x) ⊙ δy) / mean(δy²)``, y the observation of the data term and B x what
      the blocks with priors explain of it (`unfold.core.explained`). It estimates the diagonal of
      ``∂(B x)/∂y``, whose sum is the number of degrees of freedom that the photo determines: 1 if
      the result follows each pixel of the photo, 0 if a pixel is determined by its neighbors and
      the prior. It is 1 where the photo is returned unchanged.
    - deviation: ``c sqrt(mean(δx²) + 0.001²)``, x the image. Noise causes a part of the error; the
      rest, due to the prior, was found to increase with it. c is the model's `error_scale`.
    - reblur, blocks: see `Trust`.

    Both together take little more than twice the time of the restoration.

    Args:
        model: unrolled model in eval mode.
        image: ``(B, C, H, W)`` in [0, 1], on the device of the model.
        kernel: kernel of the blur, if it is known.
        history: records the restoration, if given.
        seed: seed of the noise.

    Returns:
        The restoration, with `Restoration.trust`.

    Raises:
        UnfoldError: if the model is not unrolled.

    Example:
        >>> import torch, unfold
        >>> from unfold.restoration import with_trust
        >>> model = unfold.create_model("tv-deblur").eval()
        >>> trust = with_trust(model, torch.rand(1, 3, 48, 64)).trust
        >>> trust.measured.shape, trust.deviation.shape
        (torch.Size([1, 1, 48, 64]), torch.Size([1, 1, 48, 64]))

    Source: Ye, "On measuring and correcting the effects of data mining and model selection",
    JASA 1998, for degrees of freedom by perturbation; Ramani, Blu and Unser, "Monte-Carlo SURE",
    TIP 2008, for random probes of a restoration.
    """
    check_declared(model)
    measurements = model.measure(image, kernel=kernel)
    noise = noise_of(image, measurements)
    return probed(model, image, kernel, measurements, noise, history=history, seed=seed)


def noise_of(image: Tensor, measurements: Mapping[str, Tensor]) -> Tensor:
    """The standard deviation of a photo's noise, ``(B, 1, 1, 1)``."""
    if "grain" in measurements and "gain" not in measurements:  # (an exposure amplifies it)
        return measurements["grain"]
    return estimate_noise(image)


def probed(
    model: Restorer,
    image: Tensor,
    kernel: Tensor | None,
    measurements: Mapping[str, Tensor],
    noise: Tensor,
    *,
    history: History | None = None,
    seed: int = 0,
) -> Restoration:
    """Restore a photo, or a part of one, with its trust; see `with_trust`.

    Args:
        measurements: measurements of the whole photo.
        noise: standard deviation of the photo's noise, ``(B, 1, 1, 1)``.
    """
    stage: Stage = check_declared(model).stages[-1]  # type: ignore[assignment]
    found, fits, state = _run(model, stage, image, kernel, measurements, history)
    blocks = _blocks(stage, state)
    del state
    held = {name: found.parts[name].mean((-2, -1), keepdim=True) for name in model.pooled_features}
    generator = torch.Generator().manual_seed(_SEED + seed)
    added = _PROBE * noise * torch.randn(image.shape, generator=generator).to(image)
    moved, moved_fits, _ = _run(model, stage, image + added, kernel, {**held, **measurements}, None)
    agreed = total = image.new_zeros(())
    for (fit, y), (moved_fit, moved_y) in zip(fits, moved_fits, strict=True):
        change = moved_y - y
        agreed = agreed + _smooth((moved_fit - fit) * change)
        total = total + _smooth(change.square())
    measured = torch.where(total > 0, agreed / total, 0.0).clamp(0, 1)
    if "share" in found.parts:
        measured = torch.lerp(torch.ones_like(measured), measured, found.parts["share"])
    kept = (found.image == image).all(3).all(2).all(1).view(-1, 1, 1, 1)
    variance = _smooth((moved.image - found.image).square()) / _PROBE**2
    scale = model.error_scale[kernel is None]
    trust = Trust(
        measured=torch.where(kept, 1.0, measured),
        deviation=(scale or 1.0) * (variance + _ROUNDING**2).sqrt(),
        reblur=_reblur(image, found.parts),
        blocks=blocks,
        calibrated=scale is not None,
    )
    return replace(found, trust=trust)


def part_of(trust: Trust, index: int) -> Trust:
    """The trust of one photo of a batch, on the CPU."""

    def one(x: Tensor) -> Tensor:
        return (x[index : index + 1] if len(x) > 1 else x).float().cpu()

    return replace(
        trust,
        measured=one(trust.measured),
        deviation=one(trust.deviation),
        reblur=None if trust.reblur is None else one(trust.reblur),
        blocks={name: one(share) for name, share in trust.blocks.items()},
    )


def blended(tiles: Iterable[tuple[Trust, slice, slice, Tensor]], size: tuple[int, int]) -> Trust:
    """The trust of a photo, blended from its tiles, each with its rows, columns and weights."""
    maps: dict[str, Tensor] = {}
    blocks: dict[str, Tensor] = {}
    calibrated = True
    for trust, rows, columns, weight in tiles:
        calibrated = trust.calibrated
        for name in ("measured", "deviation", "reblur"):
            part = getattr(trust, name)
            if part is not None:
                whole = maps.setdefault(name, torch.zeros(1, 1, *size))
                whole[..., rows, columns] += weight * part
        for name, share in trust.blocks.items():
            blocks[name] = blocks.get(name, 0) + share * weight.sum() / math.prod(size)
    return Trust(maps["measured"], maps["deviation"], maps.get("reblur"), blocks, calibrated)


def picture(trust: Trust) -> Tensor:
    """The trust of one photo as a color picture ``(3, H, W)``, float32 in [0, 1] on the CPU.

    Red: the error bar of 90 %, 1 for ± 0.1 and more. Green: the square root of the measured share.
    Blue: 1 minus the share of the re-blur test, 0 without a test. Pixels that the prior determines
    with confidence are black.
    """
    failed = torch.zeros_like(trust.measured) if trust.reblur is None else 1 - trust.reblur
    bars = (BAND / _WIDEST * trust.deviation).clamp(0, 1)
    return torch.cat((bars, trust.measured.sqrt(), failed), 1)[0].float().cpu()


def sentence(trust: Trust) -> str:
    """The measured share and the error bars in one line."""
    text = f"{trust.measured.mean():.0%} measured, "
    if trust.calibrated:
        text += f"error bars (90 %) ±{255 * BAND * trust.deviation.mean():.1f}/255 on average"
    else:
        text += f"deviation by noise alone {255 * trust.deviation.mean():.1f}/255 on average"
    if trust.reblur is not None:
        text += f", {trust.reblur.mean():.0%} pass the re-blur test"
    return text


def _run(
    model: Restorer,
    stage: Stage,
    image: Tensor,
    kernel: Tensor | None,
    measurements: Mapping[str, Tensor],
    history: History | None,
) -> tuple[Restoration, list[tuple[Tensor, Tensor]], State]:
    """A restoration, its explanation of each observation (see `explained`), and its state."""
    states: list[State] = []
    options = {"measurements": measurements} if measurements else {}
    hook = check_declared(model).register_forward_hook(lambda *call: states.append(call[-1]))
    try:
        restoration = model(image, kernel=kernel, history=history, **options)
    finally:
        hook.remove()
    (top, left), (height, width) = restoration.origin, image.shape[-2:]
    inside = ..., slice(top, top + height), slice(left, left + width)
    pairs = explained(stage.lagrangian, _order(stage), states[-1])
    return restoration, [(made[inside], given[inside]) for made, given in pairs], states[-1]


def _order(stage: Stage) -> list[str]:
    return [step.block for step in stage.steps if isinstance(step, Minimize)]


def _blocks(stage: Stage, state: State) -> dict[str, Tensor]:
    """The measured share of each block without a prior."""
    lagrangian, order, penalties = stage.lagrangian, _order(stage), stage.penalties(state)
    shares = {
        block: measured_share(lagrangian, block, order, state, penalties, cg=_CG, probes=1)
        for block in order
        if block not in lagrangian.regularizers
    }
    return {block: share.mean((1, 2, 3), keepdim=True) for block, share in shares.items()}


def _reblur(image: Tensor, parts: Mapping[str, Tensor]) -> Tensor | None:
    kernel, noise = parts["kernel"], parts.get("residue", parts["noise"])
    if kernel.shape[1] > 1:
        return None
    if "gain" in parts:
        image = expose(image, parts["gain"], parts["curve"])
    return reblur_share(image, kernel.to(image), noise).expand(len(image), -1, *image.shape[-2:])


def _smooth(x: Tensor) -> Tensor:
    """Means over the channels and the surroundings of each pixel, ``(B, 1, H, W)``."""
    x = x.mean(1, keepdim=True)
    for window in 3 * [(_WINDOW, 1), (1, _WINDOW)]:
        margin = window[0] // 2, window[1] // 2
        x = avg_pool2d(x, window, 1, margin, count_include_pad=False)
    return x
