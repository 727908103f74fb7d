"""The names of LEDNet's modules in the public release.

A checkpoint of https://github.com/sczhou/LEDNet contains its state dict under ``params``. The rest
of an entry's name after that of its module (``.0.weight``) is the same as here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from unfold.registry import ComponentError

from .blocks import blur_kernel


def _modules() -> Iterator[tuple[str, str]]:
    yield "E_block1.0", "head.0"
    yield "E_block1.1", "head.1"
    for level, theirs in enumerate(("E_block1.2", "E_block2", "E_block3")):
        ours, n = f"encoder.{level}", level + 1
        yield f"{theirs}.body1", f"{ours}.block.0.body"
        yield f"{theirs}.body2", f"{ours}.block.1"
        yield f"{theirs}.reshape_conv.top", f"{ours}.down.main"
        yield f"{theirs}.reshape_conv.bot", f"{ours}.down.skip"
        yield f"PPM{n}.features", f"{ours}.pyramid.branches"
        yield f"PPM{n}.fuse", f"{ours}.pyramid.fuse"
        yield f"conv_{n}c.predict_a", f"{ours}.curve.predict"
    yield "side_out", "side"
    for block in (0, 1):
        yield f"M_block{block + 1}.body1", f"middle.{block}.0.body"
        yield f"M_block{block + 1}.body2", f"middle.{block}.1"
    for level, n in enumerate((3, 2, 1)):
        yield from _decoder(f"D_block{n}", f"decoder.{level}.up", f"decoder.{level}.block")
        yield f"conv_fac_k{n}", f"decoder.{level}.fuse.predict"
    yield from _decoder("D_block0.0", "tail.0", "tail.1")
    yield "D_block0.1", "tail.2"


def _decoder(theirs: str, up: str, block: str) -> Iterator[tuple[str, str]]:
    yield f"{theirs}.reshape_conv.top", f"{up}.main"
    yield f"{theirs}.reshape_conv.bot.1", f"{up}.skip"
    yield f"{theirs}.body1", f"{block}.0.body"
    yield f"{theirs}.body2", f"{block}.1.body"


MODULES = dict(_modules())
"""Module of the public release -> module of `LEDNet`."""


def parameters_of(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """The learned parameters of a public checkpoint. Its constants, the kernels of the blur
    pooling, are compared with ours and omitted.

    Raises:
        ComponentError: if there is no state dict under ``params``, or the constants differ.
    """
    state = checkpoint.get("params", checkpoint)
    if not isinstance(state, Mapping):
        raise ComponentError(f"'params' must hold a state dict, got a {type(state).__name__}")
    kernel = blur_kernel()
    for name, value in state.items():
        if str(name).endswith(".filt") and not _is_constant(value, kernel):
            raise ComponentError(f"{name} must be the kernel [1 2 1]ᵀ[1 2 1]/16, and is another")
    return {name: value for name, value in state.items() if not str(name).endswith(".filt")}


def _is_constant(value: Any, kernel: Tensor) -> bool:
    if not isinstance(value, Tensor) or value.shape[1:] != (1, 3, 3):
        return False
    return torch.allclose(value.to(kernel), kernel.expand_as(value))
