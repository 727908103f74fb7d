"""``unfold restore``: restores photos."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from unfold.errors import UnfoldError

from ._common import (
    CommandError,
    add_device,
    add_model,
    checked,
    declare,
    default_model,
    find_device,
    kernel_for,
    model_spec,
    ready,
)

if TYPE_CHECKING:
    from torch import Tensor

    from unfold.registry.spec import Spec
    from unfold.restoration import FileResult, Journal, Shard
    from unfold.restorer import Restorer


def add(parser: argparse.ArgumentParser) -> None:
    """Restore photos.

    Reads PNG, JPEG and TIFF files of 8 or 16 bits, and keeps their depth and metadata. A file that
    fails is reported; the others are still restored, and the exit status is 1.

    Example:
        unfold restore dark.jpg -o restored.jpg
        unfold restore holiday/ -o restored/ --model deblur --memory 2GiB
    """
    declare(parser, "photos PHOTO", "a PNG, JPEG or TIFF photo, or a folder of photos", nargs="+")
    declare(parser, "-o --output PATH", "a file for one photo, otherwise a folder, which is "
            "created if missing and mirrors the given folders; it keeps every file that unfold did "
            "not write",
            required=True, type=str)  # fmt: skip
    declare(parser, "--kernel FILE", "the kernel of the blur, a 2-D array (.npy, .txt) or a gray "
            "picture (default: the model estimates the blur; tv-deblur and others without an "
            "estimator treat the photo as sharp)")  # fmt: skip
    declare(parser, "--trust MAP", "write a color picture that shows how far each pixel can be "
            "trusted (one photo only). Red: the 90 %% error bar (full red: ± a tenth of white); "
            "green: the square root of the share that comes from the photo and not from the prior; "
            "blue: pixels that the kernel does not explain. Takes twice the time",
            type=Path)  # fmt: skip
    add_model(parser, "one of `unfold list models`, or a config (.json, .toml) (default: "
              "jude-small, which estimates the blur; with --kernel, jude-classic)")  # fmt: skip
    computing = parser.add_argument_group("computation")
    add_device(computing)
    declare(computing, "--memory SIZE", "memory limit of the process (on a GPU: of its GPU "
            "memory), e.g. 2GiB; a photo that does not fit is restored in tiles (default: "
            "the free memory)",
            type=checked(memory_size))  # fmt: skip
    declare(computing, "--max-pixels N", "refuse photos with more pixels", default=200_000_000)
    declare(computing, "--batch N", "restore up to N photos of equal size at once, which uses a "
            "GPU better; results differ by rounding", default=1)  # fmt: skip
    declare(computing, "--fast", "use bfloat16 convolutions where the device computes them fast, "
            "and compile the stages on a GPU (the first photo takes longer); nearly all values "
            "change by less than one step of 8 bits")  # fmt: skip
    declare(computing, "--verify", "restore the seams of tiles again, and print the difference")
    folders = parser.add_argument_group("folders")
    declare(folders, "--again", "restore the photos again that the output folder's journal records "
            "as done")  # fmt: skip
    declare(folders, "--shard I/N", "restore shard I of N; photos are assigned by their content, "
            "and each shard writes a journal (see `unfold journal merge`)",
            type=checked(shard))  # fmt: skip
    declare(folders, "--engine NAME", "local, or one of `unfold list engines`; ray uses all "
            "workers of a Ray cluster, or this machine (plugin unfold-ray; needs a shared "
            "file system)",
            default="local")  # fmt: skip
    declare(folders, "--workers N", "processes of the engine (default: one for each CPU or GPU)")
    parser.set_defaults(run=run)


def memory_size(text: str) -> int:
    from unfold.restoration import parse_bytes

    return parse_bytes(text)


def shard(text: str) -> Shard:
    from unfold.restoration import Shard

    return Shard.parse(text)


def run(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm

    from unfold.models.fast import fast
    from unfold.registry.kinds import function
    from unfold.restoration import is_file, plan, restore_files, without_others

    arguments.output = _output(arguments.output, arguments.photos)
    engine = None if arguments.engine == "local" else function("engines", arguments.engine)
    if arguments.shard and engine:
        raise CommandError(
            f"--shard cannot be combined with --engine {arguments.engine}: the engine distributes "
            "the photos itself"
        )
    name = arguments.model or default_model(arguments.kernel)
    spec = model_spec(name, arguments.options, pretrained=True, strength=arguments.strength)
    model = ready(name, spec.build())
    device = find_device(arguments.device)
    kernel = kernel_for(name, model, arguments.kernel)
    pairs, unplanned = plan(arguments.photos, arguments.output)
    if arguments.trust:
        _check_trust(arguments, name, model)
    journal = None
    if not is_file(arguments.output):
        journal = _journal(arguments, spec, model, kernel)
        pairs, refused = without_others(pairs, journal)
        unplanned += refused
    elif arguments.shard or engine:
        raise CommandError(
            f"{arguments.output}: one photo cannot be distributed; give a folder as output"
        )
    if arguments.fast and not engine:
        model = fast(model.to(device))
    first = arguments.shard is None or arguments.shard.index == 1
    unplanned = unplanned if first else []
    counts = {"restored": 0, "done before": 0, "another shard's": 0, "failed": 0}
    total = len(pairs) + len(unplanned)
    with contextlib.ExitStack() as stack:
        bar = stack.enter_context(tqdm(total=total, unit="photo", file=sys.stderr, disable=None))
        if journal:
            stack.callback(journal.close)
            for outcome in unplanned:
                journal.fail(outcome.source, _place(outcome), outcome.error or "")
        options = {
            "kernel": kernel, "device": str(device), "max_pixels": arguments.max_pixels,
            "memory": arguments.memory, "verify": arguments.verify, "again": arguments.again,
            "journal": journal, "batch": arguments.batch,
        }  # fmt: skip
        if engine:
            config = spec.model_dump(mode="json")
            restored = engine(
                config, pairs, workers=arguments.workers, quick=arguments.fast, **options
            )
        else:
            restored = restore_files(
                model, pairs, shard=arguments.shard, trust=arguments.trust, **options
            )
        for outcome in chain(unplanned, restored):
            bar.update()
            counts["failed" if outcome.error else outcome.state] += 1
            if outcome.error:
                bar.write(f"unfold: {outcome.error}", file=sys.stderr)
            for note in outcome.notes:
                bar.write(f"unfold: {note}", file=sys.stderr)
    ours = total - counts["another shard's"]
    before = f" ({counts['done before']} done before)" * bool(counts["done before"])
    print(f"{counts['restored']} of {ours} restored to {arguments.output}{before}")
    return 1 if counts["failed"] else 0


def _output(text: str, photos: list[Path]) -> Path:
    """The output. For one photo, an unknown suffix is an error unless a folder is meant."""
    from unfold.imaging.io import SUFFIXES
    from unfold.restoration import is_file

    path = Path(text)
    folder = path.is_dir() or text.endswith(("/", os.sep)) or not path.suffix
    if not folder and not is_file(path) and len(photos) == 1 and not photos[0].is_dir():
        raise CommandError(
            f"{path}: {path.suffix} cannot be written; use one of {', '.join(SUFFIXES)}, or write "
            f"{path}/ for a folder"
        )
    return path


def _check_trust(arguments: argparse.Namespace, name: str, model: Restorer) -> None:
    from unfold.restoration import is_file
    from unfold.restoration.trust import check_declared

    target = arguments.trust
    if not is_file(arguments.output) or arguments.engine != "local":
        raise CommandError(
            f"--trust {target}: works for one photo only; restore photos one by one, with a file "
            "as --output"
        )
    if not is_file(target):
        raise CommandError(f"--trust {target}: must be the name of a picture, such as trust.png")
    taken = {path.resolve() for path in (arguments.output, *arguments.photos)}
    if target.resolve() in taken:
        raise CommandError(
            f"--trust {target}: is also the photo or its restoration; choose another name"
        )
    try:
        check_declared(model)
    except UnfoldError as error:
        raise CommandError(f"--trust: {name}: {error}") from error


def _journal(
    arguments: argparse.Namespace, spec: Spec, model: Restorer, kernel: Tensor | None
) -> Journal:
    """The journal of the output folder, or of a shard."""
    import hashlib
    import importlib.metadata

    from unfold.models.weights import tensors_digest
    from unfold.registry.catalog import HOME
    from unfold.restoration import Journal

    share = f"-{arguments.shard}" if arguments.shard else ""
    blur = None if kernel is None else hashlib.sha256(kernel.numpy().tobytes()).hexdigest()
    return Journal(
        arguments.output / f"unfold-journal{share}.jsonl",
        {
            "model": spec.model_dump(mode="json"),
            "weights_sha256": tensors_digest(model),
            "kernel_sha256": blur,
            "fast": arguments.fast,
            "unfold": importlib.metadata.version(HOME),
        },
    )


def _place(outcome: FileResult) -> Path:
    """The path that the journal records for a photo without an output file."""
    inside = outcome.target.suffix != ""
    return outcome.target if inside else outcome.target / outcome.source.name
