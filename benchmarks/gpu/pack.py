"""Packs training photos into one file, laid out as the recipes have them.

    python pack.py DATA -o photos.pack [--megabytes 48] [FOLDER ...]

DATA is the folder that recipes are started in, FOLDER what to take of it. Files keep their bytes:
no photo is coded again. Where all are too many, every folder has the same claim, and what one
does not need goes to the others; of what is too large, photos are left out evenly, and it is said
how many. A pair (the photos of one name in low and high, or in input and target) stays together.

lowlight/lol_train240 is packed as lol/train and lol/val, every sixth scene in the latter, as
shipped-jude-small has it.
"""

from __future__ import annotations

import argparse
import itertools
import zipfile
from collections.abc import Iterable
from pathlib import Path

SUFFIXES = {".jpg", ".jpeg", ".png"}
SIDES = {"low", "high", "input", "target"}
LOL = "lowlight/lol_train240"
FOLDERS = (
    "photos/bsds500/train",
    "photos/bsds500/val",
    "photos/debian_photos",
    "lowlight/sice_pairs",
    LOL,
)
Unit = list[Path]  # the files of one photo or of one pair


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("folders", nargs="*", default=FOLDERS, metavar="FOLDER")
    parser.add_argument("-o", "--output", required=True, type=Path)
    parser.add_argument("--megabytes", type=float, default=48, help="of 2²⁰ bytes (default: 48)")
    given = parser.parse_args()
    for line in pack(given.data, given.folders, given.output, int(given.megabytes * 2**20)):
        print(line)


def pack(data: Path, folders: Iterable[str], out: Path, limit: int) -> list[str]:
    """Write the file; what of each folder is in it, in words.

    Raises:
        SystemExit: a folder has no photos, or not even the first photo of each has room.
    """
    found = {folder: units(data / folder) for folder in folders}
    if empty := [folder for folder, all_of_it in found.items() if not all_of_it]:
        raise SystemExit(f"{data}: no photos in {', '.join(empty)}")
    claims = shares({folder: sum(map(size, each)) for folder, each in found.items()}, limit)
    told = []
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as file:
        for folder, every in found.items():
            kept = thinned(every, claims[folder])
            for place, unit in enumerate(kept):
                for path in unit:
                    file.write(path, renamed(path.relative_to(data).as_posix(), place))
            left = len(every) - len(kept)
            told.append(
                f"{folder}: {len(kept)} of {len(every)}" + f", {left} left out" * bool(left)
            )
    if out.stat().st_size > limit:
        out.unlink()
        raise SystemExit(f"{limit} bytes have no room for one photo of each folder; allow more")
    return [*told, f"{out}: {out.stat().st_size:,} bytes"]


def units(folder: Path) -> list[Unit]:
    """Photos and pairs below a folder, in the order of their names."""
    photos = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)

    def key(path: Path) -> tuple[str, str]:
        above = path.parent.parent if path.parent.name in SIDES else path.parent
        return str(above), path.stem

    return [list(unit) for _, unit in itertools.groupby(sorted(photos, key=key), key)]


def size(unit: Unit) -> int:
    # (A file of the archive takes its name twice, and about 100 bytes.)
    return sum(path.stat().st_size + 2 * len(str(path)) + 100 for path in unit)


def shares(wanted: dict[str, int], limit: int) -> dict[str, int]:
    """Bytes for each: as many as it wants, or an equal share of what is left by those."""
    given: dict[str, int] = {}
    for number, (name, want) in enumerate(sorted(wanted.items(), key=lambda item: item[1])):
        given[name] = min(want, (limit - sum(given.values())) // (len(wanted) - number))
    return given


def thinned(every: list[Unit], room: int) -> list[Unit]:
    """As many as have room, evenly spread; at least one."""
    for count in range(len(every), 1, -1):
        kept = [every[i * len(every) // count] for i in range(count)]
        if sum(map(size, kept)) <= room:
            return kept
    return every[:1]


def renamed(name: str, place: int) -> str:
    """LOL's scenes as training and validation."""
    if not name.startswith(f"{LOL}/"):
        return name
    return name.replace(LOL, "lol/train" if place % 6 else "lol/val", 1)


if __name__ == "__main__":
    main()
