"""Data sets of degraded photos from a folder of sharp ones."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import multiprocessing
import os
import re
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from unfold.imaging import ImageError, Photo, size_of, write

from .manifest import Manifest
from .pipeline import Pipeline, one_thread, seeded, to_json
from .recipe import SHARP, RecipeError, SynthesisRecipe, parse_recipe
from .scenes import Scene, find_scenes, fit


@dataclass(frozen=True)
class Made:
    """The result for one photo of the data set: ``error`` is empty if it was synthesized.

    Example:
        >>> from unfold.synthesis import Made
        >>> made = Made(index=3, source="street.png", error="cut short")
        >>> f"{made.source}: {made.error or 'made'}"
        'street.png: cut short'
    """

    index: int
    source: str
    error: str = ""


@dataclass(frozen=True)
class Synthesis:
    """A data set to be synthesized. Its content depends only on these values.

    Photo ``i`` is synthesized from scene ``i mod (number of scenes)`` with random numbers of
    ``(seed, i)``:
    the files are the same, bit for bit, for any number of workers and of interruptions. (On one
    machine: other versions of torch may round differently.)

    Attributes:
        source: the sharp photos (see `find_scenes`).
        output: a new folder, or that of a run to resume.
        recipe: the degradations, and the files to write.
        count: number of photos; it can be increased later.
        seed: seed of all random numbers.
        split: replaces ``{split}`` in the recipe's paths.

    Example:
        >>> import tempfile, torch
        >>> from pathlib import Path
        >>> from unfold.imaging import Photo, write
        >>> from unfold.synthesis import Synthesis, parse_recipe
        >>> dark = {"degradation": "low-light", "saves": "dark"}
        >>> files = {"{split}/{sequence}-{frame}.png": "dark"}
        >>> recipe = parse_recipe({"steps": [dark], "files": files, "input": "dark"})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     source, output = Path(folder, "sharp.png"), Path(folder, "set")
        ...     write(source, Photo(torch.rand(3, 16, 16)))
        ...     list(Synthesis(source, output, recipe, count=1).run())
        ...     sorted(path.name for path in (output / "train").iterdir())
        [Made(index=0, source='sharp.png', error='')]
        ['0000-0000.png']
    """

    source: Path
    output: Path
    recipe: SynthesisRecipe
    count: int
    seed: int = 0
    split: str = "train"

    def __post_init__(self) -> None:
        if not re.fullmatch(r"\w[\w.-]*", self.split):
            raise RecipeError(f"split {self.split!r}: must be a plain name, such as train")

    def run(self, workers: int = 1) -> Iterator[Made]:
        """Synthesize the missing photos, and yield the result for each.

        An error of one photo does not stop the others.

        Args:
            workers: number of processes; each uses one thread.

        Raises:
            ImageError: if there are no scenes.
            ManifestError: if the output contains other files, or another process uses it.
        """
        # (An output within the source is no source.)
        scenes = find_scenes(self.source, self.recipe.frames, outside=self.output)
        manifest = Manifest(self.output, self._header(scenes))
        with manifest.held():
            yield from self._fill(manifest, scenes, workers)

    def _fill(self, manifest: Manifest, scenes: list[Scene], workers: int) -> Iterator[Made]:
        lines = manifest.begin()
        done = {i for i, line in lines.items() if i < self.count and self._is_there(line)}
        for i in sorted(done):
            yield Made(i, scenes[i % len(scenes)].name)
        tasks = (
            (i, i // len(scenes), i % len(scenes), scenes[i % len(scenes)])
            for i in range(self.count)
            if i not in done
        )
        try:
            for made, line in self._make(tasks, min(workers, self.count - len(done))):
                manifest.check_there()
                if line is not None:
                    manifest.add(line)
                yield made
        finally:
            manifest.end()

    def _header(self, scenes: list[Scene]) -> dict[str, Any]:
        return {
            "unfold": importlib.metadata.version("unfold-imaging"),
            "torch": torch.__version__,
            "seed": self.seed,
            "split": self.split,
            "scenes": len(scenes),
            "photos": _fingerprint(scenes),
            "recipe": self.recipe.model_dump(mode="json"),
        }

    def _is_there(self, line: Mapping[str, Any]) -> bool:
        """Whether the files of a photo are complete, by their ends."""
        try:
            for path in line["files"]:
                size_of(self.output / path)
        except ImageError:
            return False
        return True

    def _make(
        self, tasks: Iterator[tuple], workers: int
    ) -> Iterator[tuple[Made, dict[str, Any] | None]]:
        job = _Job(self.recipe, self.output, self.seed, self.split)
        if workers <= 1:
            yield from (job(*task) for task in tasks)
            return
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(workers, context, _prepare, (json.dumps(job.to_json()),))
        try:
            # A few photos ahead of the workers, not all of them: a run may be of a million.
            running = {pool.submit(_work, *task): task for task in islice(tasks, 4 * workers)}
            while running:
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    index, _, _, scene = running.pop(future)
                    try:
                        result = future.result()
                    except BrokenProcessPool:
                        yield Made(index, scene.name, _LOST.format(scene.name)), None
                        return
                    yield result
                    running |= {pool.submit(_work, *task): task for task in islice(tasks, 1)}
        finally:
            pool.shutdown(cancel_futures=True)


_LOST = (
    "{}: at this photo, or one near it, a worker process ended, perhaps for want of memory; run "
    "the same command again, with fewer workers, to go on"
)


def _fingerprint(scenes: list[Scene]) -> str:
    """A hash of the names and sizes of all files."""
    digest = hashlib.sha256()
    for scene in scenes:
        for file in (*scene.photos, *filter(None, [scene.disparity])):
            size = file.stat().st_size if file.exists() else 0
            digest.update(f"{scene.name}/{file.name} {size}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


class _Job:
    """Synthesizes the photos of the data set one after the other."""

    def __init__(self, recipe: SynthesisRecipe, output: Path, seed: int, split: str) -> None:
        self.recipe, self.output, self.seed, self.split = recipe, output, seed, split
        self.pipeline = Pipeline(recipe)

    def to_json(self) -> dict[str, Any]:
        return {
            "recipe": self.recipe.model_dump(mode="json"),
            "output": str(self.output),
            "seed": self.seed,
            "split": self.split,
        }

    def __call__(
        self, index: int, frame: int, sequence: int, scene: Scene
    ) -> tuple[Made, dict[str, Any] | None]:
        generator = seeded(self.seed, index)
        try:
            with one_thread():
                pictures = fit(scene.read(self.pipeline.inputs), self.recipe.size, generator)
                drawn = self.pipeline.draw(generator)
                made = self.pipeline.make({n: x[None] for n, x in pictures.items()}, drawn)
            names = {"split": self.split, "sequence": f"{sequence:04}", "frame": f"{frame:04}"}
            paths = {path.format(**names): name for path, name in self.recipe.files.items()}
            for path, name in paths.items():
                target = self.output / path
                if not self.output.is_dir():  # (or it would be made anew, without its manifest)
                    raise ImageError(f"{self.output} was removed during the run")
                target.parent.mkdir(parents=True, exist_ok=True)
                write(target, Photo(made[name][0].float(), bits=self.recipe.bits))
        except (ImageError, OSError, RuntimeError, ValueError, MemoryError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            return Made(index, scene.name, f"{scene.name}: {reason[:300]}"), None
        line = {
            "index": index,
            "source": scene.name,
            "size": list(made[SHARP].shape[-2:]),
            "files": paths,
            "steps": to_json(self.pipeline.kinds, drawn),
        }
        return Made(index, scene.name), line


_job: _Job | None = None  # of a worker process


def _prepare(options: str) -> None:
    global _job
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    values = json.loads(options)
    recipe, output = parse_recipe(values["recipe"]), Path(values["output"])
    _job = _Job(recipe, output, values["seed"], values["split"])


def _end_with_parent() -> None:
    """End a worker with its parent. (Otherwise it waits for tasks forever if the parent is
    killed.)"""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _work(index: int, frame: int, sequence: int, scene: Scene):
    assert _job is not None
    return _job(index, frame, sequence, scene)
