"""Data sets of real defocus: DPDD, RealDOF, RTF and CUHK."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Literal

from .base import Dataset, Pair
from .folder import Folder, list_folder, match, pair_folders


class DPDD(Dataset):
    """DPDD: 350, 74 and 76 scenes, defocused and all in focus, 16 bits, 1680×1120.

    Layout: ``{train,val,test}_{c,l,r}/{source,target}/<photo>.png``: ``c`` is the whole photo,
    ``l`` and ``r`` are the views of the left and right halves of its pixels. Photos are matched by
    their sorted order, because source and target have different names. If they share names (as in
    synthetic copies of the layout), they are matched by name.

    A match by order does not notice a source missing in one place and a target in another.

    Source: Abuolaim and Brown, ECCV 2020, and the reader in its repository. The names of the left
    and right views, that of the whole photo with ``_L`` and ``_R``, are taken from other programs.

    Args:
        view: with ``"center"``, the whole photo is the input. With ``"dual-pixel"``, the ``views``
            of each pair also have ``"left"`` and ``"right"``.

    Example:
        >>> import tempfile, torch
        >>> from pathlib import Path
        >>> from unfold.datasets.defocus import DPDD
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
        """Name of the whole photo -> the photo and its view from one side."""
        letter = side[0]
        views = list_folder(self.root, f"{self.split}_{letter}/source", errors)
        named = {
            name.removesuffix(f"_{letter.upper()}"): file for name, file in views.photos.items()
        }
        return match(source, Folder(views.place, named), errors, ordered=True)


class RealDOF(Dataset):
    """RealDOF: 50 real scenes taken by two cameras at once, defocused and all in focus.

    Layout: ``{source,target}/<photo>.png``, 2320×1536; photos are matched by name, or, if no
    name occurs on both sides, by their sorted order.

    Source: Lee et al., IFAN, CVPR 2021, and the configuration in its repository.

    Example:
        >>> import tempfile, torch
        >>> from pathlib import Path
        >>> from unfold.datasets.defocus import RealDOF
        >>> from unfold.imaging import Photo, write
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for folder in ("source", "target"):
        ...         Path(root, folder).mkdir()
        ...         write(Path(root, folder, "01.png"), Photo(torch.rand(3, 8, 8)))
        ...     pair = RealDOF(root)[0]
        >>> pair.input.parent.name, pair.target.parent.name
        ('source', 'target')
    """

    title = "RealDOF"
    layout = "{source,target}/<photo>.png"
    source = "https://github.com/codeslake/IFAN"

    def find(self, errors: list[str]) -> tuple[Pair, ...]:
        return pair_folders(self.root, "source", "target", errors, ordered=True)


class RTF(Dataset):
    """RTF: 22 light-field scenes, defocused and all in focus, 360×360.

    Layout: ``image/0/<photo>`` and ``GT/<photo>``, which are matched by name, or, if no name
    occurs on both sides, by their sorted order. ``image/1`` and ``image/1.6`` have noise of that
    strength. The layout is taken from programs that read the set. The set is available on request;
    neither the set nor a description by its authors was seen.

    Source: D'Andrès et al., Non-Parametric Blur Map Regression for Depth of Field Extension,
    IEEE TIP 25(4), 2016.

    Args:
        input: folder of the inputs.
        target: folder of the targets.

    Example:
        >>> import tempfile, torch
        >>> from pathlib import Path
        >>> from unfold.datasets.defocus import RTF
        >>> from unfold.imaging import Photo, write
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for folder in ("image/0", "GT"):
        ...         Path(root, folder).mkdir(parents=True)
        ...         write(Path(root, folder, "01.png"), Photo(torch.rand(3, 8, 8)))
        ...     pair = RTF(root)[0]
        >>> pair.input.parent.name, pair.target.parent.name
        ('0', 'GT')
    """

    title = "RTF"
    layout = "image/0/<photo> and GT/<photo>"
    source = "its authors, on request (D'Andrès et al., IEEE TIP 25(4), 2016)"

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str = "",
        *,
        input: str = "image/0",
        target: str = "GT",
        strict: bool = True,
    ) -> None:
        self.places = input, target
        super().__init__(root, split, strict=strict)

    def find(self, errors: list[str]) -> tuple[Pair, ...]:
        return pair_folders(self.root, *self.places, errors, ordered=True)


class CUHK(Dataset):
    """CUHK: 704 real defocused photos of the blur detection set, without ground truth.

    Layout: ``out_of_focus<number>.jpg``, all in the folder itself (the ``image`` folder of the
    published set). ``motion<number>.jpg`` and subfolders, such as that of the masks for detection,
    are ignored. The number of photos was not verified.

    Source: Shi et al., Discriminative Blur Detection Features, CVPR 2014; used as a test of
    deblurring by IFAN, CVPR 2021.

    Example:
        >>> import tempfile, torch
        >>> from pathlib import Path
        >>> from unfold.datasets.defocus import CUHK
        >>> from unfold.imaging import Photo, write
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for name in ("motion0001.jpg", "out_of_focus0001.jpg"):
        ...         write(Path(root, name), Photo(torch.rand(3, 8, 8)))
        ...     [pair.name for pair in CUHK(root)]
        ['out_of_focus0001']
    """

    title = "CUHK"
    layout = "out_of_focus<number>.jpg in one folder"
    source = "http://www.cse.cuhk.edu.hk/~leojia/projects/dblurdetect/dataset.html"

    def find(self, errors: list[str]) -> tuple[Pair, ...]:
        photos = list_folder(self.root, ".", errors).photos
        return tuple(Pair(name, file) for name, file in photos.items() if _is_defocused(name))


def _is_defocused(name: str) -> bool:
    return "/" not in name and not name.lower().startswith("motion")
