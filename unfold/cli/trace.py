"""``unfold trace``: a look inside."""

from __future__ import annotations

import argparse
from pathlib import Path

from ._common import (
    CommandError,
    add_options,
    add_strength,
    default_model,
    find_device,
    positive_int,
    ready_model,
)


def add(parser: argparse.ArgumentParser) -> None:
    """Restore a photo and show every stage."""
    parser.description = (
        "Restore a photo and write one HTML page that shows what each stage did: its "
        "blocks as pictures, the estimated kernel, curves of residuals, Lagrangian, weights and "
        "time. The pictures lie beside it as PNG files."
    )
    parser.add_argument("photo", type=Path, metavar="PHOTO")
    parser.add_argument(
        "-o", "--out", required=True, type=Path, metavar="DIR", help="made if need be"
    )
    parser.add_argument("--model", metavar="NAME", help="as for `unfold restore`")
    parser.add_argument("--kernel", type=Path, metavar="FILE", help="as for `unfold restore`")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ...")
    parser.add_argument(
        "--untrained", action="store_true", help="look at a learned model without trained weights"
    )
    parser.add_argument(
        "--max-pixels", type=positive_int, default=4_000_000, metavar="N",
        help="refuse larger photos: all stages are kept in memory (default: %(default)s)",
    )  # fmt: skip
    add_strength(parser)
    add_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from unfold.imaging import ImageError, read
    from unfold.restoration import read_kernel
    from unfold.trace import trace
    from unfold.trace.page import write_page

    from ._common import model_spec

    name, out = arguments.model or default_model(arguments.kernel), arguments.out
    if arguments.untrained:
        model = model_spec(
            name, arguments.options, pretrained=True, strength=arguments.strength
        ).build()
    else:
        model = ready_model(name, arguments.options, arguments.strength)
    device = find_device(arguments.device)
    try:
        photo = read(arguments.photo, max_pixels=arguments.max_pixels)
        kernel = read_kernel(arguments.kernel) if arguments.kernel else None
        kernel = None if kernel is None else kernel.to(device)
        found = trace(model.to(device), photo.image[None].to(device), kernel=kernel)
        page = write_page(found, out, title=f"{arguments.photo.name} by {name}")
    except (ImageError, ImportError) as error:
        raise CommandError(str(error)) from error
    except (RuntimeError, ValueError, MemoryError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise CommandError(f"{arguments.photo}: {name} failed ({reason[:300]})") from error
    except OSError as error:
        place = error.filename or out
        raise CommandError(f"{place}: cannot be written ({error.strerror})") from error
    print(f"wrote {page}: open it in a browser")
    return 0
