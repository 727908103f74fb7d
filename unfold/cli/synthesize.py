"""``unfold synthesize``: makes degraded photos from sharp ones."""

from __future__ import annotations

import argparse
import os
import sys

from ._common import ShowRecipe, declare

_SHEET = "contact_sheet.png"


def add(parser: argparse.ArgumentParser) -> None:
    """Make a data set of degraded photos from sharp ones.

    Degrades sharp photos (or frames of video) by a recipe, and writes a data set with a manifest of
    all random numbers and a contact sheet. The same seed gives the same files for any number of
    workers. The same command continues a run that was stopped.

    Example:
        unfold synthesize PHOTOS -o pairs --recipe lol-blur --count 100
        unfold synthesize --show lol-blur > mine.toml
    """
    declare(parser, "source DIR", "sharp photos or frames")
    declare(parser, "-o --output DIR", "a new folder, or that of a stopped run of the same command",
            required=True)  # fmt: skip
    declare(parser, "--recipe NAME", "one of `unfold list recipes`, or a .toml file", required=True)
    declare(parser, "--count N", "number of photos to make", required=True)
    declare(parser, "--show NAME", "print a recipe, to copy and edit, and exit",
            action=ShowRecipe, const=_text)  # fmt: skip
    declare(parser, "--seed SEED", "seed of the random numbers, an integer", type=int, default=0)
    declare(parser, "--split NAME", "split of the data set to make", default="train")
    declare(parser, "--workers N", "number of processes (default: one for each available CPU)")
    parser.set_defaults(run=run)


def _text(name: str) -> str:
    from unfold.synthesis import recipe_text

    return recipe_text(name)


def run(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm

    from unfold.imaging import ImageError, write
    from unfold.synthesis import Synthesis, contact_sheet, read_manifest, read_recipe

    failed = 0
    synthesis = Synthesis(
        arguments.source,
        arguments.output,
        read_recipe(arguments.recipe),
        arguments.count,
        arguments.seed,
        arguments.split,
    )
    with tqdm(unit="photo", total=arguments.count, file=sys.stderr, disable=None) as bar:
        for made in synthesis.run(arguments.workers or _cpus()):
            bar.update()
            if made.error:
                failed += 1
                bar.write(f"unfold: {made.error}", file=sys.stderr)
    there = len(read_manifest(arguments.output)[1])
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
