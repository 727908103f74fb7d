"""Recipes: model, data, losses, optimization and validation of a training."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializeAsAny,
    model_validator,
)

from unfold.errors import InputError
from unfold.losses import OTHER, TRUE_KERNEL
from unfold.registry.config import SUFFIXES, read_config
from unfold.registry.spec import Spec, resolve
from unfold.synthesis import SynthesisRecipe
from unfold.synthesis import read_recipe as read_synthesis

from .phase import Phase

Count = Annotated[int, Field(ge=1, le=10**9)]
Side = Annotated[int, Field(ge=1, le=65536)]  # of a picture, in pixels
Factor = Annotated[float, Field(ge=0, le=1e9)]


def _named(group: str, value: Any) -> Spec:
    spec = resolve(group, value)
    if isinstance(spec, Spec):
        return spec
    raise InputError("a recipe must name its components, so that it can be saved and repeated")


def _of(group: str) -> BeforeValidator:
    return BeforeValidator(functools.partial(_named, group))


def _model(value: Any) -> Spec:
    """A model by name, with options, or by the path of its config, which is copied to the
    recipe."""
    if isinstance(value, str) and value.endswith(SUFFIXES):
        value = read_config(value)
    return _named("models", value)


ModelSpec = Annotated[SerializeAsAny[Any], BeforeValidator(_model)]
LossSpec = Annotated[SerializeAsAny[Any], _of("losses")]
MetricSpec = Annotated[SerializeAsAny[Any], _of("metrics")]
DatasetSpec = Annotated[SerializeAsAny[Any], _of("datasets")]
EstimatorSpec = Annotated[SerializeAsAny[Any], _of("estimators")]


def _synthesis(value: Any) -> Any:
    return read_synthesis(value) if isinstance(value, str) else value


class RecipeModel(BaseModel):
    """A part of a recipe. It is immutable, and unknown entries are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class SynthesizedData(RecipeModel):
    """Degraded versions of the sharp photos in a folder, with new random numbers each time.

    Attributes:
        source: folder of the sharp photos.
        recipe: recipe of the synthesis: one of ``unfold list recipes``, a .toml file, or a table.
        margin: number of pixels around the crop that the blur can move into it.
        kernel_size: side of the blur kernel in pixels; None: the items have no kernel.
        kernel_known: whether the kernel is given to the model; otherwise only losses read it.
        kernel_error: size of random errors of the kernel that is given to the model, 0 to 1 (see
            `unfold.degradation.kernels.disturbed`).
        pictures: further pictures for losses: entry of the batch -> name under which the recipe
            saves it, such as ``{ sharp-dark = "dark" }``.
    """

    kind: Literal["synthesized"]
    source: Path
    recipe: Annotated[SynthesisRecipe, BeforeValidator(_synthesis)]
    margin: Annotated[int, Field(ge=0, le=4096)] = 24
    kernel_size: Annotated[int, Field(ge=1, le=1023)] | None = None
    kernel_known: bool = True
    kernel_error: Annotated[float, Field(ge=0, le=1)] = 0.0
    pictures: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _with_new_names(cls, values: Any) -> Any:
        """Recipes of older versions have ``kernel`` in place of ``kernel_size``."""
        if not isinstance(values, dict):
            return values
        return {"kernel_size" if name == "kernel" else name: x for name, x in values.items()}

    @model_validator(mode="after")
    def _holds_together(self) -> SynthesizedData:
        errors = self.recipe.picture_errors(self.pictures)
        if self.kernel_size is None and not self.kernel_known:
            errors.append(
                "kernel_known: the data have no kernel; set kernel_size, its side in pixels"
            )
        if self.kernel_error and (self.kernel_size is None or not self.kernel_known):
            errors.append("kernel_error: the model is not given a kernel; leave kernel_error out")
        if errors:
            raise InputError("; ".join(errors))
        return self

    def shapes(self, crop: int) -> dict[str, tuple[int, ...]]:
        """Shapes of the items' entries beside ``input``, ``target`` and ``name``."""
        shapes: dict[str, tuple[int, ...]] = dict.fromkeys(self.pictures, (3, crop, crop))
        if self.kernel_size is not None:
            name = "kernel" if self.kernel_known else TRUE_KERNEL
            shapes[name] = (1, self.kernel_size, self.kernel_size)
        return shapes


class PairedData(RecipeModel):
    """A data set of degraded photos and their targets.

    Attributes:
        dataset: reader of the data set, one of ``unfold list datasets``, by name or with options.
        root: folder of the data set.
        split: split of the data set.
        flip: whether photos are mirrored horizontally with probability ½.
        side: photos whose shorter side is longer are first scaled down to this length.
    """

    kind: Literal["paired"]
    dataset: DatasetSpec = "paired"
    root: Path
    split: str = ""
    flip: bool = True
    side: Side | None = None


