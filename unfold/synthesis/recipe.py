"""Recipes: sequences of degradations, and the pictures to save."""

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

from unfold._shipped import ShippedFiles
from unfold.degradation.color_space import Transfer
from unfold.errors import InputError, UnfoldError
from unfold.losses import TRUE_KERNEL
from unfold.registry.messages import error_messages
from unfold.registry.spec import DegradationSpec

SHARP = "sharp"
# Entries of an item that no further picture may take the name of.
_TAKEN = ("input", "target", "kernel", TRUE_KERNEL, "name")
RESERVED = ("manifest.jsonl", "contact_sheet.png")
_FIELDS = {"split", "sequence", "frame"}


Side = Annotated[int, Field(le=65536)]


class RecipeError(UnfoldError, ValueError):
    """Raised if a recipe does not exist, cannot be read, or is inconsistent.

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
        of: the picture to which it is applied; by default the output of the previous step.
        saves: the name of its output, if it is saved.
        probability: probability that the degradation is applied to a photo; otherwise the picture
            is not changed. It is drawn for each photo, with the parameters of the degradation.

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
        """The step without a probability of 1, so that runs of older versions can be resumed."""
        values = handler(self)
        if self.probability == 1:
            del values["probability"]
        return values


class SynthesisRecipe(BaseModel):
    """The synthesis of degraded photos from sharp ones.

    Attributes:
        about: its purpose, in a sentence or two.
        frames: number of consecutive frames in a scene; 1 for single photos.
        size: height and width. A larger photo is scaled down until it just covers them, and
            cropped; a smaller one is not scaled up.
        bits: bits of the written files, 8 or 16.
        transfer: encoding of linear light (see `unfold.degradation.color_space.decode`).
        steps: the steps in order. Their first picture is called ``sharp``.
        files: path -> name of the picture that is written there. Paths have ``{split}``,
            ``{sequence}`` (the number of the scene) and ``{frame}`` (the number of the photo made
            of that scene).
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
            raise InputError("; ".join(errors))
        return self

    def steps_to(self, picture: str) -> tuple[int, ...]:
        """The numbers of the steps to a picture, first to last, without other branches."""
        made: dict[str, tuple[int, ...]] = {SHARP: ()}
        path: tuple[int, ...] = ()
        for i, step in enumerate(self.steps):
            path = (*(path if step.of is None else made[step.of]), i)
            if step.saves:
                made[step.saves] = path
        return made[picture]

    def picture_errors(self, pictures: Mapping[str, str]) -> list[str]:
        """The errors of further pictures of an item: entry -> the name of a saved picture."""
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
    """The names of the shipped recipes.

    Example:
        >>> from unfold.synthesis import recipes
        >>> recipes()
        ['deblur', 'deblur-frames', 'defocus', 'lol-blur', 'lol-blur-frames']
    """
    return _SHIPPED.names()


def recipe_text(name: str) -> str:
    """A shipped recipe as TOML, to be copied and edited.

    Raises:
        RecipeError: if no recipe has that name.

    Example:
        >>> from unfold.synthesis import recipe_text
        >>> print(recipe_text("deblur").splitlines()[0])
        about = "Camera shake on photos by day, in GoPro's layout."
    """
    return _SHIPPED.text(name)


def read_recipe(name: str | os.PathLike[str]) -> SynthesisRecipe:
    """A recipe by name, or from a ``.toml`` file.

    Raises:
        RecipeError: if it cannot be read or is invalid; the message has the path of each error.

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
    """A recipe from a mapping, as in TOML or in a manifest.

    Raises:
        RecipeError: if it is invalid; the message has the path of each error.

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
    """The error of the path of a file; empty if it is valid."""
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
