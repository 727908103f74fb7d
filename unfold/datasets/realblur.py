"""RealBlur: real camera shake, photographed together with a sharp photo."""

from __future__ import annotations

from pathlib import Path

from .base import Dataset, Pair
from .folder import natural


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
        >>> from unfold.datasets.realblur import RealBlurJ
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
