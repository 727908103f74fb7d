"""GoPro: video frames blurred by averaging, with the sharp frame in the middle."""

from __future__ import annotations

import os
from typing import Literal

from .base import Dataset, Pair
from .folder import list_folder, list_subfolders, match


class GoPro(Dataset):
    """GoPro (GOPRO_Large): frames of fast video, averaged against the sharp one in the middle.

    Layout: ``{train,test}/<sequence>/{blur,blur_gamma,sharp}/<frame>.png``, 1280×720, 22 and 11
    sequences, 2,103 and 1,111 pairs. Within a sequence frames follow one another in the order of
    their numbers. (Copies with ``input`` and ``target`` folders are for the reader ``paired``.)

    Source: Nah et al., CVPR 2017; its authors' code and their answers in the issues of
    SeungjunNah/DeepDeblur_release. The numbers of pairs are as other programs state them.

    Args:
        input: ``"blur"``: frames averaged as they are stored. ``"blur_gamma"``: averaged in
            linear light, by a gamma of 2.2. Results on one are not those on the other.

    Example:
        >>> import tempfile, torch
        >>> from pathlib import Path
        >>> from unfold.datasets.gopro import GoPro
        >>> from unfold.imaging import Photo, write
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for kind in ("blur", "sharp"):
        ...         path = Path(root, "test", "GOPR0384_11_00", kind, "000047.png")
        ...         path.parent.mkdir(parents=True)
        ...         write(path, Photo(torch.rand(3, 8, 8)))
        ...     pair = GoPro(root, "test")[0]
        >>> pair.name, pair.input.parent.name, pair.target.parent.name
        ('GOPR0384_11_00/000047', 'blur', 'sharp')
    """

    title = "GoPro"
    layout = "{train,test}/<sequence>/{blur,blur_gamma,sharp}/<frame>.png"
    source = "https://seungjunnah.github.io/Datasets/gopro"
    splits = ("train", "test")

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str = "",
        *,
        input: Literal["blur", "blur_gamma"] = "blur",
        strict: bool = True,
    ) -> None:
        self.kind = input
        super().__init__(root, split, strict=strict)

    def find(self, errors: list[str]) -> tuple[Pair, ...]:
        pairs: list[Pair] = []
        for sequence in list_subfolders(self.root, self.split, errors):
            place = f"{self.split}/{sequence}"
            inputs = list_folder(self.root, f"{place}/{self.kind}", errors)
            targets = list_folder(self.root, f"{place}/sharp", errors)
            pairs += (
                Pair(f"{sequence}/{name}", file, target, sequence=sequence)
                for name, (file, target) in match(inputs, targets, errors).items()
            )
        return tuple(pairs)
