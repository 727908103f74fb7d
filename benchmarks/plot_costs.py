"""What restoration costs against image size, stages and kernel size, as a picture.

    uv run python benchmarks/plot_costs.py costs.png

Time on top (the least of some rounds), below it the most memory that a call holds. Needs
matplotlib (``pip install matplotlib``).
"""

import argparse
from functools import partial
from pathlib import Path

import torch

from unfold.benchmarking import PairedRun, Size, peak_memory
from unfold.benchmarking.sample import kernels, photo
from unfold.benchmarking.stages import WEIGHTS, by_hand, gradient, start, tied
from unfold.benchmarking.terms import our_step
from unfold.benchmarking.timing import compare
from unfold.benchmarking.yardstick import transforms
from unfold.core import State
from unfold.priors import ResUNet, SoftThreshold, TotalVariation
from unfold.terms import Convolution

KERNELS = (5, 11, 21, 31, 51, 81)


def by_size(sides, device):
    """Label -> a call for each side."""
    step = torch.full((1, 1, 1, 1), 0.01, device=device)
    net = ResUNet(widths=(16, 32, 64)).to(device).eval()

    def calls(make):
        return [make(Size(side, side)) for side in sides]

    return {
        "deconvolution step": calls(lambda size: our_step(size, device)),
        "its bound: two FFTs, a division": calls(lambda size: transforms(photo(size, device))),
        "prox of total variation": calls(
            lambda size: partial(TotalVariation(), photo(size, device), step)
        ),
        "prox of a small ResUNet": calls(lambda size: partial(net, photo(size, device), step)),
    }


def by_stages(rounds, side, device):
    size = Size(side, side)
    state, priors = start(size, device), [SoftThreshold() for _ in range(3)]
    hand = [by_hand, state["X"], state["H"], priors, WEIGHTS]
    gradients = [gradient(size, K, device) for K in rounds]
    return {
        "JUDE's stages, soft threshold": [partial(tied(priors, K), state) for K in rounds],
        "the same by hand": [partial(*hand, K) for K in rounds],
        "gradient, ResUNets, recomputed": [pair.run for pair in gradients],
        "gradient, ResUNets": [pair.baseline for pair in gradients],
    }


def by_kernel(widths, side, device):
    image = photo(Size(side, side), device)
    blur = Convolution("I", kernel="H", observed="X")

    def circular(kernel):
        return lambda: blur(State({"I": image, "X": image, "H": kernel}))

    def direct(kernel):
        each = kernel.expand(3, 1, -1, -1).contiguous()
        return lambda: torch.nn.functional.conv2d(image, each, padding="same", groups=3)

    return {
        "blur by FFT, kernel's transform included": [
            circular(kernels(1, k, device)) for k in widths
        ],
        "blur by sliding window": [direct(kernels(1, k, device)) for k in widths],
    }


def measured(calls, device, rounds):
    """Seconds and bytes of each call; the first of each warms up."""
    with torch.inference_mode():
        memory = [peak_memory(call, device) for call in calls]
    times = [compare(PairedRun(call, lambda: None, ""), device, rounds).seconds for call in calls]
    return times, memory


def draw(path, columns, device, rounds):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, len(columns), figsize=(15, 8), squeeze=False)
    for (title, xs, lines), (time, space) in zip(columns, axes.T, strict=True):
        for label, calls in lines.items():
            seconds, held = measured(calls, device, rounds)
            time.plot(xs, [1e3 * s for s in seconds], "o-", label=label)
            space.plot(xs, [b / 2**20 for b in held], "o-", label=label)
        for ax, unit in ((time, "milliseconds"), (space, "MiB")):
            ax.set(xscale="log", yscale="log", xlabel=title, ylabel=unit)
            ax.set_xticks(xs, [str(x) for x in xs])
            ax.minorticks_off()
            ax.grid(alpha=0.3)
        time.legend(fontsize=8)
    figure.suptitle(f"{device}, threads: {torch.get_num_threads()}, torch {torch.__version__}")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main():
    parser = argparse.ArgumentParser(description="Draw what restoration costs.")
    parser.add_argument("output", type=Path, help="a .png file")
    parser.add_argument("--largest", type=int, default=1024, help="side of the largest photo")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    sides = [side for side in (64, 128, 256, 512, 1024, 2048) if side <= arguments.largest]
    stages, side = (1, 2, 4, 8), min(256, arguments.largest)
    widths = [k for k in KERNELS if k <= side]
    columns = [
        ("side of the photo, pixels", sides, by_size(sides, device)),
        (f"stages, {side}×{side}", stages, by_stages(stages, side, device)),
        (f"side of the kernel, pixels, {side}×{side}", widths, by_kernel(widths, side, device)),
    ]
    draw(arguments.output, columns, device, arguments.rounds)
    print(f"wrote {arguments.output}")


if __name__ == "__main__":
    main()
