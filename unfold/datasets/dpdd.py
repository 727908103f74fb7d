"""DPDD: defocused photos of a dual-pixel camera, with the same scene at a small aperture."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Literal

from .base import Dataset, Pair
from .folder import Folder, list_folder, match


class DPDD(Dataset):
    """DPDD: 350, 74 and 76 scenes, defocused against all in focus, 16 bits, 1680×1120.

    Layout: ``{train,val,test}_{c,l,r}/{source,target}/<photo>.png``: ``c`` is the whole photo,
    ``l`` and ``r`` what the left and the right halves of its pixels saw. Photos belong together
    by their sorted order, since source and target have names of their own; where they share
    names (as in synthetic copies of the layout) by name.

    By order, a source missing in one place and a target missing in another go unnoticed.

    Source: Abuolaim and Brown, ECCV 2020, and the reader in its repository. That the left and
    right views are called as the whole photo, with ``_L`` and ``_R``, is as other programs say.

    Args:
        view: ``"center"``: the whole photo is the input. ``"dual-pixel"``: besides, each pair's
            ``views`` has ``"left"`` and ``"right"``.

    Example:
        >>> import tempfile, torch
        >>> from pathlib import Path
        >>> from unfold.datasets.dpdd import DPDD
        >>> from unfold.imaging import Photo, write
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for file in ("source/1P0A1043.png", "target/1P0A1044.png"):
        ...         path = Path(root, "test_c", file)
        ...         path.parent.mkdir(parents=True)
        ...         write(path, Photo(torch.rand(3, 8, 8), bits=16))
        ...     pair = DPDD(root, "test")[0]
        >>> pair.input.name, pair.target.name
        ('1P0A1043.png', '1P0A1044.png')
    """

    title = "DPDD"
    layout = "{train,val,test}_{c,l,r}/{source,target}/<photo>.png"
    source = "https://github.com/Abdullah-Abuolaim/defocus-deblurring-dual-pixel"
    splits = ("train", "val", "test")

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str = "",
        *,
        view: Literal["center", "dual-pixel"] = "center",
        strict: bool = True,
    ) -> None:
        self.view = view
        super().__init__(root, split, strict=strict)

    def find(self, errors: list[str]) -> tuple[Pair, ...]:
        source = list_folder(self.root, f"{self.split}_c/source", errors)
        target = list_folder(self.root, f"{self.split}_c/target", errors)
        files = match(source, target, errors, ordered=True)
        pairs = {name: Pair(name, *pair) for name, pair in files.items()}
        if self.view == "dual-pixel":
            left = self._side(source, "left", errors)
            right = self._side(source, "right", errors)
            pairs = {
                name: replace(pair, views={"left": left[name][1], "right": right[name][1]})
                for name, pair in pairs.items()
                if name in left and name in right
            }
        return tuple(pairs.values())

    def _side(self, source: Folder, side: str, errors: list[str]):
        """Name of the whole photo -> it, and its view from one side."""
        letter = side[0]
        views = list_folder(self.root, f"{self.split}_{letter}/source", errors)
        named = {
            name.removesuffix(f"_{letter.upper()}"): file for name, file in views.photos.items()
        }
        return match(source, Folder(views.place, named), errors, ordered=True)
