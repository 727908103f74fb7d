"""A tiny training that every test can afford, and photos for it."""

import copy
import multiprocessing
import os
import socket

import torch
from skimage.data import astronaut, chelsea, coffee, rocket

from unfold.imaging import Photo, write
from unfold.training import parse_recipe

SYNTHESIS = {
    "steps": [
        {"degradation": {"kind": "low-light", "exposure": [0.1, 0.3]}},
        {"degradation": {"kind": "camera-shake", "extent": [2, 4]}},
        {"degradation": "clip", "saves": "bad"},
    ],
    "files": {},
    "input": "bad",
}
MODEL = {
    "kind": "jude-small",
    "K": 1,
    "kernel_estimator": {"kind": "kernel", "size": 5, "widths": [8, 8]},
    "enhancer": {"kind": "illumination", "widths": [8, 8], "pooled": True},
    "denoiser": None,
    "prior": {"kind": "resunet", "widths": [4], "residual": True},
    "light_prior": None,
}

# Where the model does not matter: a step takes a fifth of the time.
CURVES = {"kind": "zero-dce", "iterations": 2, "width": 4}


def photos(folder, names=("astronaut", "coffee", "rocket"), scale=2):
    """Sharp photos of scikit-image in a new folder."""
    folder.mkdir(parents=True, exist_ok=True)
    made = {"astronaut": astronaut, "coffee": coffee, "rocket": rocket, "chelsea": chelsea}
    for name in names:
        image = torch.from_numpy(made[name]()).permute(2, 0, 1)[:, ::scale, ::scale] / 255
        write(folder / f"{name}.png", Photo(image.contiguous()))
    return folder


def values(source, **changes):
    """The mapping of a tiny recipe."""
    base = {
        "model": MODEL,
        "data": {"kind": "synthesized", "source": str(source), "recipe": SYNTHESIS, "margin": 4},
        "losses": [{"loss": "l1"}, {"loss": "fft", "weight": 0.1}],
        "phases": [{"steps": 6, "batch": 2, "crop": 16, "lr": 1e-3}],
        "checkpoint": {"every": 2, "keep": 2},
    }
    return copy.deepcopy(base | changes)


def recipe(source, **changes):
    return parse_recipe(values(source, **changes))


def apart(function, *given, **environment):
    """A forked process that calls a function: it need not import torch again."""

    def run():
        os.environ.update(environment)
        torch.set_num_threads(1)
        os._exit(function(*given) or 0)

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    return process


def two_processes(work):
    """Call a function in two processes, as torchrun would."""
    import torch._dynamo  # noqa: F401 (an optimizer imports it: once here, not in every process)

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    ranks = [apart(work, RANK=rank, LOCAL_RANK=rank, **shared) for rank in "01"]
    for process in ranks:
        process.join(timeout=180)
    assert [process.exitcode for process in ranks] == [0, 0]
