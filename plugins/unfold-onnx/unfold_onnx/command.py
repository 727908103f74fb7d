"""``unfold export``: a model as one graph for other programs."""

from __future__ import annotations

import argparse
import json
import math
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from unfold.cli import CommandError, declare, model_spec, positive_int, ready
from unfold.cli._common import add_options, parse_options

if TYPE_CHECKING:
    from torch import Tensor

    from unfold.restoration.receptive_field import ReceptiveField
    from unfold.restorer import Restorer

    from .check import Comparison

_MULTIPLE = 16  # sizes are multiples of it, because networks halve them
_PROBE = 768  # side of the window in which the overlap is measured


def add(parser: argparse.ArgumentParser) -> None:
    """Export a model as one ONNX graph, for programs without PyTorch.

    The graph is the network on a tile of a fixed size. Measurements of the whole photo (its noise,
    exposure, kernel) are constants in it, or additional inputs (--inputs). NAME may be a prior,
    such as denoiser; without --photo its noise level, sigma, is an input.

    Example:
        unfold export jude-small --photo dark.jpg -o model.onnx --check
        unfold export denoiser --size 256 -o denoiser.onnx
    """
    declare(parser, "model NAME", "one of `unfold list models` or `unfold list priors`, or a "
            "config (.json, .toml)")  # fmt: skip
    declare(parser, "-o --output FILE", "the graph (.onnx; with --torch-export .pt2)",
            required=True)  # fmt: skip
    declare(parser, "--photo PHOTO", "measurements are taken from it, and --check restores a part "
            "of it")  # fmt: skip
    declare(parser, "--kernel FILE", "the kernel of the photo's blur (.npy, .txt or a gray "
            "image), if it is known")  # fmt: skip
    declare(parser, "--size N", "side of the square tile, in pixels, a multiple of 16",
            type=_size, default=512)  # fmt: skip
    declare(parser, "--inputs NAMES", "measurements, separated by commas, that are inputs of the "
            "graph, e.g. kernel,noise", default="")  # fmt: skip
    declare(parser, "--dft", "Fourier transforms as ONNX's DFT operator, not as matrix products: a "
            "smaller file, fewer programs support it, less exact in onnxruntime")  # fmt: skip
    declare(parser, "--torch-export", "write a torch.export program, not ONNX")
    declare(parser, "--check", "before writing, compare the graph's result on a tile with "
            "PyTorch's: they must differ by at most 1e-4")  # fmt: skip
    add_options(parser)
    parser.set_defaults(run=run)


def _size(text: str) -> int:
    size = positive_int(text, _MULTIPLE)
    if size % _MULTIPLE:
        raise argparse.ArgumentTypeError(f"must be a multiple of {_MULTIPLE}, got {text}")
    return size


def run(arguments: argparse.Namespace) -> int:
    from unfold._files import replace_file

    from .errors import ExportError
    from .facts import VISIBLE

    output, program = arguments.output, arguments.torch_export
    _check_output(output, ".pt2" if program else ".onnx")
    model = _model(arguments.model, arguments.options)
    kernel = _kernel(arguments, model)
    photo = _photo(arguments.photo, arguments.size)
    measured = _measure(arguments, model, photo, kernel)
    inputs = _inputs(arguments, measured)
    patch = _patch(photo, arguments.size)
    field = _field(arguments, model, photo, measured, kernel)
    try:
        data, comparison = _export(arguments, model, patch, measured, inputs, kernel, field)
    except ExportError as error:
        raise CommandError(f"{arguments.model} cannot be exported: {error}") from error
    if comparison is not None:
        print(comparison)
        if not comparison.equal:
            raise CommandError(
                f"{output}: not written, because the results differ; remove "
                + ("--dft" if arguments.dft else "--check to write it anyway")
            )
    replace_file(output, data)
    tiles = "for whole photos only"
    if field is not None:
        tiles = (
            f"which overlap by {field.radius} pixels on each side (at their seams the result "
            f"differs by {field.error:.1e} at most)"
        )
        if field.error > VISIBLE:
            tiles += "; seams may be visible: a larger --size may allow a sufficient overlap"
    print(f"{output}: {arguments.model} on tiles of {arguments.size}×{arguments.size}, {tiles}")
    print(f"inputs: {', '.join(('input', *inputs))}; constants: "
          f"{', '.join(n for n in measured if n not in inputs) or 'none'}")  # fmt: skip
    return 0


