"""The released file: HDF5, in the format of Keras 2 for a stack of models."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from unfold.models.convert import rename
from unfold.registry import ComponentError

# "conv1_3/kernel:0": the layer, a number by which Keras makes names unique, and the entry.
_ENTRY = re.compile(r"(?:^|/)(dense[123]|lambda|conv[1-6])(?:_\d+)?/(kernel|bias)(?::0)?$")
_FILTERS = re.compile(r"(?:^|/)filter_weights(?:_\d+)?(?::0)?$")


def read_hdf5(data: bytes) -> dict[str, Tensor]:
    """The arrays of a file, named by stage (from 1), layer and entry: ``1.conv1.kernel``.

    Raises:
        ComponentError: if it is not an HDF5 file that Keras wrote.
    """
    import h5py

    try:
        with h5py.File(io.BytesIO(data), "r") as opened:
            file: Any = opened
            names = [_text(name) for name in file.attrs["layer_names"]]
            stages = [file[name] for name in names if len(file[name].attrs["weight_names"])]
            return {
                f"{number}.{_name(_text(path))}": torch.from_numpy(group[path][()])
                for number, group in enumerate(stages, 1)
                for path in group.attrs["weight_names"]
            }
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise ComponentError(
            f"is no HDF5 file of Keras weights ({reason}): use stages_01-10_finetuned.hdf5"
        ) from error


def _name(path: str) -> str:
    if found := _ENTRY.search(path):
        return ".".join(found.groups())
    return "filters" if _FILTERS.search(path) else path


def _text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


def _layers(stages: int) -> Iterator[tuple[str, str]]:
    for t in range(stages):
        for i, name in enumerate(("dense1", "dense2", "dense3", "lambda")):
            yield f"{t + 1}.{name}", f"stages.{t}.strength.{2 * i}"
        for i in range(6):
            yield f"{t + 1}.conv{i + 1}", f"stages.{t}.numerator.{2 * i}"
        yield f"{t + 1}", f"stages.{t}"


def parameters_of(
    arrays: Mapping[str, Tensor], stages: int, like: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """A state dict of `FDN`, from what `read_hdf5` returns.

    Raises:
        ComponentError: if it belongs to another network, or has another number of stages.
    """
    state = dict(_renamed(arrays))
    return rename(state, dict(_layers(stages)), like)


def _renamed(arrays: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    for name, array in arrays.items():
        layer, _, entry = name.rpartition(".")
        if entry != "kernel":
            yield name, array
        elif array.ndim == 4:  # (h, w, in, out)
            yield f"{layer}.weight", array.permute(3, 2, 0, 1).contiguous()
        else:  # (in, out)
            yield f"{layer}.weight", array.T.contiguous()
