"""A model in its fast mode: bfloat16 convolutions, channels last; on a GPU compiled stages."""

from __future__ import annotations

import copy
import itertools
import time
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from unfold.core import Stage

Model = TypeVar("Model", bound=nn.Module)
_CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)
# A convolution with no more channels than this at one end reads or writes an image (and a map
# beside it). In bfloat16 it would round the photo itself to 8 bits, not only what is made of it:
# on networks that pass their input on this cost 9 dB, and saved a tenth of the time.
_IMAGE = 4


def fast(model: Model, *, compiled: bool | None = None, bfloat16: bool | None = None) -> Model:
    """A faster copy of a model, with nearly the same results.

    Convolutions inside its networks compute in bfloat16 (8 significant bits), channels last. The
    first and last ones, which read and write images, stay precise, as does all else: the solves
    and their FFTs, the weights of the stages, linear layers and norms. The model itself is left
    as it is. The copy is for inference (its parameters ask for no gradient) and not for saving.

    Where the device has no units for bfloat16, such convolutions are several times slower. That
    is measured, on the device that the model is on: move it there first. Where they do not pay
    they stay precise too, channels last alone, and a warning says so.

    Stages may be compiled by ``torch.compile``, which fuses what their updates do to each pixel
    and frequency. The first photo then takes a minute longer, and so does one of another size,
    once or twice.

    Args:
        model: a `Restorer`, or any other module. One without convolutions is copied unchanged, but
            for the compilation of its stages.
        compiled: whether stages are compiled. None: on a GPU, where a compiler for it works.
        bfloat16: whether convolutions compute in it. None: where it is measured to be faster.

    Returns:
        The copy, in evaluation mode.
    """
    model = copy.deepcopy(model).eval().requires_grad_(False)
    tensors = itertools.chain(model.parameters(), model.buffers())
    device = next((tensor.device for tensor in tensors), torch.device("cpu"))
    if (device.type == "cuda" and _compiles(device)) if compiled is None else compiled:
        for module in model.modules():
            if isinstance(module, Stage):
                module.compile()
    convolutions = [m for m in model.modules() if isinstance(m, _CONVOLUTIONS)]
    if not convolutions:
        return model
    pays = bfloat16_pays(device) if bfloat16 is None else bfloat16
    if not pays and bfloat16 is None:
        warnings.warn(
            f"bfloat16 is slower than float32 on this {device.type}: the fast mode only lays the "
            "channels of convolutions last",
            stacklevel=2,
        )
    for module in convolutions:
        module.to(memory_format=torch.channels_last)
        if pays and min(module.in_channels, module.out_channels) > _IMAGE:
            module.to(torch.bfloat16)
    for module in model.modules():
        module.casts_inputs = True  # type: ignore[assignment]
        own = next(module.parameters(recurse=False), None)
        if own is not None and own.is_floating_point():
            module.register_forward_pre_hook(_cast)
    return model


def _cast(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """The inputs in the precision of the module's parameters."""
    dtype = next(module.parameters(recurse=False)).dtype
    last = isinstance(module, _CONVOLUTIONS)

    def cast(x: Any) -> Any:
        if not isinstance(x, Tensor) or not x.is_floating_point():
            return x
        layout = torch.channels_last if last and x.ndim == 4 else torch.preserve_format
        return x.to(dtype, memory_format=layout)

    return tuple(cast(x) for x in inputs)


@cache
def _compiles(device: torch.device) -> bool:
    """Whether there is all that compiling for the device takes, by trying it."""
    try:
        torch.compile(torch.square)(torch.ones(8, device=device))
    except Exception as error:  # what a missing compiler raises, each backend decides for itself
        reason = " ".join(str(error).split()) or type(error).__name__
        warnings.warn(
            f"nothing can be compiled for this {device.type}, so that the fast mode runs its "
            f"stages as they are ({reason[:200]})",
            stacklevel=3,
        )
        return False
    return True


@torch.inference_mode()
def convolution_seconds(dtype: torch.dtype, device: torch.device) -> float:
    """Of one convolution, once."""
    layout: dict[str, Any] = {"dtype": dtype, "device": device}
    x = torch.zeros(1, 64, 64, 64, **layout).contiguous(memory_format=torch.channels_last)
    weight = torch.zeros(64, 64, 3, 3, **layout).contiguous(memory_format=torch.channels_last)
    _wait(device)
    begin = time.perf_counter()
    torch.nn.functional.conv2d(x, weight, padding=1)
    _wait(device)
    return time.perf_counter() - begin


@cache
def bfloat16_pays(
    device: torch.device,
    seconds: Callable[[torch.dtype, torch.device], float] = convolution_seconds,
) -> bool:
    """Whether the device convolves in bfloat16 faster than in float32, by trying it."""
    took: dict[torch.dtype, list[float]] = {torch.float32: [], torch.bfloat16: []}
    for _ in range(4):  # in turns, that a busy moment falls on both; the first warms up
        for dtype, rounds in took.items():
            rounds.append(seconds(dtype, device))
    return min(took[torch.bfloat16]) < min(took[torch.float32])


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