def _export(
    arguments: argparse.Namespace,
    model: Restorer,
    patch: Tensor,
    measured: dict[str, Tensor],
    inputs: tuple[str, ...],
    kernel: Tensor | None,
    field: ReceptiveField | None,
) -> tuple[bytes, Comparison | None]:
    """The bytes of the file, and a comparison of its graph with PyTorch if it is requested."""
    import torch

    from .check import compare, in_onnxruntime
    from .facts import facts
    from .graph import describe, save_program, to_onnx, trace
    from .tile import Tile, example

    tile = Tile(model, measured, inputs, kernel_known=kernel is not None).eval()
    given = example(tile, patch, measured)
    about = facts(
        arguments.model, _component(arguments.model), model, measured, inputs,
        size=arguments.size, field=field,
    )  # fmt: skip
    matrices = not (arguments.dft or arguments.torch_export)
    program = trace(tile, given, matrices=matrices)
    if arguments.torch_export:
        data = save_program(program, json.dumps(about))
        run, runtime = program.module(), "torch.export"
    else:
        graph = to_onnx(program, ("input", *inputs))
        describe(graph, about)
        data = graph.SerializeToString()
        run, runtime = in_onnxruntime(data) if arguments.check else (torch.clone, "")
    return data, compare(run, runtime, tile, given) if arguments.check else None


def _check_output(output: Path, suffix: str) -> None:
    """Refuse a name with another suffix, and a file that unfold did not write."""
    if output.suffix.lower() != suffix:
        raise CommandError(f"{output}: the name must end in {suffix}")
    if not output.parent.is_dir():
        raise CommandError(f"{output.parent}: no such folder; create it first")
    if output.exists() and not _is_ours(output):
        raise CommandError(f"{output}: exists, and is not an export of unfold; choose another name")


def _is_ours(path: Path) -> bool:
    import onnx

    from .graph import FACTS, PRODUCER

    try:
        if path.suffix.lower() == ".pt2":
            with zipfile.ZipFile(path) as archive:
                return any(Path(name).name == FACTS for name in archive.namelist())
        return onnx.load(path, load_external_data=False).producer_name == PRODUCER
    except Exception:  # a file of any other kind
        return False


def _model(name: str, options: list[str]) -> Restorer:
    """A model, or a prior as one, in eval mode."""
    import unfold

    from .tile import PriorAsModel

    if name in unfold.list("priors") and name not in unfold.list("models"):
        config = parse_options(options, {})
        return ready(name, PriorAsModel(_prior(name, config))).eval()
    model = ready(name, model_spec(name, options, pretrained=True).build()).eval()
    if len(model.sequence()) > 1:
        raise CommandError(
            f"{name}: each model's measurements depend on the one before; export them one by one"
        )
    return model


def _prior(name: str, config: dict[str, object]):
    from unfold.registry.spec import spec_of

    return spec_of("priors", {"kind": name, **config}).build(3)


def _component(name: str):
    """The installed model or prior of this name; None for a config."""
    import unfold
    from unfold.registry.catalog import find

    group = next((g for g in ("models", "priors") if name in unfold.list(g)), None)
    return None if group is None else find(group, name)


def _kernel(arguments: argparse.Namespace, model: Restorer) -> Tensor | None:
    from unfold.restoration import read_kernel

    if arguments.kernel is not None:
        return read_kernel(arguments.kernel)
    if model.needs_kernel:
        raise CommandError(
            f"{arguments.model} needs the blur's kernel: give --kernel FILE (unfold kernel PHOTO "
            "-o FILE estimates one), or export deblur, which estimates it"
        )
    return None


