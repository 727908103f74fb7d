"""What a bad photo costs: 256×256, eight at a time, against one blur by FFT, on a core or a GPU."""

import contextlib

import pytest
import torch

from unfold.degradation import blur, motion_kernel
from unfold.degradation.counter import counted
from unfold.registry import scan
from unfold.registry.spec import spec_type

BATCH, SIZE, FRAMES = 8, 256, 13


def names():
    for component in scan().components:
        if (component.group, component.distribution) == ("degradations", "unfold-imaging"):
            fields = spec_type("degradations", component.name).model_fields.values()
            if not any(field.is_required() for field in fields):  # no weights at hand
                yield component.name


@pytest.fixture
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.benchmark(group="degradations")
@pytest.mark.parametrize("name", names())
def test_degradation(against, benchmark, one_thread, device, name):
    """Parameters are drawn anew for every batch, as in training. On a GPU noise is drawn there."""
    degradation = spec_type("degradations", name)().build()
    frames = (FRAMES,) if degradation.frames else ()
    image = torch.rand(BATCH, *frames, 3, SIZE, SIZE, device=device)
    photo, kernel = torch.rand(BATCH, 3, SIZE, SIZE, device=device), motion_kernel(31).to(device)
    generator = torch.Generator().manual_seed(0)
    inputs = dict.fromkeys(degradation.inputs)

    def degraded():
        parameters = degradation.sample(BATCH, generator)
        there = {name: value.to(device) for name, value in parameters.items()}
        return degradation.apply(image, there, **inputs)

    with contextlib.nullcontext() if device.type == "cpu" else counted():
        against(degraded, lambda: blur(photo, kernel), "one blur by FFT", rounds=10)
    benchmark.extra_info["photos per second"] = BATCH / benchmark.stats.stats.median


def test_motion_kernels(against, benchmark, one_thread):
    """Eight kernels in one batch against eight made one after the other."""
    shake = spec_type("degradations", "camera-shake")().build()
    generator = torch.Generator().manual_seed(0)
    against(
        lambda: shake.kernel(shake.sample(BATCH, generator)),
        lambda: [motion_kernel(31, generator=generator) for _ in range(BATCH)],
        "eight single kernels",
    )
