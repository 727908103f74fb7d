"""``unfold synthesize``: bad photos of good ones."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from ._common import CommandError, positive_int

_SHEET = "contact_sheet.png"


def add(parser: argparse.ArgumentParser) -> None:
    """Make bad photos of sharp ones, as a data set."""
    parser.description = (
        "Degrade sharp photos (or video frames) by a recipe and write them as a data "
        f"set, with a manifest of every number drawn and {_SHEET}. The same seed gives the same "
        "files for any number of workers. A run that was stopped goes on where it was."
    )
    parser.add_argument("source", type=Path, metavar="SRC", help="folder of sharp photos or frames")
    parser.add_argument("output", type=Path, metavar="OUT", help="a new folder, or one to go on in")
    parser.add_argument(
        "--recipe", required=True, metavar="NAME", help="one of `unfold recipes`, or a .toml file"
    )
    parser.add_argument("--count", type=positive_int, required=True, metavar="N", help="photos")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="default: %(default)s")
    parser.add_argument("--split", default="train", help="part of the data set (default: train)")
    parser.add_argument(
        "--workers", type=positive_int, default=None, metavar="N",
        help="processes (default: one for each CPU this process may use)",
    )  # fmt: skip
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm

    from unfold.imaging import ImageError, write
    from unfold.synthesis import (
        ManifestError,
        RecipeError,
        Synthesis,
        contact_sheet,
        read_manifest,
        read_recipe,
    )

    failed = 0
    try:
        recipe = read_recipe(arguments.recipe)
        synthesis = Synthesis(
            arguments.source,
            arguments.output,
            recipe,
            arguments.count,
            arguments.seed,
            arguments.split,
        )
        with tqdm(unit="photo", total=arguments.count, file=sys.stderr) as bar:
            for made in synthesis.run(arguments.workers or _cpus()):
                bar.update()
                if made.error:
                    failed += 1
                    bar.write(f"unfold: {made.error}", file=sys.stderr)
        there = len(read_manifest(arguments.output)[1])
    except (RecipeError, ManifestError, ImageError) as error:
        raise CommandError(str(error)) from error
    except OSError as error:
        raise CommandError(f"{error.filename}: {error.strerror}; choose another output") from error
    if there:
        try:
            write(arguments.output / _SHEET, contact_sheet(arguments.output))
        except ImageError as error:
            failed += 1
            print(f"unfold: {error}", file=sys.stderr)
    print(f"{there} photos in {arguments.output}" + (f", {failed} failed" if failed else ""))
    return 1 if failed else 0


def _cpus() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS or Windows
        return os.cpu_count() or 1