def _photo(path: Path | None, size: int) -> Tensor | None:
    from unfold.imaging import read

    if path is None:
        return None
    photo = read(path).image
    height, width = photo.shape[-2:]
    if min(height, width) < size:
        most = min(height, width) // _MULTIPLE * _MULTIPLE
        raise CommandError(
            f"{path}: {width}×{height} pixels, less than a tile of {size}×{size}: "
            + (f"choose --size {most} or less" if most else "choose a larger photo")
        )
    return photo


def _measure(
    arguments: argparse.Namespace, model: Restorer, photo: Tensor | None, kernel: Tensor | None
) -> dict[str, Tensor]:
    """The measurements of the photo, and the kernel if it is given."""
    import torch

    from unfold.restoration import TiledInference
    from unfold.restorer import Restorer

    from .tile import PriorAsModel

    known = {} if kernel is None else {"kernel": kernel}
    if photo is not None:
        found = TiledInference(model, kernel=kernel).measure(photo)
        # (A map of the photo is measured by the graph: a tile does not know its position.)
        return {n: v for n, v in {**found, **known}.items() if n not in model.measured_maps}
    if isinstance(model, PriorAsModel):
        return {"sigma": torch.full((1, 1, 1, 1), 25 / 255)}
    if type(model).measure is not Restorer.measure or model.pooled_features:
        raise CommandError(f"{arguments.model} measures the photo: give --photo")
    return known


def _inputs(arguments: argparse.Namespace, measured: dict[str, Tensor]) -> tuple[str, ...]:
    asked = tuple(filter(None, (name.strip() for name in arguments.inputs.split(","))))
    unknown = [name for name in asked if name not in measured]
    if unknown:
        raise CommandError(
            f"--inputs {arguments.inputs}: {arguments.model} has no input "
            f"{', '.join(unknown)}; it has {', '.join(measured) or 'none'}"
        )
    if arguments.photo is None and "sigma" in measured:  # nothing measured it
        return ("sigma",)
    return tuple(dict.fromkeys(asked))


def _patch(photo: Tensor | None, size: int) -> Tensor:
    """The tile of the photo with the most detail; noise if there is no photo."""
    import torch

    from unfold.restoration.receptive_field import most_detailed

    if photo is None:
        return torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    rows, columns = most_detailed(photo[None], size, size)
    return photo[None, :, rows, columns].contiguous()


def _field(
    arguments: argparse.Namespace,
    model: Restorer,
    photo: Tensor | None,
    measured: dict[str, Tensor],
    kernel: Tensor | None,
) -> ReceptiveField | None:
    """The receptive field, whose radius is the necessary overlap of tiles; None if a photo must not
    be cut."""
    import torch

    from unfold.restoration.receptive_field import ReceptiveField, measure_receptive_field

    size = arguments.size
    if model.needs_full_image:
        return None
    if photo is not None and photo.shape[-2:] == (size, size):
        return ReceptiveField(0, 0.0)  # the photo is one tile
    sample = _patch(None, _PROBE)[0] if photo is None else photo
    measurements = {n: v for n, v in measured.items() if kernel is None or n != "kernel"}
    with torch.inference_mode():
        field = measure_receptive_field(
            model, sample[None], kernel=kernel, measurements=measurements,
            device=torch.device("cpu"), pixels=max(size, _PROBE) ** 2,
        )  # fmt: skip
    field = replace(field, radius=max(field.radius, model.min_receptive_field))
    if 2 * field.radius >= size or field.error == math.inf:
        raise CommandError(
            f"--size {size}: tiles of {arguments.model} must overlap by more than {field.radius} "
            "pixels on each side, so that nothing of them would be used: choose a larger --size, "
            "or the size of the photo"
        )
    return field
