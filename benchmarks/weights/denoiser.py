"""Train the weights of the prior `denoiser`.

    python denoiser.py PHOTOS [PHOTOS ...] --validate FOLDER --out RUN --steps 20000 [--gray]

A bias-free U-Net learns to remove white Gaussian noise whose standard deviation, uniform in
[0, 50/255], it is given: that for color, or with --gray the one for gray photos, which begins as
that for color. Crops, mirror images, turns and noise of step s depend on s alone, so that a run
that is stopped goes on from its last checkpoint to the same weights. RUN/weights.safetensors holds
the averaged weights of both nets; RUN/log.csv the loss and the validation's PSNR at σ = 15, 25, 50.
"""

import argparse
import csv
import math
import os
import time
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import avg_pool2d, l1_loss

from unfold.imaging import find_photos, read
from unfold.priors.denoiser import LARGEST, Denoiser

_DECAY = 0.999  # of the averaged weights
_LEVELS = (15, 25, 50)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--validate", required=True, type=Path)
    parser.add_argument("-o", "--output", dest="out", required=True, type=Path)
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--crop", type=int, default=96)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--every", type=int, default=1000)
    parser.add_argument("--gray", action="store_true", help="the net for gray photos")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    photos = [found for folder in given.photos for found in sizes(folder, given.crop, given.gray)]
    judged = [read(path).image[None] for path in find_photos([given.validate])[:12]]
    model = Denoiser(pretrained=given.gray).train().to(memory_format=torch.channels_last)
    learns = model.net
    if given.gray:
        judged, learns = [photo.mean(1, keepdim=True) for photo in judged], model.grey
        learns.load_state_dict(gray_of(model.net.state_dict()))
    average = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.Adam(learns.parameters(), lr=given.rate, betas=(0.9, 0.99))
    first = resume(given.out, model, average, optimizer)
    begin, total = time.perf_counter(), 0.0
    for step in range(first, given.steps):
        for group in optimizer.param_groups:
            group["lr"] = rate(step, given.steps, given.rate)
        clean, noisy, sigma = batch(photos, given.batch, given.crop, step)
        loss = l1_loss(model.prox(noisy, sigma.square()), clean)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learns.parameters(), 1.0)
        optimizer.step()
        decay = min(_DECAY, (1 + step) / (10 + step))
        for name, value in model.state_dict().items():
            average[name].lerp_(value, 1 - decay)
        total += loss.item()
        if (step + 1) % given.every == 0 or step + 1 == given.steps:
            keep(given.out, step + 1, model, average, optimizer)
            seconds, begin = time.perf_counter() - begin, time.perf_counter()
            row = [step + 1, total / given.every, *validate(average, judged), seconds]
            total = 0.0
            with (given.out / "log.csv").open("a", newline="") as file:
                csv.writer(file).writerow([f"{value:.5g}" for value in row])


def rate(step: int, steps: int, highest: float) -> float:
    """Cosine to a thousandth, after 200 steps of warming up."""
    cosine = 0.001 + 0.999 * (1 + math.cos(math.pi * step / steps)) / 2
    return highest * cosine * min(1.0, (step + 1) / 200)


def gray_of(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The net that treats a gray photo as the one for color treats three channels alike.

    Their noise is alike, too, and three times what it expects of their mean: it is given that.
    """
    head, tail = tensors["head.weight"], tensors["tail.weight"]
    colors, told = head.unflatten(1, (4, -1)).split((3, 1), 1)
    head = torch.cat((colors.sum(1, keepdim=True), math.sqrt(3) * told), 1).flatten(1, 2)
    tail = tail.unflatten(0, (3, -1)).mean(0)
    return {**tensors, "head.weight": head, "tail.weight": tail}


def sizes(folder: Path, crop: int, gray: bool) -> list[Tensor]:
    """The photos of a folder; large ones also at a half and a third of their size."""
    found = []
    for path in find_photos([folder]):
        image = read(path).image
        image = image.mean(0, keepdim=True) if gray else image
        for factor in (1, 2, 3):
            smaller = avg_pool2d(image[None], factor)[0] if factor > 1 else image
            if factor == 1 or min(smaller.shape[-2:]) >= 3 * crop:
                found.append((255 * smaller).round().byte())
    return found


def batch(photos: list[Tensor], size: int, crop: int, step: int) -> tuple[Tensor, Tensor, Tensor]:
    """Clean crops, noisy ones, and the standard deviation of the noise."""
    rng = torch.Generator().manual_seed(step)

    def below(bound: int) -> int:
        return int(torch.randint(bound, (), generator=rng))

    areas = torch.tensor([float(photo[0].numel()) for photo in photos]).sqrt()
    crops = []
    for index in torch.multinomial(areas, size, replacement=True, generator=rng).tolist():
        photo = photos[index]
        top, left = (below(n - crop + 1) for n in photo.shape[-2:])
        cut = photo[:, top : top + crop, left : left + crop]
        cut = cut.flip(-1) if below(2) else cut
        crops.append(cut.rot90(below(4), (-2, -1)))
    clean = torch.stack(crops).float() / 255
    sigma = LARGEST * torch.rand(size, 1, 1, 1, generator=rng)
    return clean, clean + sigma * torch.randn(clean.shape, generator=rng), sigma


@torch.no_grad()
def validate(tensors: dict[str, Tensor], photos: list[Tensor]) -> list[float]:
    """Mean PSNR at each level of noise, of predictions that are clipped to [0, 1]."""
    model = Denoiser(pretrained=False).eval()
    model.load_state_dict(tensors)
    found = []
    for level in _LEVELS:
        step = torch.full((1, 1, 1, 1), (level / 255) ** 2)
        values = []
        for number, clean in enumerate(photos):
            noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(number))
            restored = model.prox(clean + noise * level / 255, step).clamp(0, 1)
            values.append(-10 * math.log10((restored - clean).square().mean().item()))
        found.append(sum(values) / len(values))
    return found


def keep(folder: Path, step: int, model, average: dict[str, Tensor], optimizer) -> None:
    """The averaged weights, and all that it takes to go on."""
    save_file({k: v.contiguous() for k, v in average.items()}, folder / "weights.safetensors")
    moments = {
        f"{kind}.{index}": state[kind].contiguous()
        for index, state in optimizer.state_dict()["state"].items()
        for kind in ("exp_avg", "exp_avg_sq")
    }
    tensors = {
        **{f"model.{k}": v.contiguous() for k, v in model.state_dict().items()},
        **{f"average.{k}": v.contiguous() for k, v in average.items()},
        **moments,
        "step": torch.tensor(step),
    }
    save_file(tensors, folder / "checkpoint.new")
    os.replace(folder / "checkpoint.new", folder / "checkpoint.safetensors")


def resume(folder: Path, model, average: dict[str, Tensor], optimizer) -> int:
    """The step to go on with: 0 where nothing was kept."""
    path = folder / "checkpoint.safetensors"
    if not path.exists():
        return 0
    kept = load_file(path)
    step = int(kept.pop("step"))
    for name in average:
        average[name].copy_(kept[f"average.{name}"])
    model.load_state_dict({name: kept[f"model.{name}"] for name in average})
    state = optimizer.state_dict()
    state["state"] = {
        index: {kind: kept[f"{kind}.{index}"] for kind in ("exp_avg", "exp_avg_sq")}
        | {"step": torch.tensor(float(step))}
        for index in range(len(state["param_groups"][0]["params"]))
    }
    optimizer.load_state_dict(state)
    return step


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
