"""Bad photos of a folder of sharp ones, written as a data set."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import multiprocessing
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from unfold.imaging import ImageError, Photo, write

from .manifest import Manifest
from .pipeline import Pipeline, seeded, to_json
from .recipe import SHARP, Recipe, parse_recipe
from .scenes import Scene, find_scenes, fit


@dataclass(frozen=True)
class Made:
    """What became of one photo of the data set: ``error`` is empty where it was made."""

    index: int
    source: str
    error: str = ""


@dataclass(frozen=True)
class Synthesis:
    """A data set to be made: what is in it depends on these values and on nothing else.

    Photo ``i`` is made of scene ``i mod (number of scenes)``, and its chance of ``(seed, i)``: the
    files are the same, bit for bit, for any number of workers, and however often the run was cut
    short. (On one machine: other versions of torch may round otherwise.)

    Attributes:
        source: the sharp photos (see `find_scenes`).
        output: a new folder, or that of a run to go on with.
        recipe: what is done to them.
        count: how many; may be raised later.
        seed: of all chance.
        split: what ``{split}`` stands for in the recipe's paths.
    """

    source: Path
    output: Path
    recipe: Recipe
    count: int
    seed: int = 0
    split: str = "train"

    def run(self, workers: int = 1) -> Iterator[Made]:
        """Make what is not there yet, and tell of each photo what became of it.

        What goes wrong with one does not stop the others.

        Args:
            workers: processes; each computes with one thread.

        Raises:
            ImageError: no scenes.
            ManifestError: the output holds something else.
        """
        scenes = find_scenes(self.source, self.recipe.frames)
        manifest = Manifest(self.output, self._header(scenes))
        done = manifest.begin()
        pending = [i for i in range(self.count) if not self._is_there(done.get(i))]
        for i in sorted(set(range(self.count)) - set(pending)):
            yield Made(i, scenes[i % len(scenes)].name)
        try:
            for made, line in self._make_all(scenes, pending, workers):
                if line is not None:
                    manifest.add(line)
                yield made
        finally:
            manifest.end()

    def _header(self, scenes: list[Scene]) -> dict[str, Any]:
        names = "\n".join(scene.name for scene in scenes)
        return {
            "unfold": importlib.metadata.version("unfold-imaging"),
            "torch": torch.__version__,
            "seed": self.seed,
            "split": self.split,
            "scenes": len(scenes),
            "scene_names": hashlib.sha256(names.encode(errors="surrogateescape")).hexdigest(),
            "recipe": self.recipe.model_dump(mode="json"),
        }

    def _is_there(self, line: Mapping[str, Any] | None) -> bool:
        return line is not None and all((self.output / path).exists() for path in line["files"])

    def _make_all(
        self, scenes: list[Scene], pending: list[int], workers: int
    ) -> Iterator[tuple[Made, dict[str, Any] | None]]:
        tasks = ((i, i // len(scenes), i % len(scenes), scenes[i % len(scenes)]) for i in pending)
        job = _Job(self.recipe, self.output, self.seed, self.split)
        if workers <= 1 or len(pending) <= 1:
            with _one_thread():
                for task in tasks:
                    yield job(*task)
            return
        workers = min(workers, len(pending))
        options = (json.dumps(job.to_json()),)
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, context, _prepare, options) as pool:
            # A few photos ahead of the workers, not all of them: a run may be of a million.
            running: dict[Any, tuple] = {}
            while True:
                for task in tasks:
                    running[pool.submit(_work, *task)] = task
                    if len(running) >= 4 * workers:
                        break
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    index, _, _, scene = running.pop(future)
                    try:
                        yield future.result()
                    except BrokenProcessPool:
                        raise ImageError(
                            f"{scene.name}: a worker process ended while it was at this photo or "
                            f"near it (index {index}), perhaps for want of memory; run the same "
                            "command again with fewer workers to go on"
                        ) from None


class _Job:
    """Makes one photo of the data set after the other."""

    def __init__(self, recipe: Recipe, output: Path, seed: int, split: str) -> None:
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
            pictures = fit(scene.read(), self.recipe.size, generator)
            drawn = self.pipeline.draw(generator)
            made = self.pipeline.make({n: x[None] for n, x in pictures.items()}, drawn)
            names = {"split": self.split, "sequence": f"{sequence:04}", "frame": f"{frame:04}"}
            paths = {path.format(**names): name for path, name in self.recipe.files.items()}
            for path, name in paths.items():
                target = self.output / path
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
    torch.set_num_threads(1)
    values = json.loads(options)
    recipe, output = parse_recipe(values["recipe"]), Path(values["output"])
    _job = _Job(recipe, output, values["seed"], values["split"])


def _work(index: int, frame: int, sequence: int, scene: Scene):
    assert _job is not None
    return _job(index, frame, sequence, scene)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """The order of sums, and so the last bit, depends on the number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
