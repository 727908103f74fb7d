"""Weights of the learned denoisers: from a file, from DeepInverse's server, or random."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from unfold.errors import InputError

# Values of the option `weights` of a learned prior; None is refused when the prior is built.
Weights = Literal["download", "random"] | Path | None


def load_weights(net: nn.Module, weights: Weights, *, model: str, released: str | None) -> None:
    """Load weights into a network.

    Args:
        net: a new network of DeepInverse.
        weights: a file with a state dict; "download" for the released weights; "random" to keep the
            network as it is.
        model: the network's name on DeepInverse's server.
        released: the name of the released file for this architecture, if there is one.

    Raises:
        InputError: if weights is None, "download" is given but none are released, or a file does
            not contain this network's tensors or does not exist.
    """
    if weights == "random":
        return
    name = type(net).__name__
    source = f"{_url(model, released)}" if released else ""
    if weights is None or (weights == "download" and released is None):
        fetch = f"{released}, from {source}" if released else "none is released for this layout"
        download = ' "download" to fetch that one into torch.hub\'s cache,' if released else ""
        raise InputError(
            f"{name} is a learned denoiser and needs weights, got {weights!r}: set weights to the "
            f'path of a file with its state dict ({fetch}),{download} or "random" to train it'
        )
    if weights == "download":
        from deepinv.models.utils import load_state_dict_from_url

        # Not DRUNet(pretrained="download"), which unpickles any contents of the file.
        state = load_state_dict_from_url(
            source, map_location="cpu", file_name=released, weights_only=True
        )
    else:
        state = _read(Path(weights))
    try:
        net.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise InputError(
            f"{source if weights == 'download' else weights} does not hold the weights of this "
            f"{name}: check the number of channels and the options of its layout ({error})"
        ) from error


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise InputError(
            f"no file {path} to read weights from: give the path of a state dict, or "
            'weights="random" if a checkpoint is loaded into the network afterwards'
        )
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise InputError(
            f"{path} is no file of plain tensors, and nothing else is unpickled: save the state "
            "dict alone, torch.save(net.state_dict(), path)"
        ) from error


def _url(model: str, file: str | None) -> str:
    from deepinv.models.utils import get_weights_url

    return get_weights_url(model_name=model, file_name=file)
