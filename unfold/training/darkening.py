"""Training of the darkening curve on well-exposed photos, without dark photos or pairs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim.lr_scheduler import CosineAnnealingLR

from unfold.degradation.zero_dce import DarkeningCurve, relative_lightness
from unfold.errors import InputError
from unfold.losses import exposure_control, smoothness, spatial_consistency

SPATIAL, EXPOSURE, SMOOTH = 1.0, 10.0, 200.0  # the weights of LEDNet's synthesis
AIM = 0.05, 0.3  # of the mean lightness


def darkening_losses(curve: DarkeningCurve, before: Tensor, exposure: Tensor) -> dict[str, Tensor]:
    """The weighted losses of a batch of lightness ``(B, 1, H, W)``, whose sum is minimized.

    Source: Zhou et al., "LEDNet", ECCV 2022, section 3.
    """
    ratio, rate = curve(before, exposure)
    after = ratio * before
    return {
        "spatial": SPATIAL * spatial_consistency(before, after),
        "exposure": EXPOSURE * exposure_control(after, exposure),
        "smooth": SMOOTH * smoothness(rate),
    }


def train_darkening(
    photos: Sequence[Tensor],
    *,
    steps: int,
    batch: int = 8,
    crop: int = 128,
    learning_rate: float = 1e-3,
    seed: int = 0,
    half: bool = False,
) -> tuple[DarkeningCurve, list[dict[str, float]]]:
    """Train a curve by Adam on random crops, with a learning rate that falls to zero like a cosine.

    The target of the mean lightness is drawn from `AIM` for each crop.

    Args:
        photos: well-exposed, ``(3, H, W)`` sRGB-encoded in [0, 1], of any sizes.
        steps: number of batches.
        batch: number of crops in a batch.
        crop: side of the crops, at least 16; smaller photos are an error.
        learning_rate: initial learning rate.
        seed: seed of the initial weights, the crops and the exposures.
        half: whether convolutions compute in bfloat16, twice as fast on a CPU that supports it.

    Returns:
        The curve, and the losses of each step, by name.

    Raises:
        InputError: if there is no photo, or a photo is smaller than the crop.
    """
    if not photos or min(side for photo in photos for side in photo.shape[1:]) < crop:
        raise InputError(
            f"train_darkening needs photos of at least {crop}×{crop}; give larger ones"
        )
    generator = torch.Generator().manual_seed(seed)
    scenes = [relative_lightness(photo[None])[0] for photo in photos]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        curve = DarkeningCurve().to(memory_format=torch.channels_last)  # three times as fast
    optimizer = torch.optim.Adam(curve.parameters(), lr=learning_rate)
    schedule = CosineAnnealingLR(optimizer, steps)
    low, high = AIM
    history = []
    for _ in range(steps):
        before = torch.stack([_crop(scenes, crop, generator) for _ in range(batch)])
        before = before.contiguous(memory_format=torch.channels_last)
        wanted = low + (high - low) * torch.rand(batch, generator=generator)
        # (One autocast a step: it keeps its copies of the weights until it ends.)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            losses = darkening_losses(curve, before, wanted)
        optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(curve.parameters(), 0.1)
        optimizer.step()
        schedule.step()
        history.append({name: loss.item() for name, loss in losses.items()})
    return curve.to(memory_format=torch.contiguous_format).requires_grad_(False).eval(), history


def _crop(scenes: Sequence[Tensor], size: int, generator: torch.Generator) -> Tensor:
    """A random square of a random scene, or its mirror image."""
    # Not kornia.augmentation: it takes no generator.

    def below(limit: int) -> int:
        return int(torch.randint(limit, (), generator=generator))

    scene = scenes[below(len(scenes))]
    top, left = (below(side - size + 1) for side in scene.shape[-2:])
    piece = scene[:, top : top + size, left : left + size]
    return piece.flip(-1) if below(2) else piece
