"""Folders of photos that are no published data set."""

from __future__ import annotations

import os

from .base import Dataset, Pair
from .folder import list_folder, pair_folders


class Paired(Dataset):
    """Two folders of photos: inputs and targets, which belong together by name.

    Layout: ``<input>/**/<photo>`` and ``<target>/**/<photo>``; the suffixes may differ. A split
    is a folder of its own: give it as the root.

    Args:
        input: folder of the inputs, below the root.
        target: folder of the targets, below the root.
    """

    title = "a paired folder"
    layout = "input/<photo> and target/<photo> (or as the options input and target say)"

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str = "",
        *,
        input: str = "input",
        target: str = "target",
        strict: bool = True,
    ) -> None:
        self.places = input, target
        super().__init__(root, split, strict=strict)

    def find(self, faults: list[str]) -> tuple[Pair, ...]:
        return pair_folders(self.root, *self.places, faults)


class Unpaired(Dataset):
    """A folder of photos without targets, with all that is below it.

    Layout: ``**/<photo>``. To train without pairs, read two such folders.
    """

    title = "an unpaired folder"
    layout = "photos in the folder or below it"

    def find(self, faults: list[str]) -> tuple[Pair, ...]:
        photos = list_folder(self.root, ".", faults).photos
        return tuple(Pair(name, file) for name, file in photos.items())
