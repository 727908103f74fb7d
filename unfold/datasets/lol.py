"""LOL: photos of the same scenes with low and normal exposure."""

from __future__ import annotations

from .base import Dataset, Pair
from .folder import pair_folders


class LOL(Dataset):
    """LOL (v1): 485 and 15 real pairs, underexposed and well exposed.

    Layout: ``{our485,eval15}/{low,high}/<number>.png``, 600×400.

    Source: Wei et al., Deep Retinex Decomposition, BMVC 2018.

    Example:
        >>> import tempfile, torch
        >>> from pathlib import Path
        >>> from unfold.datasets.lol import LOL
        >>> from unfold.imaging import Photo, write
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for kind in ("low", "high"):
        ...         path = Path(root, "eval15", kind, "111.png")
        ...         path.parent.mkdir(parents=True)
        ...         write(path, Photo(torch.rand(3, 8, 8)))
        ...     pair = LOL(root, "eval15")[0]
        >>> pair.name, pair.input.parent.name, pair.target.parent.name
        ('111', 'low', 'high')
    """

    title = "LOL"
    layout = "{our485,eval15}/{low,high}/<number>.png"
    source = "https://daooshee.github.io/BMVC2018website"
    splits = ("our485", "eval15")

    def find(self, errors: list[str]) -> tuple[Pair, ...]:
        return pair_folders(self.root, f"{self.split}/low", f"{self.split}/high", errors)
