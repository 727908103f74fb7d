"""The device of a computation: by name, and its memory."""

from __future__ import annotations

import re
import weakref
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from unfold._heap import trim
from unfold.errors import InputError

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12,
          "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}  # fmt: skip
# Of what is free, other programs may want some; of a GPU's, its libraries do.
_SHARE = 0.75
_CGROUPS = (
    ("/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
     "total_inactive_file"),
)  # fmt: skip


def find_device(name: torch.device | str) -> torch.device:
    """The device with this name; ``"auto"`` is a GPU if there is one.

    Raises:
        InputError: if there is no such device, or it cannot be used.

    Example:
        >>> from unfold.restoration.device import find_device
        >>> find_device("cpu")
        device(type='cpu')
        >>> find_device("abacus")
        Traceback (most recent call last):
            ...
        unfold.errors.InputError: device 'abacus' cannot be used (torch knows no such device); ...
    """
    gpus = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    if name == "auto":
        return torch.device("cuda" if gpus else "cpu")
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError) as error:
        raise _refused(name, "torch knows no such device", gpus) from error
    try:
        torch.empty(0, device=device).cpu()  # (fails for the device meta)
    except (RuntimeError, AssertionError) as error:
        raise _refused(name, str(error).splitlines()[0][:120], gpus) from error
    return device


def _refused(name: object, reason: str, gpus: list[str]) -> InputError:
    usable = ", ".join(["auto", "cpu", *gpus])
    return InputError(f"device {str(name)!r} cannot be used ({reason}); give one of {usable}")


def parse_bytes(size: str | int) -> int:
    """Parse ``"2GiB"``, ``"800 MB"``, ``"1.5g"`` or a plain number of bytes.

    Raises:
        InputError: if it is none of these, or not positive.

    Example:
        >>> from unfold.restoration import parse_bytes
        >>> parse_bytes("2GiB"), parse_bytes("1.5 kB"), parse_bytes(800)
        (2147483648, 1500, 800)
    """
    text = str(size).lower() if isinstance(size, str) or type(size) is int else ""
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([kmgt]i?)?b?\s*", text)
    count = int(float(match[1]) * _UNITS[match[2] or ""]) if match else 0
    if count < 1:
        raise InputError(f"{size!r} is not an amount of memory; write it as 2GiB or 800MB")
    return count


def format_bytes(size: int) -> str:
    """Format a number of bytes in MiB below 1 GiB, otherwise in GiB."""
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{max(size, 0) / 2**20:.0f} MiB"


def default_budget(device: torch.device) -> int:
    """The default budget of a device: the used memory and most of the free memory."""
    return used(device) + int(_SHARE * free(device))


def used(device: torch.device) -> int:
    """Bytes that this process uses on a device; on the CPU including its libraries."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    return psutil.Process().memory_info().rss


def release(device: torch.device) -> None:
    """Return free memory that the allocators cache to the system, if the system allows it."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    else:
        trim()


def free(device: torch.device) -> int:
    """Free bytes of a device; on the CPU also within the limit of the control group."""
    if device.type == "cuda":
        idle = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + idle
    sizes = [_free_in_group(*group) for group in _CGROUPS]
    return min([psutil.virtual_memory().available, *(size for size in sizes if size is not None)])


class LiveBytes(TorchFunctionMode):
    """A context that counts the bytes of the tensors that are created in it, and their peak.

    Memory inside of operators and memory cached by the allocator are not counted. (A dispatch mode
    would count a little more, but imports the compiler, which takes seconds.)

    Attributes:
        peak: largest number of bytes that existed at once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self._alive: dict[int, int] = {}  # storage -> bytes

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else (out,):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                key = storage._cdata
                if key not in self._alive:
                    self._alive[key] = storage.nbytes()
                    weakref.finalize(storage, self._alive.pop, key, None)
        self.peak = max(self.peak, sum(self._alive.values()))
        return out


def _free_in_group(root: str, limit: str, usage: str, cache: str) -> int | None:
    """Free memory of a control group, including the cache of files, which is released on demand."""
    try:
        most = int((Path(root) / limit).read_text())
        now = int((Path(root) / usage).read_text())
        lines = (Path(root) / "memory.stat").read_text().splitlines()
    except (OSError, ValueError):  # there is none, or it has no limit ("max")
        return None
    return max(0, most - now + sum(int(s.split()[1]) for s in lines if s.split()[0] == cache))
