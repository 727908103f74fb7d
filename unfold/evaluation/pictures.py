"""Restored pictures as PNG files, which never replace files of a data set."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from unfold._files import held, one_line
from unfold.datasets import Pair
from unfold.imaging import Photo, write

from .errors import EvaluationError
from .protocol import Protocol

_MARKER = ".unfold-pictures"  # says that the folder is ours, and is locked


class Pictures:
    """A folder for restored pictures, named after their photos.

    Args:
        folder: see `held`.
        pairs: the pairs whose restorations are saved.
        dataset: all photos of the data set, with its ``root`` if it has one.

    Raises:
        EvaluationError: if the folder is a file, or a picture would replace a file of the data
            set, of a pair or any other file in its folder (faulty photos and other splits
            included).
    """

    def __init__(self, folder: Path, pairs: Sequence[Pair], dataset: Sequence[Pair]) -> None:
        self.folder = folder
        above = next((place for place in (folder, *folder.parents) if os.path.lexists(place)), None)
        if above is not None and not above.is_dir():
            raise EvaluationError(
                f"pictures cannot be saved in {one_line(str(folder))}: {one_line(str(above))} is "
                "no folder; name one"
            )
        root = getattr(dataset, "root", None)
        home = None if root is None else os.path.realpath(root)
        originals = {_identity(file) for pair in dataset for file in pair.files} - {None}
        for pair in pairs:
            path = self.path(pair)
            identity = _identity(path)
            # (A link is written through, so what counts is where it leads.)
            inside = home is not None and Path(os.path.realpath(path)).is_relative_to(home)
            if identity is not None and (inside or identity in originals):
                raise EvaluationError(
                    f"{one_line(str(path))} is a file in the data set's folder, and would be "
                    "replaced by what the model makes; save pictures in another folder"
                )

    def held(self) -> contextlib.AbstractContextManager[None]:
        """Create the folder if necessary and lock it for this process.

        Raises:
            EvaluationError: if it contains files that no evaluation saved, or another evaluation
                uses it now.
            OSError: if it cannot be created.
        """
        return held(self.folder / _MARKER, EvaluationError, "saves pictures there")

    def path(self, pair: Pair) -> Path:
        """The path of a photo's picture."""
        return self.folder / f"{pair.name}.png"

    def save(self, pair: Pair, restored: Tensor, protocol: Protocol) -> None:
        """Write a picture, ``(1, 3, H, W)``, with the bits of the protocol, or 16 bits.

        Raises:
            ImageError, OSError: if it cannot be written.
            EvaluationError: if the folder was removed after `held`.
        """
        path = self.path(pair)
        if not (self.folder / _MARKER).exists():  # (or it would be made anew, and not be ours)
            raise EvaluationError(f"{one_line(str(self.folder))}: was removed during the run")
        path.parent.mkdir(parents=True, exist_ok=True)
        bits = 8 if protocol.bits == 8 else 16
        write(path, Photo(restored[0].float().cpu(), bits=bits))


def _identity(file: Path) -> tuple[int, int] | None:
    """The identity of a file, the same for every path to it; None if it does not exist."""
    try:
        status = os.stat(file)
    except OSError:
        return None
    return status.st_dev, status.st_ino
