"""GoPro and RealBlur-J: photos with motion blur, and sharp ones."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from .base import Dataset, Pair
from .folder import list_folder, list_subfolders, match, natural


class GoPro(Dataset):
    """GoPro (GOPRO_Large): averaged frames of fast video, and the sharp frame in the middle.

    Layout: ``{train,test}/<sequence>/{blur,blur_gamma,sharp}/<frame>.png``, 1280×720, 22 and 11
    sequences, 2,103 and 1,111 pairs. Frames of a sequence are consecutive in the order of their
    numbers. (Copies with ``input`` and ``target`` folders are read by ``paired``.)

    Source: Nah et al., CVPR 2017; its authors' code and their answers in the issues of
    SeungjunNah/DeepDeblur_release. The numbers of pairs are taken from other programs.

    Args:
        input: with ``"blur"``, the frames are averaged as stored. With ``"blur_gamma"``, they are
            averaged in linear light, with a gamma of 2.2. Results on both are not comparable.

    Example:
        >>> import tempfile, torch
        >>> from pathlib import Path
        >>> from unfold.datasets.motion_blur import GoPro
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


class RealBlurJ(Dataset):
    """RealBlur-J: 3,758 and 980 pairs of JPEG photos of dim scenes, with real blur and sharp.

    Layout: the lists ``RealBlur_J_{train,test}_list.txt`` in the folder, and the listed files. A
    line has two relative paths: that of the sharp photo, then that of the blurred photo, such as
    ``RealBlur-J_ECC_IMCORR_centroid_itensity_ref/scene230/gt/gt_7.png`` and
    ``.../scene230/blur/blur_7.png``. The name of this pair is ``scene230/blur_7``.

    Source: Rim et al., ECCV 2020. The lists were not available: their format and the numbers of
    pairs are taken from programs that read them.

    Example:
        >>> import tempfile, torch
        >>> from pathlib import Path
        >>> from unfold.datasets.motion_blur import RealBlurJ
        >>> from unfold.imaging import Photo, write
        >>> with tempfile.TemporaryDirectory() as root:
        ...     files = "scene230/gt/gt_7.png", "scene230/blur/blur_7.png"
        ...     for file in files:
        ...         Path(root, file).parent.mkdir(parents=True)
        ...         write(Path(root, file), Photo(torch.rand(3, 8, 8)))
        ...     _ = Path(root, "RealBlur_J_test_list.txt").write_text(" ".join(files))
        ...     RealBlurJ(root, "test")[0].name
        'scene230/blur_7'
    """

    title = "RealBlur-J"
    layout = "RealBlur_J_{train,test}_list.txt, lines of two paths: sharp photo, blurred photo"
    source = "https://github.com/rimchang/RealBlur"
    splits = ("train", "test")

    def find(self, errors: list[str]) -> tuple[Pair, ...]:
        listing = self.root / f"RealBlur_J_{self.split}_list.txt"
        try:
            lines = listing.read_text(encoding="utf-8-sig", errors="replace").splitlines()
        except OSError as error:
            errors.append(f"{listing.name}: cannot be read ({error.strerror})")
            return ()
        pairs: dict[str, Pair] = {}
        for number, line in enumerate(lines, 1):
            paths = line.split()
            if not paths:
                continue
            if len(paths) < 2:
                errors.append(f"{listing.name}: line {number} names no two photos: {line!r}")
                continue
            sharp, blurred = (self.root / path for path in paths[:2])
            name = _name(blurred.relative_to(self.root))
            if name in pairs:
                errors.append(f"{listing.name}: line {number} names {name} again")
                continue
            pairs[name] = Pair(name, blurred, sharp)
        return tuple(sorted(pairs.values(), key=lambda pair: natural(pair.name)))


def _name(blurred: Path) -> str:
    """The folder of the scene, which contains that of the blurred photos, and the file."""
    scene = blurred.parts[-3:-2]
    return "/".join((*scene, blurred.stem))
