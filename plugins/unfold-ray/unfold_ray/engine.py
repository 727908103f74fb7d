"""Restoration of a folder by the workers of a Ray cluster."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from unfold.imaging import ImageError
from unfold.models.fast import fast
from unfold.restoration import FileResult, Journal, read_journal, restore_files
from unfold.restoration.device import default_budget

_LARGEST = 16  # largest number of photos in a chunk
_ROUNDS = 8  # smallest number of chunks for each worker, if there are enough photos
_CHUNKS = "unfold-journal-chunk-*.jsonl"


def restore_on_ray(
    config: Mapping[str, Any],
    pairs: Sequence[tuple[Path, Path]],
    *,
    journal: Journal,
    workers: int | None = None,
    quick: bool = False,
    again: bool = False,
    **options: Any,
) -> Iterator[FileResult]:
    """Run `restore_files` on every worker, on chunks of the photos.

    Ray Data distributes the chunks, and distributes those of a failed worker again. Each chunk has
    its own journal, so finished photos are not restored again. The paths must be the same on all
    machines (a shared file system).

    Args:
        config: config of the model, as in JSON.
        pairs: input and output paths.
        journal: journal of the whole run, in the output folder; those of the chunks are added.
        workers: number of processes; by default one for each CPU of the cluster (GPU, on CUDA).
        quick: whether the model is in its fast mode.
        again: whether finished photos are restored again.
        options: those of `restore_files`.

    Raises:
        ImageError: if Ray's workers fail permanently.
    """
    # Under `uv run`, Ray would send the current folder to its workers, and create an environment
    # for each of them.
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    import ray
    import ray.data

    folder = journal.path.parent
    for path in folder.glob(_CHUNKS):  # of a run whose main process was killed
        _take_over(journal, path)
    left = []
    for source, target in pairs:
        if not again and journal.unchanged(source, target):
            yield FileResult(source, target, state="done before")
        else:
            left.append((source.absolute(), target.absolute()))
    if not left:
        return
    if not ray.is_initialized():
        ray.init(log_to_driver=False)
    device = torch.device(options.get("device", "cpu"))
    on_gpu = device.type == "cuda"
    resource = "GPU" if on_gpu else "CPU"
    workers = workers or max(1, int(ray.cluster_resources().get(resource, 1)))
    if options.get("memory") is None and not on_gpu:  # the workers of a machine share its memory
        options["memory"] = default_budget(device) // workers
    chunks = _chunks(left, workers, folder, journal.run)
    rows = ray.data.from_items(chunks, override_num_blocks=len(chunks)).map(
        _Restore,
        fn_constructor_kwargs={"config": dict(config), "settings": journal.settings,
                               "quick": quick, "options": options},
        concurrency=min(workers, len(chunks)),
        **{"num_gpus": 1} if on_gpu else {"num_cpus": 1},
    )  # fmt: skip
    try:
        for row in rows.iter_rows():
            yield from _take_over(journal, Path(row["journal"]))
    except ray.exceptions.RayError as error:
        reason = str(error).strip().splitlines()[-1]
        raise ImageError(f"Ray's workers failed ({reason[:300]}); run it again to go on") from error


class _Restore:
    """A worker: builds the model once, and restores chunks."""

    def __init__(
        self,
        config: Mapping[str, Any],
        settings: Mapping[str, Any],
        quick: bool,
        options: Mapping[str, Any],
    ) -> None:
        from unfold.registry.spec import resolve

        model = resolve("models", dict(config)).build().to(options.get("device", "cpu"))
        self.model = fast(model) if quick else model
        self.settings, self.options = settings, options

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        pairs = [(Path(s), Path(t)) for s, t in zip(row["sources"], row["targets"], strict=True)]
        journal = Journal(Path(row["journal"]), self.settings)
        try:
            for _ in restore_files(self.model, pairs, journal=journal, **self.options):
                pass
        finally:
            journal.close()
        return {"journal": row["journal"]}


def _chunks(
    pairs: Sequence[tuple[Path, Path]], workers: int, folder: Path, run: str
) -> list[dict[str, Any]]:
    size = min(_LARGEST, max(1, math.ceil(len(pairs) / (workers * _ROUNDS))))
    chunks = []
    for first in range(0, len(pairs), size):
        part = pairs[first : first + size]
        digest = hashlib.sha256(b"\0".join(os.fsencode(target) for _, target in part)).hexdigest()
        chunks.append(
            {
                "sources": [os.fspath(source) for source, _ in part],
                "targets": [os.fspath(target) for _, target in part],
                "journal": os.fspath(
                    folder.absolute() / f"unfold-journal-chunk-{digest[:16]}.jsonl"
                ),
            }
        )
    return chunks


def _take_over(journal: Journal, path: Path) -> list[FileResult]:
    """Move a chunk's records to the journal of the whole run; returns the results of its photos."""
    outcomes = []
    for record in read_journal(path).values():
        journal.add(record)
        if record["status"] != "writing":
            source, target = Path(record["source"]), journal.path.parent / record["target"]
            outcomes.append(FileResult(source, target, record.get("error")))
    path.unlink()
    return outcomes