class UnpairedData(RecipeModel):
    """Degraded photos in one folder, and sharp, well-exposed photos of other scenes in another.

    Attributes:
        input, target: the folders.
        flip: whether photos are mirrored horizontally with probability ½.
        side: photos whose shorter side is longer are first scaled down to this length.
    """

    kind: Literal["unpaired"]
    input: Path
    target: Path
    flip: bool = True
    side: Side | None = None


class PhotosData(RecipeModel):
    """Photos without targets, for losses that need none (such as Zero-DCE's).

    Attributes:
        source: the folder, with its subfolders.
        flip: whether photos are mirrored horizontally with probability ½.
        side: photos whose shorter side is longer are first scaled down to this length.
    """

    kind: Literal["photos"]
    source: Path
    flip: bool = True
    side: Side | None = None


AnyPairs = Annotated[SynthesizedData | PairedData, Field(discriminator="kind")]


class Share(RecipeModel):
    """A part of mixed data, and its relative frequency."""

    data: AnyPairs
    weight: Annotated[float, Field(gt=0, le=1e9)] = 1.0


class MixedData(RecipeModel):
    """Pairs of several kinds. Each is drawn from a random part, according to the weights."""

    kind: Literal["mixed"]
    parts: Annotated[tuple[Share, ...], Field(min_length=1)]


AnyData = SynthesizedData | PairedData | MixedData | UnpairedData | PhotosData


class WeightedLoss(RecipeModel):
    """A loss and its weight in the sum. Its name in the records is its kind by default."""

    loss: LossSpec
    name: str | None = None
    weight: Annotated[float, Field(gt=0, le=1e9)] = 1.0

    @property
    def title(self) -> str:
        """Its name in the records."""
        return self.name or self.loss.kind


class Adversary(RecipeModel):
    """The additional parts of unpaired training (see `unfold.training.unpaired`).

    Attributes:
        backward: the generator from sharp to degraded photos.
        discriminator: the discriminator of sharp photos; an estimator.
        adversarial, cycle, identity: weights of the losses.
    """

    backward: ModelSpec
    discriminator: EstimatorSpec
    adversarial: Factor = 1.0
    cycle: Factor = 10.0
    identity: Factor = 5.0


class Optimizer(RecipeModel):
    """Adam, or Adam with decoupled weight decay."""

    kind: Literal["adam", "adamw"] = "adam"
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (
        0.9,
        0.999,
    )
    weight_decay: Factor = 0.0


class Validation(RecipeModel):
    """The periodic validation.

    Attributes:
        data: the pairs.
        every: number of steps between measurements; the last step is always measured.
        metrics: the metrics; the first defines the best checkpoint.
        count: number of photos, from the first; None: all.
        crop: side of synthesized pairs. (Other photos are measured whole.)
    """

    data: AnyPairs
    every: Count = 1000
    metrics: Annotated[tuple[MetricSpec, ...], Field(min_length=1)] = ("psnr", "ssim")
    count: Count | None = None
    crop: Side = 256


class Checkpoints(RecipeModel):
    """The period of checkpoints, and the number of the last ones that are kept besides the best."""

    every: Count = 1000
    keep: Count = 2


class Samples(RecipeModel):
    """The period of sample pictures, and their number of photos."""

    every: Count = 1000
    count: Count = 2


