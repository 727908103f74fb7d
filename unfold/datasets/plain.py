"""Folders of photos other than published data sets."""

from __future__ import annotations

import os
from dataclasses import replace

from .base import Dataset, Pair
from .folder import list_folder, pair_folders


class Paired(Dataset):
    """Two folders of photos: inputs and targets, matched by name.

    Layout: ``<input>/**/<photo>`` and ``<target>/**/<photo>``; the suffixes may differ. A split
    is a separate folder, to be given as the root.

    Args:
        input: folder of the inputs, relative to the root.
        target: folder of the targets, relative to the root.
        kernel_dir: folder of the blur kernels, ``<kernel_dir>/<photo>.npy``, one for each photo;
            empty if the kernels are unknown.

    Example:
        >>> import tempfile, torch
        >>> from pathlib import Path
        >>> from unfold.datasets.plain import Paired
        >>> from unfold.imaging import Photo, write
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for folder in ("dark", "bright"):
        ...         Path(root, folder).mkdir()
        ...         write(Path(root, folder, "street.png"), Photo(torch.rand(3, 8, 8)))
        ...     pair = Paired(root, input="dark", target="bright")[0]
        >>> pair.name, pair.input.parent.name, pair.target.parent.name
        ('street', 'dark', 'bright')
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
    """A folder of photos without targets, with its subfolders.

    Layout: ``**/<photo>``. To train without pairs, read two such folders.

    Example:
        >>> import tempfile, torch
        >>> from pathlib import Path
        >>> from unfold.datasets.plain import Unpaired
        >>> from unfold.imaging import Photo, write
        >>> with tempfile.TemporaryDirectory() as root:
        ...     Path(root, "night").mkdir()
        ...     write(Path(root, "night", "street.png"), Photo(torch.rand(3, 8, 8)))
        ...     [pair.name for pair in Unpaired(root)]
        ['night/street']
    """

    title = "an unpaired folder"
    layout = "photos in the folder or below it"

    def find(self, errors: list[str]) -> tuple[Pair, ...]:
        photos = list_folder(self.root, ".", errors).photos
        return tuple(Pair(name, file) for name, file in photos.items())
