"""Recipes: which degradations follow one another, and which pictures are kept."""

from __future__ import annotations

import os
import string
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from unfold._error_messages import error_messages
from unfold._shipped import ShippedFiles
from unfold.degradation.color_space import Transfer
from unfold.errors import UnfoldError
from unfold.losses import TRUE_KERNEL
from unfold.registry.spec import DegradationSpec

SHARP = "sharp"
# Entries of an item that no further picture may take the name of.
_TAKEN = ("input", "target", "kernel", TRUE_KERNEL, "name")
RESERVED = ("manifest.jsonl", "contact_sheet.png")
_FIELDS = {"split", "sequence", "frame"}


Side = Annotated[int, Field(le=65536)]


class RecipeError(UnfoldError, ValueError):
    """A recipe that does not exist, cannot be read, or contradicts itself.

    Example:
        >>> from unfold.synthesis import parse_recipe
        >>> parse_recipe({"steps": [{"degradation": "clip"}], "files": {}, "input": "dark"})
        Traceback (most recent call last):
            ...
        unfold.synthesis.recipe.RecipeError: input: no picture 'dark' has been made by ...
    """


class SynthesisStep(BaseModel):
    """One degradation of a recipe.

    Attributes:
        degradation: its name, or a mapping with ``kind`` and options.
        of: the picture it is applied to; by default the output of the step before it.
        saves: the name of its output, if it is kept.
        probability: that the degradation is applied to a photo; otherwise the step returns its
            picture unchanged. Drawn for each photo, with the degradation's own parameters.

    Example:
        >>> from unfold.synthesis import SynthesisStep
        >>> jpeg = {"kind": "jpeg", "quality": [40, 60]}
        >>> step = SynthesisStep(degradation=jpeg, probability=0.5)
        >>> step.degradation.kind, step.degradation.build().quality
        ('jpeg', (40, 60))
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    degradation: DegradationSpec
    of: str | None = None
    saves: str | None = None
    probability: float = Field(1.0, ge=0, le=1)

    @model_serializer(mode="wrap")
    def _without_default(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A probability of 1 is left out: runs begun before there was one can be resumed."""
        values = handler(self)
        if self.probability == 1:
            del values["probability"]
        return values