class Recipe(RecipeModel):
    """A complete training.

    Attributes:
        about: its purpose.
        model: the model to train: a name, a table with options, or the path of a config.
        data: the photos to train on.
        losses: the losses of pairs or single photos, each with a weight.
        adversary: for unpaired data, instead of losses.
        phases: the phases, in order.
        optimizer: the optimizer of every task.
        precision: ``"bf16"`` computes networks in bfloat16 where autocast does; FFTs stay float32.
        accumulation: number of parts of a batch, whose gradients are added, to save memory.
        clip: the largest norm of the gradient; None: not clipped.
        ema: decay of the averaged weights, which are then measured and saved; None: none.
        compile: whether torch.compile is used.
        recompute: whether stages are recomputed for the gradient, to save memory.
        frozen: names of parts of the model that keep their weights, such as ``"enhancer"``.
        parallel: with several processes, each has the whole model (``"ddp"``), or a shard of its
            parameters, gradients and moments (``"fsdp"``, torch's FSDP2).
        on_device: whether photos are read once and cached on the device with 8 bits, and degraded
            photos are synthesized there in batches, without workers. Noise is drawn there, too. It
            is the same on every device, but differs from the noise without this option.
        seed: seed of all random numbers.
        validation, checkpoint, samples: options of validation, checkpoints and sample pictures.

    Example:
        >>> from unfold.training import read_recipe
        >>> recipe = read_recipe("zero-dce", {"data.source": "photos", "phases.0.steps": 10})
        >>> [loss.loss.kind for loss in recipe.losses], recipe.steps
        (['spatial-consistency', 'exposure', 'color-constancy', 'curve-smoothness'], 10)
    """

    about: str = ""
    model: ModelSpec
    data: Annotated[AnyData, Field(discriminator="kind")]
    losses: tuple[WeightedLoss, ...] = ()
    adversary: Adversary | None = None
    phases: tuple[Phase, ...]
    optimizer: Optimizer = Optimizer()
    precision: Literal["fp32", "bf16"] = "fp32"
    accumulation: Count = 1
    clip: Annotated[float, Field(gt=0, le=1e9)] | None = None
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    compile: bool = False
    recompute: bool = False
    frozen: tuple[str, ...] = ()
    parallel: Literal["ddp", "fsdp"] = "ddp"
    on_device: bool = False
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    validation: Validation | None = None
    checkpoint: Checkpoints = Checkpoints()
    samples: Samples | None = None

    @model_validator(mode="after")
    def _holds_together(self) -> Recipe:
        errors = [] if self.phases else ["phases: there must be at least one"]
        unpaired = self.data.kind == "unpaired"
        if unpaired and (self.adversary is None or self.losses):
            errors.append("adversary: unpaired data require an adversary, and no losses")
        if not unpaired and (self.adversary is not None or not self.losses):
            errors.append("losses: paired data require at least one loss, and no adversary")
        if unpaired and self.parallel == "fsdp":
            errors.append(
                "parallel: fsdp shards one model, with an adversary there are three: use ddp"
            )
        titles = [weighted.title for weighted in self.losses]
        if len(set(titles)) < len(titles):
            errors.append(f"losses: each must have a different name, got {', '.join(titles)}")
        errors += _unmeasured_starts(self.phases, self.validation)
        if isinstance(self.data, MixedData):
            errors += _unlike_entries(self.data)
        small = min((side for side in _sides(self.data) if side is not None), default=None)
        errors += [
            f"phases.{i}.crop: {phase.crop} does not fit into photos of side {small}"
            for i, phase in enumerate(self.phases)
            if small is not None and small < phase.crop
        ]
        errors += [
            f"phases.{i}.batch: {phase.batch} is no multiple of accumulation = {self.accumulation}"
            for i, phase in enumerate(self.phases)
            if phase.batch % self.accumulation
        ]
        if errors:
            raise InputError("; ".join(errors))
        return self

    @property
    def steps(self) -> int:
        """Steps of all phases."""
        return sum(phase.steps for phase in self.phases)


def _sides(given: AnyData) -> list[int | None]:
    """The lengths to which photos are scaled down."""
    parts = [part.data for part in given.parts] if isinstance(given, MixedData) else [given]
    return [part.side for part in parts if not isinstance(part, SynthesizedData)]


def _unmeasured_starts(phases: tuple[Phase, ...], validation: Validation | None) -> list[str]:
    """Phases that start from the best weights before any validation."""
    errors, steps = [], 0
    for i, phase in enumerate(phases):
        if phase.start == "best":
            where = f'phases.{i}.start: "best" needs'
            if not i:
                errors.append(f"{where} a phase before it")
            elif validation is None:
                errors.append(f"{where} a validation, which the recipe does not have")
            elif validation.every > steps:
                errors.append(
                    f"{where} a measurement before it: validation.every is {validation.every}, the "
                    f"phases before it have {steps} steps"
                )
        steps += phase.steps
    return errors


def _unlike_entries(given: MixedData) -> list[str]:
    """The errors of entries that only some parts have. (A batch is stacked entry by entry. Kernels
    and entries that only losses read may be unknown in some parts.)"""
    parts = [part.data for part in given.parts]
    shapes = [part.shapes(1) if isinstance(part, SynthesizedData) else {} for part in parts]
    errors = []
    for name in sorted(set().union(*shapes)):
        found = {part.get(name) for part in shapes} - {None}
        lacking = [i for i, part in enumerate(shapes) if name not in part]
        if len(found) > 1:
            errors.append(f"data.parts: kernels of different sizes ({name}); choose one size")
        elif name == OTHER and lacking:
            errors.append(
                f"data.parts.{lacking[0]}: its items have no {name!r}, but those of other parts "
                "do; define it in all parts or in none"
            )
    return errors
