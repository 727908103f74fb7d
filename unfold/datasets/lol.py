"""LOL, LOL-Blur and Real-LOL-Blur: photos in low light."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Literal

from .base import Dataset, Pair
from .folder import list_folder, match, natural, pair_folders

CLIP = 30  # frames
REAL_SIZES = {"lednet": 400, "jude": 1354}  # photos of Real-LOL-Blur, as each paper says


class LOLBlur(Dataset):
    """LOL-Blur: 12,000 synthetic pairs of night video frames, dark and blurred, and sharp.

    Layout: ``{train,test}/<kind>/<sequence>/<frame>.png``, 1120×640, 170 and 30 sequences of 60
    frames. The first and last 30 frames of a sequence are not consecutive and were darkened
    differently. They are its clips 0 and 1, identified by a frame's position among the existing
    frames, so a frame that is missing as input and as target shifts the boundary by one.

    Source: Zhou et al., LEDNet, ECCV 2022, and the README of its repository.

    Args:
        input: kind of the inputs: with noise, as in the paper's table, or without.
        target: kind of the targets: the slightly dimmed originals, the originals, or the dark but
            sharp frames.

    Example:
        >>> import tempfile, torch
        >>> from pathlib import Path
        >>> from unfold.datasets.lol import LOLBlur
        >>> from unfold.imaging import Photo, write
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for kind in ("low_blur_noise", "high_sharp_scaled"):
        ...         path = Path(root, "test", kind, "0012", "0001.png")
        ...         path.parent.mkdir(parents=True)
        ...         write(path, Photo(torch.rand(3, 8, 8)))
        ...     pair = LOLBlur(root, "test")[0]
        >>> pair.name, pair.sequence, pair.target.parent.parent.name
        ('0012/0001', '0012', 'high_sharp_scaled')
    """

    title = "LOL-Blur"
    layout = "{train,test}/{low_blur_noise,high_sharp_scaled,...}/<sequence>/<frame>.png"
    source = "https://github.com/sczhou/LEDNet"
    splits = ("train", "test")

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str = "",
        *,
        input: Literal["low_blur_noise", "low_blur"] = "low_blur_noise",
        target: Literal[
            "high_sharp_scaled", "low_sharp", "high_sharp_original"
        ] = "high_sharp_scaled",
        strict: bool = True,
    ) -> None:
        self.kinds = input, target
        super().__init__(root, split, strict=strict)

    def find(self, errors: list[str]) -> tuple[Pair, ...]:
        inputs, targets = (
            list_folder(self.root, f"{self.split}/{kind}", errors) for kind in self.kinds
        )
        frames = sorted({*inputs.photos, *targets.photos}, key=natural)
        positions: dict[str, int] = {}
        clips: dict[str, int] = {}
        for name in frames:
            sequence = name.rpartition("/")[0]
            clips[name] = positions.setdefault(sequence, 0) // CLIP
            positions[sequence] += 1
        if "" in positions:
            errors.append(
                f"{self.split}: {positions['']} photos are not in the folder of a sequence"
            )
        return tuple(
            Pair(name, file, target, sequence=name.rpartition("/")[0], clip=clips[name])
            for name, (file, target) in match(inputs, targets, errors).items()
            if "/" in name
        )


class RealLOLBlur(Dataset):
    """Real-LOL-Blur: real night photos with blur, without ground truth.

    Layout: all photos in the folder and its subfolders. LEDNet's paper says 400 photos; JUDE's
    paper and the README of LEDNet's repository say 1,354 (482 from RealBlur-J, 872 taken with a
    Sony RX10 IV). The names of the folders could not be verified and are not used, and no photo
    counts as a frame of a sequence.

    Source: Zhou et al., LEDNet, ECCV 2022, and the README of its repository.

    Args:
        paper: the paper whose set is expected: any number of photos other than the 400 of
            ``"lednet"`` or the 1,354 of ``"jude"`` is an error. ``"any"`` accepts every number.
        names: a text file with the name of one photo per line: its relative path, with or without
            suffix. All other photos are ignored. (It is not known here which 400 of the 1,354
            photos LEDNet measured.)

    Example:
        >>> import tempfile, torch
        >>> from pathlib import Path
        >>> from unfold.datasets.lol import RealLOLBlur
        >>> from unfold.imaging import Photo, write
        >>> with tempfile.TemporaryDirectory() as root:
        ...     write(Path(root, "night.png"), Photo(torch.rand(3, 8, 8)))
        ...     RealLOLBlur(root)[0].target is None
        True
    """

    title = "Real-LOL-Blur"
    layout = "photos in folders of any name"
    source = "https://github.com/sczhou/LEDNet"

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str = "",
        *,
        paper: Literal["any", "lednet", "jude"] = "any",
        names: Path | None = None,
        strict: bool = True,
    ) -> None:
        self.paper, self.names = paper, names
        super().__init__(root, split, strict=strict)

    def find(self, errors: list[str]) -> tuple[Pair, ...]:
        photos = list_folder(self.root, ".", errors).photos
        if self.names is not None:
            photos = _named(photos, self.names, errors)
        wanted = REAL_SIZES.get(self.paper, len(photos))
        if len(photos) != wanted:
            errors.append(
                f"{len(photos)} photos, but the set of paper={self.paper} has {wanted}: get the "
                "others, or choose among them with names=FILE"
            )
        return tuple(Pair(name, file) for name, file in photos.items())


def _named(photos: Mapping[str, Path], names: Path, errors: list[str]) -> dict[str, Path]:
    """The photos listed in a text file; names without a photo are errors."""
    try:
        lines = names.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        errors.append(f"{names}: cannot be read ({error})")
        return {}
    by_file = {str(PurePosixPath(name).with_name(file.name)): name for name, file in photos.items()}
    chosen = set()
    for line in filter(None, map(str.strip, lines)):
        wanted = unicodedata.normalize("NFC", line)
        name = wanted if wanted in photos else by_file.get(wanted)
        if name is None:
            errors.append(f"{names}: there is no photo {line}")
        else:
            chosen.add(name)
    return {name: file for name, file in photos.items() if name in chosen}


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
