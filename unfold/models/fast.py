"""A fast copy of a model: bfloat16 convolutions, channels last, and compiled stages on a GPU."""

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
# A convolution with at most this many input or output channels reads or writes an image (and
# possibly a map). In bfloat16 it would round the photo itself to 8 bits: in networks with skip
# connections from the input this cost 9 dB and saved a tenth of the time.
_IMAGE = 4


def fast(model: Model, *, compiled: bool | None = None, bfloat16: bool | None = None) -> Model:
    """Make a faster copy of a model, with nearly the same results.

    Convolutions inside the networks compute in bfloat16 (8 significant bits), with channels last.
    The first and last convolutions, which read and write images, keep their precision, and so do
    solvers, FFTs, penalties, linear layers and norms. The model itself is not changed. The copy is
    for inference: its parameters require no gradient, and it must not be saved.

    On devices without bfloat16 units these convolutions are several times slower. `fast` measures
    this on the device of the model, so move the model there first. If bfloat16 is not faster, the
    copy only uses channels last, and a warning is given.

    ``torch.compile`` fuses the updates of a stage that act on each pixel or frequency. The first
    photo then takes a minute longer, and so do the first one or two photos of another size.

    Args:
        model: a `Restorer` or any other module. In a module without convolutions only the stages
            are compiled.
        compiled: whether stages are compiled. None: on a GPU that has a working compiler.
        bfloat16: whether convolutions compute in bfloat16. None: if it is measured to be faster.

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
            f"bfloat16 is slower than float32 on this {device.type}: the fast copy only changes "
            "the memory format of convolutions to channels last",
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
    """Whether compilation works for the device, by trying it."""
    try:
        torch.compile(torch.square)(torch.ones(8, device=device))
    except Exception as error:  # each backend raises another exception if its compiler is missing
        reason = " ".join(str(error).split()) or type(error).__name__
        warnings.warn(
            f"torch.compile does not work for this {device.type}, so the stages of the fast copy "
            f"are not compiled ({reason[:200]})",
            stacklevel=3,
        )
        return False
    return True


@torch.inference_mode()
def convolution_seconds(dtype: torch.dtype, device: torch.device) -> float:
    """The time of one convolution."""
    layout: dict[str, Any] = {"dtype": dtype, "device": device}
    x = torch.zeros(1, 64, 64, 64, **layout).contiguous(memory_format=torch.channels_last)
    weight = torch.zeros(64, 64, 3, 3, **layout).contiguous(memory_format=torch.channels_last)
    synchronize(device)
    begin = time.perf_counter()
    torch.nn.functional.conv2d(x, weight, padding=1)
    synchronize(device)
    return time.perf_counter() - begin


@cache
def bfloat16_pays(
    device: torch.device,
    seconds: Callable[[torch.dtype, torch.device], float] = convolution_seconds,
) -> bool:
    """Whether the device computes convolutions faster in bfloat16 than in float32, by trying it."""
    took: dict[torch.dtype, list[float]] = {torch.float32: [], torch.bfloat16: []}
    for _ in range(4):  # alternately, so that other load affects both; the first is a warm-up
        for dtype, rounds in took.items():
            rounds.append(seconds(dtype, device))
    return min(took[torch.bfloat16]) < min(took[torch.float32])


def synchronize(device: torch.device) -> None:
    """Wait until a device has finished its work."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
