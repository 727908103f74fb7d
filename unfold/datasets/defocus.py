"""Test sets of real defocus: RealDOF, RTF and CUHK."""

from __future__ import annotations

import os

from .base import Dataset, Pair
from .folder import list_folder, pair_folders


class RealDOF(Dataset):
    """RealDOF: 50 real scenes taken by two cameras at once, defocused against all in focus.

    Layout: ``{source,target}/<photo>.png``, 2320×1536; photos belong together by name, or, where
    no name is on both sides, by their sorted order.

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
    """RTF: 22 light-field scenes, defocused against all in focus, 360×360.

    Layout: ``image/0/<photo>`` and ``GT/<photo>``, which belong together by name, or, where no
    name is on both sides, by their sorted order. ``image/1`` and ``image/1.6`` have noise
    of that strength. The layout is what programs that read the set agree on; its authors give it
    on request, and neither a description of theirs nor the set itself was seen.

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
    published set). The set's ``motion<number>.jpg`` and folders further down, such as that of the
    masks for detection, are passed over. The number of photos was not verified.

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
