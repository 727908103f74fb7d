"""Folders of photos that are no published data set."""

from __future__ import annotations

import os
from dataclasses import replace

from .base import Dataset, Pair
from .folder import list_folder, pair_folders


class Paired(Dataset):
    """Two folders of photos: inputs and targets, which belong together by name.

    Layout: ``<input>/**/<photo>`` and ``<target>/**/<photo>``; the suffixes may differ. A split
    is a folder of its own: give it as the root.

    Args:
        input: folder of the inputs, below the root.
        target: folder of the targets, below the root.
        kernel_dir: folder of the blur kernels, ``<kernel_dir>/<photo>.npy``, one for each photo;
            empty if the kernels are unknown.
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
        kernel_dir: str = "",
        strict: bool = True,
    ) -> None:
        self.places, self.kernel_dir = (input, target), kernel_dir
        super().__init__(root, split, strict=strict)

    def find(self, errors: list[str]) -> tuple[Pair, ...]:
        pairs = pair_folders(self.root, *self.places, errors)
        if not self.kernel_dir:
            return pairs
        files = {pair.name: self.root / self.kernel_dir / f"{pair.name}.npy" for pair in pairs}
        errors += [
            f"{self.kernel_dir}/{name}.npy: there is no such kernel"
            for name, file in files.items()
            if not file.is_file()
        ]
        found = [replace(pair, kernel_path=files[pair.name]) for pair in pairs]
        return tuple(
            pair for pair in found if pair.kernel_path is not None and pair.kernel_path.is_file()
        )


class Unpaired(Dataset):
    """A folder of photos without targets, with all that is below it.

    Layout: ``**/<photo>``. To train without pairs, read two such folders.
    """

    title = "an unpaired folder"
    layout = "photos in the folder or below it"

    def find(self, errors: list[str]) -> tuple[Pair, ...]:
        photos = list_folder(self.root, ".", errors).photos
        return tuple(Pair(name, file) for name, file in photos.items())
