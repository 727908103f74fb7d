"""Application of a recipe: random parameters, and pictures from them."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unfold.degradation.base import Parameters
from unfold.degradation.color_space import decode, encode
from unfold.errors import InputError
from unfold.terms.blur import transfer_function

from .recipe import SHARP, SynthesisRecipe, SynthesisStep

# Among the parameters of a step that has a probability below 1: whether it is applied, (B,) bool.
APPLIED = "applied"


class Pipeline:
    """The steps of a recipe on a batch.

    Random parameters and synthesis are separate: the parameters are a few numbers, and the same
    numbers give the same pictures.

    Example:
        >>> import torch
        >>> from unfold.synthesis import Pipeline, parse_recipe
        >>> dark = {"degradation": "low-light", "saves": "dark"}
        >>> pipeline = Pipeline(parse_recipe({"steps": [dark], "files": {}, "input": "dark"}))
        >>> drawn = pipeline.draw(torch.Generator().manual_seed(0))
        >>> pictures = pipeline.make({"sharp": torch.rand(1, 3, 8, 8)}, drawn)
        >>> sorted(pictures), bool(pictures["dark"].mean() < pictures["sharp"].mean())
        (['dark', 'sharp'], True)
    """

    def __init__(self, recipe: SynthesisRecipe) -> None:
        self.recipe = recipe
        self.degradations = [step.degradation.build() for step in recipe.steps]
        self.kinds = [step.degradation.kind for step in recipe.steps]
        self.inputs = {name for degradation in self.degradations for name in degradation.inputs}

    def draw(self, generator: torch.Generator, batch: int = 1) -> list[Parameters]:
        """Parameters of each step for a batch.

        A step with a probability below 1 also draws ``applied``. Its other parameters are drawn in
        any case, so the probability of a step has no effect on other steps.
        """
        drawn = []
        for step, degradation in zip(self.recipe.steps, self.degradations, strict=True):
            parameters = degradation.sample(batch, generator)
            if step.probability < 1:
                rng = torch.rand(batch, generator=generator, dtype=torch.float64)
                parameters = {**parameters, APPLIED: rng < step.probability}
            drawn.append(parameters)
        return drawn

    def make(
        self,
        scene: Mapping[str, Tensor],
        drawn: Sequence[Mapping[str, Tensor]],
        *,
        omit: str | None = None,
    ) -> dict[str, Tensor]:
        """All saved pictures of the recipe, and ``sharp``, in encoded values.

        Args:
            scene: ``sharp`` -> ``(B, 3, H, W)`` in [0, 1], or ``(B, T, 3, H, W)`` for T frames;
                and further inputs, such as ``disparity``, ``(B, 1, H, W)``.
            drawn: the parameters of each step.
            omit: a kind of degradation to leave out.

        Returns:
            name -> ``(B, 3, H, W)``; the middle one of frames that were not averaged. Values are
            only clipped by the recipe.
        """
        x, color_space = scene[SHARP], "encoded"
        made = {SHARP: (x, color_space)}
        for step, kind, degradation, parameters in zip(
            self.recipe.steps, self.kinds, self.degradations, drawn, strict=True
        ):
            if step.of is not None:
                x, color_space = made[step.of]
            parameters, applied = _split(step, parameters)
            if kind != omit and (applied is None or applied.any()):
                x, color_space = (
                    self._in(x, color_space, degradation.color_space),
                    degradation.color_space,
                )
                inputs = {name: scene.get(name) for name in degradation.inputs}
                x = _where(applied, _apply(degradation, x, parameters, inputs), x)
            if step.saves:
                made[step.saves] = (x, color_space)
        return {
            name: _still(self._in(x, color_space, "encoded"))
            for name, (x, color_space) in made.items()
        }

    def kernel(self, drawn: Sequence[Mapping[str, Tensor]], size: int) -> Tensor:
        """The kernel of all blurs of the input together, ``(B, 1, size, size)`` float32, sum 1.

        Without any blur it is a point, ``(1, 1, size, size)``. It is the complete blur if all blurs
        are in one color space, as with the transfer ``linear``. Blurs of other pictures of the
        recipe are left out.

        Raises:
            InputError: if the blur is wider than ``size``.
        """
        kernels = list(self._kernels(drawn))
        radius = sum(max(kernel.shape[-2:]) // 2 for kernel in kernels)
        if radius > (size - 1) // 2:
            raise InputError(
                f"the blurs together have a radius of {radius} pixels, which a kernel of "
                f"{size}×{size} cannot hold: set the size to {2 * radius + 1}, or blur less"
            )
        batch = len(kernels[0]) if kernels else 1
        device = kernels[0].device if kernels else None
        whole = torch.zeros(batch, 1, size, size, dtype=torch.float64, device=device)
        whole[..., size // 2, size // 2] = 1
        for kernel in kernels:
            transfer = transfer_function(kernel, (size, size))
            whole = torch.fft.irfft2(torch.fft.rfft2(whole) * transfer, s=(size, size))
        return whole.clamp_min(0).float()

    def _kernels(self, drawn: Sequence[Mapping[str, Tensor]]) -> Iterator[Tensor]:
        """The kernel of each blur of the input, in float64; a point if it is not applied."""
        for i in self.recipe.steps_to(self.recipe.input):
            values, applied = _split(self.recipe.steps[i], drawn[i])
            kernel = self.degradations[i].kernel(values)
            if kernel is None or (applied is not None and not applied.any()):
                continue
            point = torch.zeros_like(kernel)
            point[..., kernel.shape[-2] // 2, kernel.shape[-1] // 2] = 1
            yield _where(applied, kernel, point).double()

    def _in(self, x: Tensor, color_space: str, wanted: str) -> Tensor:
        if color_space == wanted:
            return x
        return (decode if wanted == "linear" else encode)(x, self.recipe.transfer)


def seeded(*key: object) -> torch.Generator:
    """A generator whose numbers depend only on the key, and differ from those of other keys."""
    digest = hashlib.sha256("/".join(map(str, key)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """A context with one thread. (The order of sums, and thus the last bit, depends on the number
    of threads.)"""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def to_json(kinds: Sequence[str], drawn: Sequence[Mapping[str, Tensor]]) -> list[dict[str, Any]]:
    """The parameters of one photo as JSON values, without rounding."""
    return [
        {"kind": kind} | {name: values[0].tolist() for name, values in parameters.items()}
        for kind, parameters in zip(kinds, drawn, strict=True)
    ]


def from_json(steps: Sequence[Mapping[str, Any]]) -> list[Parameters]:
    """The result of ``to_json``, as a batch of one."""
    return [
        # (NumPy reads numbers as float64 and int64; torch would round them to float32.)
        {n: torch.from_numpy(np.asarray([value])) for n, value in step.items() if n != "kind"}
        for step in steps
    ]


def _split(
    step: SynthesisStep, parameters: Mapping[str, Tensor]
) -> tuple[Mapping[str, Tensor], Tensor | None]:
    """The parameters of a degradation, and the photos to which it is applied; None: all."""
    if step.probability == 1:
        return parameters, None
    own = {name: values for name, values in parameters.items() if name != APPLIED}
    return own, parameters[APPLIED]


def _where(applied: Tensor | None, degraded: Tensor, before: Tensor) -> Tensor:
    """For each photo of a batch, the degraded or the original one. (Averaged frames become one
    photo.)"""
    if applied is None:
        return degraded
    before = _still(before) if before.ndim > degraded.ndim else before
    chosen = applied.to(degraded.device).view(-1, *(1,) * (degraded.ndim - 1))
    return torch.where(chosen, degraded, before)


def _apply(degradation, x: Tensor, parameters: Mapping[str, Tensor], inputs: dict) -> Tensor:
    if x.ndim == 4 or degradation.frames:
        return degradation.apply(x, parameters, **inputs)
    # Every frame of a scene is degraded alike.
    frames = x.shape[1]
    each = {name: values.repeat_interleave(frames, 0) for name, values in parameters.items()}
    inputs = {n: v if v is None else v.repeat_interleave(frames, 0) for n, v in inputs.items()}
    return degradation.apply(x.flatten(0, 1), each, **inputs).unflatten(0, (-1, frames))


def _still(x: Tensor) -> Tensor:
    return x if x.ndim == 4 else x[:, x.shape[1] // 2]
