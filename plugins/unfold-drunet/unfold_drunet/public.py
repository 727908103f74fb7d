"""The names of DRUNet's layers in the release."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from unfold.models.convert import rename
from unfold.registry import ComponentError


def modules(levels: int, blocks: int) -> dict[str, str]:
    """Module of the release -> module of `unfold.priors.blocks.UNet`.

    Args:
        levels: number of levels of the U-Net; 4 in the release.
        blocks: number of residual blocks at each level, in the encoder and in the decoder.
    """
    return dict(_modules(levels, blocks))


def _modules(levels: int, blocks: int) -> Iterator[tuple[str, str]]:
    yield "m_head", "net.head"
    for i in range(blocks):
        yield f"m_body.{i}.res", f"net.body.{i}.body"
    for level in range(levels - 1):
        # In the release, a level has one number; here the decoder starts at the coarsest level.
        down, up = f"net.down.{level}", f"net.up.{levels - 2 - level}"
        yield f"m_down{level + 1}.{blocks}", f"{down}.{blocks}"
        yield f"m_up{level + 1}.0", f"{up}.0"
        for i in range(blocks):
            yield f"m_down{level + 1}.{i}.res", f"{down}.{i}.body"
            yield f"m_up{level + 1}.{i + 1}.res", f"{up}.{i + 1}.body"
    yield "m_tail", "net.tail"


def read_released(
    file: Path, layers: Mapping[str, str], like: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Read a released file and rename its entries; nothing but tensors is unpickled.

    Args:
        file: a state dict, written by ``torch.save`` or as safetensors.
        layers: released name of a layer -> our name.
        like: state dict with the names, shapes and dtypes that the result must have.

    Raises:
        ComponentError: if the file does not exist, contains other objects than tensors, or belongs
            to another network. The message is one line.
    """
    try:
        if file.suffix == ".safetensors":
            state: Any = load_file(file)
        else:
            state = torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ComponentError(f"{file}: cannot be read ({error.strerror or error})") from error
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ComponentError(
            f"{file} is no file of plain tensors, and nothing else is unpickled: get it again"
        ) from error
    if not isinstance(state, Mapping):
        raise ComponentError(f"{file} must hold a state dict, got a {type(state).__name__}")
    try:
        return rename(state, layers, like)
    except ComponentError as error:
        raise ComponentError(
            f"{file} does not fit DRUNet: {error}; set channels, widths and blocks as it was "
            "trained"
        ) from error
