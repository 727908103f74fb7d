"""Trains the exposure estimator of jude-small; about six minutes of one core.

    python exposure.py DATA -o OUT.safetensors

DATA is laid out as the recipes have it (photos/bsds500/train, ..., lol/train). Whole photos and
parts of them, made small, are made dark by chance, or are dark ones of real pairs; a network of
three layers learns from a photo's quantiles the gain and the curve that bring it nearest to the
good photo.
"""

import argparse
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d

from unfold.estimators.exposure import expose, features, gain_and_curve, spread
from unfold.imaging import find_photos, read
from unfold.imaging.photo import shrink
from unfold.synthesis import Pipeline, parse_recipe

SIDE, DRAWS, WIDTH, STEPS, BATCH = 128, 40, 64, 6000, 256
SHAKE = {"kind": "camera-shake", "extent": [0, 5]}
NOISE = {"kind": "gaussian-noise", "sigma": [0.0, 0.02]}
DARK = {"kind": "low-light", "exposure": [0.015, 0.4]}
# What happens to a photo, and how often.
KINDS = {
    8: [DARK, SHAKE, NOISE],
    4: [DARK | {"gamma": [0.8, 1.3]}, SHAKE, NOISE],
    3: [DARK | {"preserve_highlights": 97}, {"kind": "clipping-reverse"}, SHAKE, NOISE],
    1: [SHAKE, NOISE],
    5: [{"kind": "gaussian-noise", "sigma": [0.0, 0.002]}],
}
DARKEST, GOOD = 0.2, 4  # a photo whose mean is lower is not taken for a good one
BLUR = 0.1  # of the inputs, in standard deviations
REAL = {"lowlight/sice_pairs": 20, "lol/train": 20}  # parts of each pair
THUMBNAIL = 24  # rows and columns of the photos that are compared
LEAST = 3e-4  # squared error that a logarithm is taken of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--output", required=True, type=Path)
    given = parser.parse_args()
    torch.manual_seed(0)
    network = fit(*samples(given.data))
    layers = [layer for layer in network if isinstance(layer, nn.Linear)]
    tensors = {f"weight_{n}": layer.weight.detach() for n, layer in enumerate(layers)}
    tensors |= {f"bias_{n}": layer.bias.detach() for n, layer in enumerate(layers)}
    save_file(tensors, given.output)


def samples(data: Path) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What is given of each photo, ``(N, 24)``; thumbnails of it and of the good one."""
    generator = torch.Generator().manual_seed(0)
    pipelines = [Pipeline(recipe(steps)) for steps in KINDS.values()]
    often = torch.tensor([float(n) for n in KINDS])
    made = []
    for path in find_photos([data / "photos/bsds500/train", data / "photos/debian_photos"]):
        photo = small(path)
        for _ in range(DRAWS):
            sharp = part(photo, generator)
            pipeline = pipelines[int(torch.multinomial(often, 1, generator=generator))]
            if sharp.mean() < DARKEST and pipeline is pipelines[GOOD]:
                continue
            made.append(
                sample(pipeline.make({"sharp": sharp}, pipeline.draw(generator))["dark"], sharp)
            )
    for folder, count in REAL.items():
        for path in find_photos([data / folder / "low"]):
            pair = torch.cat(
                [small(path), small(next((data / folder / "high").glob(f"{path.stem}.*")))], 1
            )
            made += [sample(*part(pair, generator).split(3, 1)) for _ in range(count)]
    values, dark, sharp = zip(*made, strict=True)
    return torch.cat(values), torch.cat(dark), torch.cat(sharp)


def sample(dark, sharp):
    return spread(dark), adaptive_avg_pool2d(dark, THUMBNAIL), adaptive_avg_pool2d(sharp, THUMBNAIL)


def recipe(steps):
    """A recipe of synthesis with these degradations."""
    made = [{"degradation": step} for step in steps]
    made.append({"degradation": "clip", "saves": "dark"})
    return parse_recipe({"steps": made, "files": {}, "input": "dark"})


def part(photo, generator):
    """A part of a photo by chance, of 0.4 to 1 of its sides; three times in ten the whole."""
    if torch.rand((), generator=generator) < 0.3:
        return photo
    sides = photo.shape[-2:]
    within = 0.4 + 0.6 * torch.rand(2, generator=generator)
    size = [int(side * share) for side, share in zip(sides, within, strict=True)]
    top, left = (
        int(torch.randint(side - n + 1, (), generator=generator))
        for side, n in zip(sides, size, strict=True)
    )
    return photo[..., top : top + size[0], left : left + size[1]]


def small(path: Path) -> torch.Tensor:
    image = read(path).image
    scale = SIDE / min(image.shape[-2:])
    size = tuple(round(scale * side) for side in image.shape[-2:])
    return shrink(image, size)[None] if scale < 1 else image[None]


def fit(values, dark, sharp):
    """A network fitted by AdamW to the mean logarithm of the squared error of what it exposes."""
    inputs = features(values)
    mean, deviation = inputs.mean(0), inputs.std(0).clamp_min(1e-3)
    network = nn.Sequential(
        nn.Linear(inputs.shape[1], WIDTH), nn.SiLU(),
        nn.Linear(WIDTH, WIDTH), nn.SiLU(),
        nn.Linear(WIDTH, 2),
    )  # fmt: skip
    nn.init.zeros_(network[-1].weight)
    nn.init.zeros_(network[-1].bias)
    optimizer = torch.optim.AdamW(network.parameters(), 4e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for step in range(STEPS):
        some = torch.randint(len(inputs), (BATCH,))
        seen = (inputs[some] - mean) / deviation
        found = network(seen + BLUR * torch.randn_like(seen))
        exposed = expose(dark[some], *gain_and_curve(found, values[some]))
        exposed = torch.where(exposed > 1, 0.9 + 0.1 * exposed, exposed)  # (a gradient remains)
        error = (exposed - sharp[some]).square().mean((1, 2, 3))
        loss = 0.5 * (error + LEAST).log().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 1000 == 999:
            print(step + 1, f"{loss.item():.4f}")
    first = network[0]
    with torch.no_grad():  # the standardization becomes part of the first layer
        first.weight /= deviation
        first.bias -= first.weight @ mean
    return network


if __name__ == "__main__":
    main()