class SynthesisRecipe(BaseModel):
    """How degraded photos are made of sharp ones.

    Attributes:
        about: its purpose, in a sentence or two.
        frames: how many consecutive frames a scene has; 1 for single photos.
        size: height and width. A larger photo is scaled down until it just covers them, and cut;
            a smaller one is never scaled up.
        bits: of the files written, 8 or 16.
        transfer: how linear light is encoded (see `unfold.degradation.color_space.decode`).
        steps: in order. The picture they begin with is called ``sharp``.
        files: path -> name of the picture written there. Paths have ``{split}``, ``{sequence}``
            (the number of the scene) and ``{frame}`` (the number of the photo made of that scene).
        input, target: names of the input and the target picture of a network.

    Example:
        >>> from unfold.synthesis import read_recipe
        >>> recipe = read_recipe("deblur")
        >>> [step.degradation.kind for step in recipe.steps], recipe.input, recipe.target
        (['clipping-reverse', 'camera-shake', 'clip'], 'blur', 'sharp')
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    about: str = ""
    frames: int = Field(1, ge=1, le=9999)
    size: tuple[Side, Side] | None = None
    bits: Literal[8, 16] = 8
    transfer: Transfer = "srgb"
    steps: tuple[SynthesisStep, ...]
    files: dict[str, str]
    input: str
    target: str = SHARP

    @model_validator(mode="after")
    def _holds_together(self) -> SynthesisRecipe:
        errors: list[str] = []
        known: set[str] = {SHARP}
        for i, step in enumerate(self.steps):
            if step.of is not None and step.of not in known:
                errors.append(f"steps.{i}.of: {_unknown(step.of, known)}")
            if step.saves in known:
                errors.append(f"steps.{i}.saves: there is a picture {step.saves!r} already")
            if step.saves:
                known.add(step.saves)
        named = [("input", self.input), ("target", self.target)]
        named += [(f"files.{path}", name) for path, name in self.files.items()]
        errors += [f"{at}: {_unknown(name, known)}" for at, name in named if name not in known]
        errors += [
            f"files.{path}: {problem}" for path in self.files if (problem := _misplaced(path))
        ]
        places = [PurePosixPath(path).as_posix() for path in self.files]
        errors += [f"files.{p}: is named twice" for p in sorted({*places}) if places.count(p) > 1]
        if self.frames == 1:
            errors += [
                f"steps.{i}.degradation: takes consecutive frames; set frames above 1"
                for i, step in enumerate(self.steps)
                if getattr(step.degradation.component, "frames", False)
            ]
        if self.size is not None and min(self.size) < 1:
            errors.append(f"size: height and width must be at least 1, got {self.size}")
        if errors:
            raise ValueError("; ".join(errors))
        return self

    def steps_to(self, picture: str) -> tuple[int, ...]:
        """The numbers of the steps that make a picture, first to last; other branches left out."""
        made: dict[str, tuple[int, ...]] = {SHARP: ()}
        path: tuple[int, ...] = ()
        for i, step in enumerate(self.steps):
            path = (*(path if step.of is None else made[step.of]), i)
            if step.saves:
                made[step.saves] = path
        return made[picture]

    def picture_errors(self, pictures: Mapping[str, str]) -> list[str]:
        """What is wrong with further pictures of an item: entry -> the name of a saved picture."""
        known = {SHARP} | {step.saves for step in self.steps if step.saves}
        errors = [
            f"pictures.{entry}: the name is taken; choose another one"
            for entry in pictures
            if entry in _TAKEN
        ]
        return errors + [
            f"pictures.{entry}: the recipe saves no picture {name!r}; there are "
            + ", ".join(sorted(known))
            for entry, name in pictures.items()
            if name not in known
        ]


_SHIPPED = ShippedFiles("unfold.synthesis", RecipeError)


def recipes() -> list[str]:
    """The names of the recipes that come with the library.

    Example:
        >>> from unfold.synthesis import recipes
        >>> recipes()
        ['deblur', 'deblur-frames', 'defocus', 'lol-blur', 'lol-blur-frames']
    """
    return _SHIPPED.names()


def recipe_text(name: str) -> str:
    """A recipe that comes with the library, as TOML to copy and edit.

    Raises:
        RecipeError: there is none of that name.

    Example:
        >>> from unfold.synthesis import recipe_text
        >>> print(recipe_text("deblur").splitlines()[0])
        about = "Camera shake on photos by day, in GoPro's layout."
    """
    return _SHIPPED.text(name)


def read_recipe(name: str | os.PathLike[str]) -> SynthesisRecipe:
    """A recipe by name, or from a ``.toml`` file.

    Raises:
        RecipeError: it cannot be read, or every error of it, each with its place.

    Example:
        >>> from unfold.synthesis import read_recipe
        >>> read_recipe("deblur").about
        "Camera shake on photos by day, in GoPro's layout."
    """
    values = _SHIPPED.read(name)
    try:
        return parse_recipe(values)
    except RecipeError as error:
        raise RecipeError(f"{name}: {error}") from error


def parse_recipe(values: Mapping[str, Any]) -> SynthesisRecipe:
    """A recipe from its mapping, as it stands in TOML or in a manifest.

    Raises:
        RecipeError: every error, each with its place.

    Example:
        >>> from unfold.synthesis import parse_recipe
        >>> noise = {"kind": "gaussian-noise", "sigma": [0.1, 0.2]}
        >>> steps = [{"degradation": noise, "saves": "noisy"}]
        >>> recipe = parse_recipe({"steps": steps, "files": {}, "input": "noisy"})
        >>> recipe.steps[0].degradation.build().sigma
        (0.1, 0.2)
    """
    try:
        return SynthesisRecipe.model_validate(dict(values))
    except ValidationError as error:
        raise RecipeError("; ".join(error_messages(error))) from error


def _unknown(name: str, known: set[str]) -> str:
    return f"no picture {name!r} has been made by then; there are {', '.join(sorted(known))}"


def _misplaced(path: str) -> str:
    """What is wrong with the path of a file; empty if nothing is."""
    try:
        parts = [part[1:] for part in string.Formatter().parse(path) if part[1] is not None]
    except ValueError as error:
        return str(error)
    fields = {str(field) for field, _, _ in parts}
    if any(form or conversion for _, form, conversion in parts):
        return "fields stand alone, as in {frame}: numbers are written with four digits"
    if unknown := fields - _FIELDS:
        return f"{', '.join(sorted(unknown))} can not be filled in; there are {sorted(_FIELDS)}"
    if not {"sequence", "frame"} <= fields:
        return "must hold {sequence} and {frame}, or every photo would overwrite the last"
    place = PurePosixPath(path)
    if place.is_absolute() or ".." in place.parts:
        return "must stay inside the output folder"
    if place.parts[0] in RESERVED:
        return f"{place.parts[0]} is the data set's own"
    return "" if place.suffix == ".png" else "must end in .png: nothing is lost in it"
