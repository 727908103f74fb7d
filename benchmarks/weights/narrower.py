"""Narrower networks for the prior of a model's block, that do nearly what the wide ones did.

    python narrower.py MODEL PHOTOS [PHOTOS ...] --widths 32 64 -o RUN

MODEL is a model with weights, by name or folder, whose priors on the block (Z) are ResUNets. It
restores a crop of each bad photo, and each prior's network is narrowed on what it was given:

1. The features that its residual blocks add to are rotated onto their principal components, of
   which the first ``width`` remain. (The additions commute with a rotation.)
2. Of the channels within a residual block, between its two convolutions, those remain that explain
   the others best, one after the other removed; the second convolution takes over, by least
   squares, what the removed ones did.
3. Adam with an L1 loss brings the narrow network's outputs to those of the wide one.

RUN holds the model with the narrow priors, to be trained further: model.safetensors, model.json.
"""

import argparse
import itertools
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, l1_loss, relu

import unfold
from unfold.imaging import find_photos, read
from unfold.models.weights import load_model, read_facts, save_model
from unfold.priors.blocks import ResidualBlock, UNet
from unfold.registry.spec import resolve

CROP, SEEN, RATE = 192, 144, 1e-3  # of a photo; of what a prior is given; of Adam, at first
TINY = 1e-6  # of a matrix's mean diagonal, added to it


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model")
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--widths", nargs="+", type=int, required=True)
    parser.add_argument("--block", default="Z")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args()
    torch.manual_seed(0)
    folder = Path(given.model)
    if not folder.is_dir():
        folder = Path(unfold.__file__).parent / "models" / "shipped" / given.model
    model, facts = load_model(folder).eval(), read_facts(folder)
    networks = {
        name: module.net
        for name, module in model.named_modules()
        if name.endswith(f".priors.{given.block}")
    }
    seen = watch(model, networks, find_photos(given.photos))
    tensors = dict(model.state_dict())
    for name, wide in networks.items():
        narrow = narrowed(wide, seen[name], given.widths)
        before = difference(narrow, wide, seen[name])
        teach(narrow, wide, seen[name], given.steps)
        after = difference(narrow, wide, seen[name])
        print(f"{name}: differs by {before:.4f}, after {given.steps} steps by {after:.4f}")
        tensors |= {f"{name}.net.{key}": value for key, value in narrow.state_dict().items()}
    spec = facts["model"] | {"prior": facts["model"]["prior"] | {"widths": given.widths}}
    save_model(given.output, tensors, resolve("models", spec), needs=facts["needs"])
    load_model(given.output)


