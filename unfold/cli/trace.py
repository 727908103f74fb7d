"""``unfold trace``: shows every stage of a restoration."""

from __future__ import annotations

import argparse

from unfold.errors import UnfoldError

from ._common import (
    CommandError,
    add_device,
    add_model,
    declare,
    default_model,
    find_device,
    kernel_for,
    model_spec,
    ready,
)


def add(parser: argparse.ArgumentParser) -> None:
    """Restore a photo and show every stage.

    Writes an HTML page that shows each stage: its blocks as pictures, the estimated kernel, and
    curves of the residuals, the Lagrangian, the penalties and the time. The pictures are PNG files
    beside the page.

    Example:
        unfold trace dark.jpg -o look/ --model jude-small
    """
    declare(parser, "photo PHOTO", "a PNG, JPEG or TIFF photo")
    declare(parser, "-o --output DIR", "folder for the page and its pictures: new, empty, or of an "
            "earlier trace", required=True)  # fmt: skip
    declare(parser, "--kernel FILE", "the kernel of the blur, as for `unfold restore` (default: "
            "the model estimates the blur)")  # fmt: skip
    declare(parser, "--max-pixels N", "refuse larger photos: all stages are kept in memory",
            default=4_000_000)  # fmt: skip
    add_device(parser)
    add_model(parser, "one of `unfold list models`, or a config (default: as for `unfold restore`)")
    declare(parser, "--untrained", "allow a model that requires training")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from unfold.imaging import read
    from unfold.trace import trace, write_page

    name = arguments.model or default_model(arguments.kernel)
    spec = model_spec(name, arguments.options, pretrained=True, strength=arguments.strength)
    model = spec.build() if arguments.untrained else ready(name, spec.build())
    device = find_device(arguments.device)
    photo = read(arguments.photo, max_pixels=arguments.max_pixels)
    kernel = kernel_for(name, model, arguments.kernel)
    kernel = None if kernel is None else kernel.to(device)
    try:
        found = trace(model.to(device), photo.image[None].to(device), kernel=kernel)
        page = write_page(found, arguments.output, title=f"{arguments.photo.name} by {name}")
    except (UnfoldError, ImportError) as error:
        raise CommandError(str(error)) from error
    except (RuntimeError, ValueError, MemoryError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise CommandError(f"{arguments.photo}: {name} failed ({reason[:300]})") from error
    print(f"wrote {page}: open it in a browser")
    return 0
