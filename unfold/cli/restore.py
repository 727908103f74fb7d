"""``unfold restore``: the user's own photos."""

from __future__ import annotations

import argparse
import sys
from itertools import chain
from pathlib import Path

from ._common import (
    DEFAULT_MODEL,
    CommandError,
    add_options,
    find_device,
    positive_int,
    ready_model,
)


def add(commands) -> None:
    parser = commands.add_parser(
        "restore",
        help="restore photos",
        description="Restore PNG, JPEG and TIFF photos. A bad file is reported and the others go "
        "on; the exit status is 1 if there was one.",
    )
    parser.add_argument("photos", nargs="+", type=Path, metavar="PHOTO", help="file or folder")
    parser.add_argument(
        "-o", "--output", required=True, type=Path, metavar="PATH",
        help="a file for one photo, else a folder (made if need be; folders given are mirrored)",
    )  # fmt: skip
    parser.add_argument(
        "--model", default=DEFAULT_MODEL, metavar="NAME",
        help="one of `unfold list models`, or a config (.json, .toml) (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--kernel", type=Path, metavar="FILE",
        help="the blur's kernel, a 2-D array (.npy, .txt) or a grey picture; without it a model "
        "estimates the blur, or (jude-classic) takes the photo to be sharp",
    )  # fmt: skip
    parser.add_argument(
        "--device", default="auto", help="auto, cpu, cuda, cuda:1, ... (default: %(default)s)"
    )
    parser.add_argument(
        "--max-pixels", type=positive_int, default=200_000_000, metavar="N",
        help="refuse photos of more pixels than this (default: %(default)s)",
    )  # fmt: skip
    add_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm

    from unfold.imaging import ImageError
    from unfold.restoration import plan, read_kernel, restore_files

    model = ready_model(arguments.model, arguments.options)
    device = find_device(arguments.device)
    try:
        kernel = read_kernel(arguments.kernel) if arguments.kernel else None
        pairs, unplanned = plan(arguments.photos, arguments.output)
    except ImageError as error:
        raise CommandError(str(error)) from error
    total = len(pairs) + len(unplanned)
    failed = 0
    with tqdm(total=total, unit="photo", file=sys.stderr) as bar:
        restored = restore_files(
            model,
            pairs,
            kernel=kernel,
            device=device,
            max_pixels=arguments.max_pixels,
        )
        for outcome in chain(unplanned, restored):
            bar.update()
            if outcome.error:
                failed += 1
                bar.write(f"unfold: {outcome.error}", file=sys.stderr)
    print(f"{total - failed} of {total} restored to {arguments.output}")
    return 1 if failed else 0
