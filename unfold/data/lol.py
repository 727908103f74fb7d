"""LOL: photos taken with little light, and again with enough."""

from __future__ import annotations

from .base import Dataset, Pair
from .folder import list_folder, match


class LOL(Dataset):
    """LOL (v1): 485 and 15 real pairs, under-exposed against well exposed.

    Layout: ``{our485,eval15}/{low,high}/<number>.png``, 600×400.

    Source: Wei et al., Deep Retinex Decomposition, BMVC 2018.
    """

    title = "LOL"
    layout = "{our485,eval15}/{low,high}/<number>.png"
    source = "https://daooshee.github.io/BMVC2018website"
    splits = ("our485", "eval15")

    def find(self, faults: list[str]) -> tuple[Pair, ...]:
        low = list_folder(self.root, f"{self.split}/low", faults)
        high = list_folder(self.root, f"{self.split}/high", faults)
        return tuple(Pair(name, *files) for name, files in match(low, high, faults).items())
