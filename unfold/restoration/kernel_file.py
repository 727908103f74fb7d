"""Reading and writing of blur kernels."""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from unfold._files import replace_file
from unfold.errors import InputError
from unfold.imaging import ImageError, read
from unfold.imaging.io import destination, writing

_ARRAYS = (".npy", ".npz", ".txt", ".csv")


def read_kernel(path: str | os.PathLike[str]) -> Tensor:
    """Read a kernel ``(1, 1, h, w)`` float32, nonnegative, scaled to sum 1.

    Args:
        path: path of a 2-D array in ``.npy``, ``.npz`` (one array), ``.txt`` or ``.csv``, or of a
            picture whose gray values are the weights. The kernel's center is at ``(h // 2, w //
            2)``.

    Raises:
        ImageError: if the file is not a kernel; the message names the file and the error.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import numpy as np
        >>> from unfold.restoration import read_kernel
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.save(Path(folder, "kernel.npy"), [[0, 1, 0], [1, 4, 1], [0, 1, 0]])
        ...     read_kernel(Path(folder, "kernel.npy"))
        tensor([[[[0.0000, 0.1250, 0.0000],
                  [0.1250, 0.5000, 0.1250],
                  [0.0000, 0.1250, 0.0000]]]])
    """
    path = Path(path)
    values = _array(path) if path.suffix.lower() in _ARRAYS else read(path).image.mean(0).numpy()
    if values.ndim != 2 or 0 in values.shape or values.dtype.kind not in "uif":
        raise ImageError(
            f"{path}: a kernel must be a 2-D array of numbers, got shape {values.shape} of "
            f"{values.dtype}; save a single kernel"
        )
    values = values.astype(np.float64)
    total = values.sum()
    if not np.isfinite(total) or values.min() < 0 or total <= 0:
        raise ImageError(
            f"{path}: the values of a kernel must be finite, not negative and not all zero; their "
            f"sum is {total:g}, their minimum {values.min():g}"
        )
    return torch.from_numpy(values / total).float()[None, None]


def write_kernel(path: str | os.PathLike[str], kernel: Tensor) -> None:
    """Write a kernel ``(1, 1, h, w)`` as a 2-D array, ``.npy``, which `read_kernel` reads.

    The file is written atomically.

    Raises:
        ImageError: if the file cannot be written.
    """
    data = io.BytesIO()
    np.save(data, kernel[0, 0].cpu().numpy())
    with writing(path):
        replace_file(destination(path), data.getvalue())


def _array(path: Path) -> np.ndarray:
    try:
        if path.suffix.lower() in (".txt", ".csv"):
            comma = "," if path.suffix.lower() == ".csv" else None
            with warnings.catch_warnings():  # of an empty file; its shape says so
                warnings.simplefilter("ignore")
                return np.loadtxt(path, delimiter=comma, ndmin=2)
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            if len(loaded.files) != 1:
                raise InputError(f"the file holds {len(loaded.files)} arrays, not one")
            return loaded[loaded.files[0]]
    except Exception as error:  # whatever is in the file, the answer is one line
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(
            f"{path}: cannot be read as a kernel ({reason}); save it with numpy.save"
        ) from error
