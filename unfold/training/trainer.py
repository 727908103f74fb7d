"""The training loop: steps, and validation, samples and checkpoints between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils import data

from unfold.datasets.photos import Kept
from unfold.evaluation.provenance import providers
from unfold.models.weights import save_model
from unfold.restorer import Restorer

from . import checkpoint
from .assemble import assemble
from .distributed import Distributed, whole
from .error import TrainingError
from .log import Records
from .phase import Phase
from .reading import differences, parse_recipe
from .recipe import Recipe
from .samples import sample_sheet, write_sheet
from .step import accumulate, bad, clip, find_cause, own_rng, seed_all
from .stream import Items, loader, open_stream
from .task import Batch
from .validation import Validator

_AVERAGE = checkpoint.SEPARATOR.join(("average", ""))
_DATA_FAILURES = (OSError, ValueError, RuntimeError)


class Trainer:
    """A training run.

    The random numbers of step s depend only on ``(seed, s, process)``: the generators of torch,
    NumPy and Python are seeded in each step. Their states are not saved, and a resumed run is
    equal, bit for bit, to a run without interruption (on one device, with one version of torch).

    Args:
        recipe: the recipe.
        folder: folder of checkpoints, records, samples and the final weights. If it has checkpoints
            of this recipe, training resumes from the last.
        world: the processes and their devices.
        workers: number of processes that read and degrade photos.
        allow_changes: whether to resume if the recipe has changed.
        board: whether files for TensorBoard are written.

    Raises:
        TrainingError: if checkpoints are damaged or of another recipe (the message shows the
            differences).
        ImageError, DataError, ComponentError, MetricError: if data or components are missing.

    Example:
        >>> import tempfile, torch
        >>> from pathlib import Path
        >>> from unfold.imaging import Photo, write
        >>> from unfold.training import Trainer, parse_recipe
        >>> from unfold.training.distributed import Distributed
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write(Path(folder, "photo.png"), Photo(torch.rand(3, 16, 16)))
        ...     recipe = parse_recipe({
        ...         "model": {"kind": "zero-dce", "iterations": 2, "width": 4},
        ...         "data": {"kind": "photos", "source": folder},
        ...         "losses": [{"loss": "color-constancy"}],
        ...         "phases": [{"steps": 2, "batch": 1, "crop": 16, "lr": 1e-4}],
        ...     })
        ...     trainer = Trainer(recipe, Path(folder, "run"), Distributed(torch.device("cpu")))
        ...     trainer.run(), trainer.step
        (True, 2)
    """

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        distributed: Distributed,
        *,
        workers: int = 0,
        allow_changes: bool = False,
        board: bool = False,
    ) -> None:
        self.recipe, self.folder, self.distributed, self.workers = (
            recipe,
            folder,
            distributed,
            workers,
        )
        _check_shares(recipe, distributed)
        self.kept = Kept(distributed.device) if recipe.on_device else None
        components = assemble(recipe, distributed)
        self.model, self.average, self.optimizers = (
            components.model,
            components.average,
            components.optimizers,
        )
        self.bare = components.tasks
        self.tasks = {name: distributed.wrap(task) for name, task in components.tasks.items()}
        self.step, self.best = 0, {}
        self.stopping = self._ends = False
        self._whole = True  # no step is half done: what is due after it included
        self._resume(allow_changes)
        self.validator = recipe.validation and Validator(
            recipe.validation, recipe.seed, distributed.device
        )
        self._stream(recipe.phases[0])  # its errors are reported now
        self.records: Records | None = None
        if distributed.first:
            self._prune()
            self.records = Records(folder, step=self.step, board=board)

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.folder / "checkpoints"

    @property
    def learned(self) -> Restorer:
        """The model whose weights are measured and saved: the average, if there is one."""
        return self.model if self.average is None else self.average.module  # type: ignore[return-value]

    def run(
        self, watch: Callable[[int, dict[str, float]], None] = lambda step, losses: None
    ) -> bool:
        """Train to the end, or until ``stopping`` is set. In both cases a checkpoint is written.

        Args:
            watch: called after each step with its number, from 1, and its losses.

        Returns:
            Whether the training is complete and the final weights are in the folder.

        Raises:
            TrainingError: if data, disk or numbers fail. The last valid state is kept.
        """
        try:
            with own_rng():
                for phase, first, before in self._phases():
                    self._run_phase(phase, first, before, watch)
                    if self._ends and self.step < self.recipe.steps:
                        self._keep()
                        return False
            self._finish()
            return True
        except TrainingError:
            raise
        except OSError as error:
            raise TrainingError(self._with_remedy(error)) from error
        except (ValueError, RuntimeError) as error:
            # A photo to measure or to show on; no memory is left; or a worker died, which torch
            # tells wherever we are.
            raise self._failed(error) from error
        finally:
            if self.records is not None:
                self.records.close()

    def _phases(self) -> Iterator[tuple[Phase, int, int]]:
        """The remaining phases, with the first step of each and the number of items before it."""
        steps = items = 0
        for phase in self.recipe.phases:
            first = max(self.step - steps, 0)
            if first < phase.steps:
                yield phase, first, items
            steps, items = steps + phase.steps, items + phase.steps * phase.batch

    def _run_phase(self, phase: Phase, first: int, before: int, watch: Callable) -> None:
        recipe, distributed = self.recipe, self.distributed
        if phase.start == "best" and first == 0:
            self._start_from_best()
        batches = loader(
            self._stream(phase),
            phase,
            before=before,
            first=first,
            parts=recipe.accumulation,
            rank=distributed.rank,
            world_size=distributed.size,
            workers=self.workers,
            batched=self.kept is not None,
        )
        for local in range(first, phase.steps):
            seed_all(recipe.seed, self.step, distributed.rank)
            parts = [self._next(batches) for _ in range(recipe.accumulation)]
            losses, norms = self._gradients(parts)
            self._check(losses | norms, parts)
            self._whole = False
            self._update(phase.rate(local))
            self.step += 1
            total = sum(losses.values())
            self._record("losses", {"lr": phase.rate(local), **losses, "total": total, **norms})
            watch(self.step, losses)
            self._between()
            self._whole = True
            if self._ends:
                return

    def _gradients(self, parts: list[Batch]) -> tuple[dict[str, float], dict[str, float]]:
        """Compute the gradients of every task. Returns the losses and the norms of the
        gradients."""
        found: dict[str, Tensor] = {}
        norms: dict[str, Tensor] = {}
        for name, task in self.tasks.items():
            self.optimizers[name].zero_grad(set_to_none=True)
            found |= accumulate(task, parts, half=self.recipe.precision == "bf16")
            key = "gradient" if len(self.tasks) == 1 else f"gradient_{name}"
            norms[key] = clip(list(task.parameters()), self.recipe.clip)
        asked = torch.tensor(float(self.stopping), device=self.distributed.device)
        means = self.distributed.means(found | norms | {"stop": asked})
        # All processes stop after the same step, whichever was asked to.
        self._ends = means.pop("stop") > 0
        return {k: means[k] for k in found}, {k: means[k] for k in norms}

    def _check(self, values: dict[str, float], parts: list[Batch]) -> None:
        names = bad(values)
        if names:
            why = find_cause(self.model, parts, self.tasks)
            kept = self._keep()
            saved = f"; the state before it is in {kept}" if kept else ""
            raise TrainingError(
                f"step {self.step + 1}: {', '.join(f'{n} is {values[n]}' for n in names)}: "
                f"{why}{saved}; lower the learning rate, or clip the gradient"
            )

    def _update(self, rate: float) -> None:
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
        if self.average is not None:
            self.average.update_parameters(self.model)

    def _stream(self, phase: Phase) -> Items:
        return open_stream(self.recipe.data, phase, self.recipe.seed, self.kept)

    def _next(self, batches: Iterator[Batch]) -> Batch:
        try:
            batch = next(batches)
        except ConnectionError as error:  # its socket closes before torch notices that it is gone
            raise self._failed(RuntimeError("a data worker exited unexpectedly")) from error
        except _DATA_FAILURES as error:
            raise self._failed(error) from error
        return self._moved(batch)

    def _moved(self, batch: Batch) -> Batch:
        move = {"device": self.distributed.device, "non_blocking": True}
        return {k: v.to(**move) if isinstance(v, Tensor) else v for k, v in batch.items()}

    def _record(self, table: str, values: dict[str, float]) -> None:
        if self.records is not None:
            self.records.add(table, self.step, values)

    def _between(self) -> None:
        """Run the validation, samples and checkpoints that are due after a step."""
        recipe, last = self.recipe, self.step == self.recipe.steps
        improved = False
        if (
            self.validator
            and recipe.validation
            and (last or self.step % recipe.validation.every == 0)
        ):
            values = self.validator(self.learned)
            value = values[self.validator.main]
            improved = self.validator.better(value, self.best.get("value"))
            if improved:
                self.best = {"step": self.step, "metric": self.validator.main, "value": value}
            self._record("validation", values)
        if recipe.samples and self.step % recipe.samples.every == 0:
            self._show(recipe.samples.count)
        if improved or last or self.step % recipe.checkpoint.every == 0:
            self._keep()

    def _show(self, count: int) -> None:
        """Write a picture of the first photos, restored by the model."""
        if self.validator:
            items = [self.validator.item(i) for i in range(min(count, self.validator.count))]
        else:
            stream = self._stream(self.recipe.phases[0])
            items = [self._moved(data.default_collate([stream[n]])) for n in range(count)]
        sheet = sample_sheet(self.learned, items)  # all processes take part, if it is sharded
        if self.distributed.first:
            write_sheet(self.folder / "samples" / f"step-{self.step:08d}.png", sheet)

    def _keep(self) -> str:
        """Write a checkpoint. Returns the name of its folder in the writing process.

        (All processes must call it, because shards are gathered.)
        """
        state = self._state()
        if not self.distributed.first:
            return ""
        try:
            return str(self._write_checkpoint(state))
        except OSError as error:
            raise TrainingError(self._with_remedy(error)) from error

    def _state(self) -> checkpoint.Checkpoint:
        tensors, settings = checkpoint.gather(self.bare, self.optimizers)
        if self.average is not None:
            averages = whole(self.average.state_dict())
            tensors |= {_AVERAGE + k: v for k, v in averages.items()}
        facts = {
            "step": self.step,
            "best": self.best,
            "optimizers": settings,
            "recipe": self.recipe.model_dump(mode="json"),
            "versions": checkpoint.versions(),
        }
        return checkpoint.Checkpoint(tensors, facts)

    def _write_checkpoint(self, state: checkpoint.Checkpoint) -> Path:
        if self.records is not None:
            self.records.sync()
        made = checkpoint.save(self.checkpoints, self.step, state)
        if self.records is not None:
            self.records.check_there()
        self._prune()
        return made

    def _prune(self) -> None:
        recipe = self.recipe
        returns = any(phase.start == "best" for phase in recipe.phases)
        best = self.best.get("step")
        checkpoint.prune(self.checkpoints, recipe.checkpoint.keep, best, returns=returns)

    def _resume(self, allow_changes: bool) -> None:
        there = checkpoint.steps(self.checkpoints)
        if not there:
            return
        found = checkpoint.load(self.checkpoints, there[-1])
        changed = differences(
            _completed(found.facts["recipe"]), self.recipe.model_dump(mode="json")
        )
        if changed and not allow_changes:
            raise TrainingError(
                "\n  ".join((f"{self.folder} was started with another recipe:", *changed))
                + "\n  allow the changes, or choose another folder"
            )
        checkpoint.restore(found, self.bare, self.optimizers)
        self._restore_average(found)
        self.step, self.best = found.facts["step"], found.facts["best"]

    def _restore_average(self, found: checkpoint.Checkpoint) -> None:
        averages = {
            k.removeprefix(_AVERAGE): v for k, v in found.tensors.items() if k.startswith(_AVERAGE)
        }
        if self.average is not None and averages:
            checkpoint.load_into(self.average, averages)

    def _start_from_best(self) -> None:
        """Load the weights of the best checkpoint so far, with initial moments.

        A run that is stopped here repeats it from the same checkpoint.
        """
        if not self.best:
            raise TrainingError(
                f"step {self.step}: the next phase starts from the best checkpoint, but none has "
                'been measured; add a validation, or set its start to "last"'
            )
        self.distributed.wait()  # the first process may still be writing it
        found = checkpoint.load(self.checkpoints, self.best["step"])
        checkpoint.restore_weights(found, self.bare)
        self._restore_average(found)
        for optimizer in self.optimizers.values():
            optimizer.state.clear()

    def _finish(self) -> None:
        tensors = whole(self.learned.state_dict())
        if self.distributed.first:
            spec = self.recipe.model
            save_model(
                self.folder,
                tensors,
                spec,
                needs=providers(spec),
                training={"steps": self.step, "seed": self.recipe.seed, "best": self.best,
                          "averaged": self.average is not None, "versions": checkpoint.versions()},
            )  # fmt: skip
        self.distributed.wait()

    def _failed(self, error: Exception) -> TrainingError:
        """The error of a failed step. The state before the step is saved, if it still exists."""
        kept = ""
        if self.distributed.first:
            there = [f"step-{step:08d}" for step in checkpoint.steps(self.checkpoints)[-1:]]
            # (Shards cannot be put together here: the other processes know nothing of the error.)
            safe = self._whole and (self.distributed.size == 1 or self.recipe.parallel == "ddp")
            kept = self._keep() if safe else ", ".join(there) or "no checkpoint yet"
            kept = f"; the same command continues from {kept}"
        return TrainingError(f"step {self.step + self._whole}: {_line(error)}{kept}")

    def _with_remedy(self, error: OSError) -> str:
        place = error.filename2 or error.filename or self.folder
        there = checkpoint.steps(self.checkpoints)
        kept = f"step {there[-1]} is kept" if there else "nothing is kept yet"
        return (
            f"{place}: {error.strerror or error}; make sure that it can be written and has space, "
            f"then run the same command again ({kept})"
        )


def _completed(written: dict[str, Any]) -> dict[str, Any]:
    """A recipe of an older version, with the defaults of newer options."""
    try:
        return parse_recipe(written).model_dump(mode="json")
    except TrainingError:  # its differences will tell why
        return written


def _check_shares(recipe: Recipe, distributed: Distributed) -> None:
    parts = recipe.accumulation * distributed.size
    for number, phase in enumerate(recipe.phases):
        if phase.batch % parts:
            raise TrainingError(
                f"phases.{number}.batch: {phase.batch} cannot be divided into {parts} equal parts "
                f"({distributed.size} processes, accumulation {recipe.accumulation})"
            )


def _line(error: BaseException) -> str:
    said = str(error)
    if said.startswith("Caught "):  # by a worker, which sends its traceback; the reason is last
        said = said.replace("\\n", "\n").strip().splitlines()[-1].partition(": ")[2]
    return (" ".join(said.split()) or type(error).__name__)[:500]