@torch.no_grad()
def watch(
    model: nn.Module, networks: dict[str, nn.Module], photos: list[Path]
) -> dict[str, Tensor]:
    """What each network is given while the model restores the middles of photos."""
    seen: dict[str, list[Tensor]] = {name: [] for name in networks}
    for name, network in networks.items():
        network.register_forward_hook(
            lambda _, given, __, name=name: seen[name].append(given[0][..., :SEEN, :SEEN].clone())
        )
    for path in photos:
        image = read(path).image[None]
        top, left = ((side - CROP) // 2 for side in image.shape[-2:])
        if min(top, left) >= 0:
            model(image[..., top : top + CROP, left : left + CROP])
    return {name: torch.cat(inputs) for name, inputs in seen.items()}


@torch.no_grad()
def narrowed(wide: UNet, x: Tensor, widths: list[int]) -> UNet:
    """A U-Net of these widths whose features are the principal components of the wide one's."""
    features, inputs = traced(wide, x)
    blocks = sum(isinstance(module, ResidualBlock) for module in wide.body)
    channels = wide.head.in_channels // wide.unshuffle**2
    outputs = wide.tail.out_channels // wide.unshuffle**2
    narrow = UNet(channels, outputs, tuple(widths), blocks, unshuffle=wide.unshuffle)
    bases = [
        principal(sum(covariance(made) / covariance(made).trace() for made in level), width)
        for level, width in zip(features, widths, strict=True)
    ]
    fine = bases[0]
    narrow.head.weight.copy_(torch.einsum("oikl,oa->aikl", wide.head.weight, fine))
    narrow.tail.weight.copy_(torch.einsum("oikl,ia->oakl", wide.tail.weight, fine))
    for n, (below, above) in enumerate(itertools.pairwise(bases)):
        weight = wide.down[n][-1].weight
        narrow.down[n][-1].weight.copy_(torch.einsum("oikl,oa,ib->abkl", weight, above, below))
        weight = wide.up[-1 - n][0].weight
        narrow.up[-1 - n][0].weight.copy_(torch.einsum("iokl,ia,ob->abkl", weight, above, below))
    pairs = zip(residual_blocks(wide), residual_blocks(narrow), strict=True)
    for (level, old), (_, new) in pairs:
        narrow_block(old, new, bases[level], inputs[old], widths[level])
    return narrow


def residual_blocks(net: UNet) -> list[tuple[int, ResidualBlock]]:
    """Each with its level, finest 0."""
    last = len(net.down)
    parts = [*enumerate(net.down), (last, net.body)]
    parts += [(last - 1 - n, up) for n, up in enumerate(net.up)]
    return [(n, block) for n, part in parts for block in part if isinstance(block, ResidualBlock)]


def traced(net: UNet, x: Tensor) -> tuple[list[list[Tensor]], dict[nn.Module, Tensor]]:
    """The features at each level that blocks add to, and what each residual block is given."""
    levels: list[list[Tensor]] = [[] for _ in range(len(net.down) + 1)]
    inputs: dict[nn.Module, Tensor] = {}
    last = len(net.down)
    makers = [(0, net.head), *residual_blocks(net)]
    makers += [(n + 1, down[-1]) for n, down in enumerate(net.down)]
    makers += [(last - 1 - n, up[0]) for n, up in enumerate(net.up)]

    def keep(level: int):
        def hook(module: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> None:
            levels[level].append(made.clone())
            if isinstance(module, ResidualBlock):
                inputs[module] = given[0].clone()

        return hook

    hooks = [module.register_forward_hook(keep(level)) for level, module in makers]
    net(x)
    for hook in hooks:
        hook.remove()
    return levels, inputs


def narrow_block(
    old: ResidualBlock, new: ResidualBlock, basis: Tensor, x: Tensor, width: int
) -> None:
    """Steps 1 and 2 for one block."""
    first, second = old.body[0].weight, old.body[-1].weight
    inner = covariance(relu(conv2d(x, first, padding=1)))
    weight = second.square().sum((0, 2, 3)).double().sqrt()
    kept = explaining(weight[:, None] * inner * weight, width)
    within = regular(inner[kept][:, kept])
    taken_over = torch.linalg.solve(within, inner[kept]).float()  # (kept, all)
    new.body[0].weight.copy_(torch.einsum("oikl,ia->oakl", first[kept], basis))
    new.body[-1].weight.copy_(torch.einsum("oikl,oa,hi->ahkl", second, basis, taken_over))


def explaining(matrix: Tensor, count: int) -> list[int]:
    """Indices that remain when the one is removed, again and again, that the others explain best:
    its variance given them, one over the diagonal of the inverse covariance, is the least."""
    kept = list(range(len(matrix)))
    inverse = torch.linalg.inv(regular(matrix))
    while len(kept) > count:
        at = int((1 / inverse.diagonal()).argmin())
        rest = [n for n in range(len(kept)) if n != at]
        column = inverse[rest][:, [at]]
        inverse = inverse[rest][:, rest] - column @ column.mT / inverse[at, at]
        kept.pop(at)
    return kept


def principal(matrix: Tensor, count: int) -> Tensor:
    """The eigenvectors of the largest eigenvalues, in columns."""
    return torch.linalg.eigh(matrix).eigenvectors[:, -count:].float()


def covariance(x: Tensor) -> Tensor:
    """Of channels, about zero: ``(C, C)`` in float64."""
    x = x.transpose(0, 1).flatten(1).double()
    return x @ x.mT / x.shape[1]


def regular(matrix: Tensor) -> Tensor:
    return matrix + TINY * matrix.diagonal().mean() * torch.eye(len(matrix), dtype=matrix.dtype)


def teach(narrow: UNet, wide: UNet, x: Tensor, steps: int) -> None:
    """Step 3, on turned inputs."""
    optimizer = torch.optim.Adam(narrow.parameters(), RATE, betas=(0.9, 0.99))
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = RATE * (1 - step / steps) * min(1, (step + 1) / 30)
        given = x[torch.randint(len(x), (4,))].rot90(int(torch.randint(4, ())), (-2, -1))
        with torch.no_grad():
            wanted = wide(given)
        loss = l1_loss(narrow(given), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@torch.no_grad()
def difference(narrow: UNet, wide: UNet, x: Tensor) -> float:
    """Root of the mean squared difference, divided by that of what the wide one makes."""
    wanted = torch.cat([wide(part) for part in x.split(8)])
    made = torch.cat([narrow(part) for part in x.split(8)])
    return ((made - wanted).square().mean() / wanted.square().mean()).sqrt().item()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
