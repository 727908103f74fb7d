"""``unfold demo``: degrades a photo and restores it."""

from __future__ import annotations

import argparse
from pathlib import Path

from ._common import (
    CommandError,
    add_device,
    add_model,
    declare,
    default_model,
    find_device,
    model_spec,
    ready,
)


def add(parser: argparse.ArgumentParser) -> None:
    """Darken and blur a photo, restore it, and measure both.

    Darkens scikit-image's astronaut to a quarter of its exposure, blurs it by a camera shake and
    adds noise. The model is given the photo only; the kernel is given to models that need it.
    Prints PSNR and SSIM before and after, and writes a side-by-side picture.

    Example:
        unfold demo -o demo.png
    """
    declare(parser, "-o --output FILE", "the side-by-side picture (.png, .tif, .jpg)",
            default=Path("unfold-demo.png"))  # fmt: skip
    add_device(parser)
    add_model(parser, "one of `unfold list models`, or a config", default=default_model(None))
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    try:
        from skimage.data import astronaut
        from skimage.metrics import peak_signal_noise_ratio, structural_similarity
    except ImportError as error:
        raise CommandError(
            "the demo needs scikit-image: pip install 'unfold-imaging[demo]'"
        ) from error
    import torch

    from unfold.degradation.dark_and_shaken import EXPOSURE, dark_and_shaken
    from unfold.imaging import Photo, write
    from unfold.imaging.io import check_writable

    check_writable(arguments.output)
    name, strength = arguments.model, arguments.strength
    spec = model_spec(name, arguments.options, pretrained=True, strength=strength)
    model = ready(name, spec.build())
    device = find_device(arguments.device)
    sharp = torch.from_numpy(astronaut()).float().permute(2, 0, 1)[None] / 255
    generator = torch.Generator().manual_seed(3)
    bad, kernel = dark_and_shaken(sharp, generator)
    with torch.inference_mode():
        given = {"kernel": kernel.to(device)} if model.needs_kernel else {}
        restored = model.to(device).eval()(bad.to(device), **given).image.cpu()

    rows = {"input": bad, "input, brightened": (bad / EXPOSURE).clamp(0, 1), "restored": restored}
    print(f"{'':<18} {'PSNR [dB]':>9} {'SSIM':>6}")
    for name, image in rows.items():
        psnr = peak_signal_noise_ratio(sharp.numpy(), image.numpy(), data_range=1)
        ssim = structural_similarity(
            sharp[0].numpy(), image[0].numpy(), channel_axis=0, data_range=1
        )
        print(f"{name:<18} {psnr:>9.2f} {ssim:>6.3f}")
    write(arguments.output, Photo(torch.cat((bad, restored, sharp), -1)[0]))
    print(f"wrote {arguments.output}: input, restored, original")
    return 0
