"""The unpaired game, played for a while with small networks on dark, blurred crops of photos."""

import pytest
import torch
from skimage.data import astronaut, chelsea, coffee, rocket, stereo_motorcycle
from skimage.metrics import peak_signal_noise_ratio
from unfold_devudp import PatchDiscriminator, discriminator_losses, generator_losses
from unfold_devudp.presets import devudp_small

from unfold.degradation import blur, motion_kernel

STEPS, SIZE = 150, 48


def tensor(picture):
    return torch.tensor(picture).permute(2, 0, 1)[None].float() / 255


def crops(photos, count):
    made = []
    for _ in range(count):
        photo = photos[int(torch.randint(len(photos), ()))]
        top, left = (int(torch.randint(side - SIZE, ())) for side in photo.shape[-2:])
        made.append(photo[..., top : top + SIZE, left : left + SIZE])
    return torch.cat(made)


def worsen(photos):
    return 0.25 * blur(photos, motion_kernel(7, generator=torch.Generator().manual_seed(1)))


def psnr(a, b):
    return peak_signal_noise_ratio(a.numpy(), b.numpy(), data_range=1)


@pytest.mark.slow
def test_the_game_stays_finite_keeps_content_and_brightens():
    dark_scenes = [worsen(tensor(astronaut())), worsen(tensor(stereo_motorcycle()[0]))]
    good_scenes = [tensor(rocket())[..., 100:, :], tensor(chelsea())]
    G, G_inv, D = devudp_small(), devudp_small(), PatchDiscriminator(widths=(12, 24, 48))
    generators = torch.optim.Adam((*G.parameters(), *G_inv.parameters()), 1e-3, (0.5, 0.999))
    discriminator = torch.optim.Adam(D.parameters(), 2e-4, (0.5, 0.999))
    torch.manual_seed(1)
    sharp = crops([tensor(coffee())], 4)
    held_out = worsen(sharp)
    with torch.no_grad():
        untrained = G(held_out).image
    reconstruction = []
    for _ in range(STEPS):
        bad, good = crops(dark_scenes, 2), crops(good_scenes, 2)
        generators.zero_grad()
        losses = generator_losses(G, G_inv, D, bad, good)
        sum(losses.values()).backward()
        generators.step()
        discriminator.zero_grad()
        judged = discriminator_losses(G, D, bad, good)
        sum(judged.values()).backward()
        discriminator.step()
        assert all(value.isfinite() for value in (losses | judged).values())
        reconstruction.append(losses["reconstruction"].item())
    with torch.no_grad():
        made = G(held_out).image
    first, last = (sum(part) / 10 for part in (reconstruction[:10], reconstruction[-10:]))
    assert last < first / 2
    assert made.mean() > 2 * held_out.mean()
    assert psnr(sharp, made) > psnr(sharp, held_out) + 2
    assert psnr(sharp, made) > psnr(sharp, untrained) + 3
