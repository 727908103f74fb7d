"""Checks of a degradation.

The photos slightly exceed white, as linear light does, and have sizes down to one pixel. Clips have
65 frames, for a degradation of frames. For each of its ``inputs`` there is a one-channel map in
[0, 1]; once there is none.
"""

from __future__ import annotations

from unittest import SkipTest

import torch
from torch import Tensor

from unfold.degradation import Degradation
from unfold.degradation.base import Parameters

from .options import bounds_its_numbers, is_built_quickly
from .tools import Rule, Subject, close, need, spec_round_trip

_SIZES = ((24, 32), (17, 23), (1, 9), (2, 1), (1, 1))
_LARGEST = 64  # largest number of values of a parameter for one photo


def _sample(degradation: Degradation, batch: int, seed: int = 0) -> Parameters:
    return degradation.sample(batch, torch.Generator().manual_seed(seed))


def _photos(
    degradation: Degradation, batch: int = 3, size: tuple[int, int] = (24, 32)
) -> tuple[Tensor, dict[str, Tensor | None]]:
    """Photos or clips in float64, and the inputs of the degradation."""
    frames = (65,) if degradation.frames else ()
    image = 1.2 * torch.rand(batch, *frames, 3, *size, dtype=torch.float64)
    image[image < 0.1] = 0.0
    shape = (batch, 1, *size)
    return image, {n: torch.rand(shape, dtype=torch.float64) for n in degradation.inputs}


def _rows(values: dict, i: int) -> dict:
    return {name: v if v is None else v[i : i + 1] for name, v in values.items()}


def is_a_degradation(subject: Subject) -> None:
    made = subject.make()
    need(isinstance(made, Degradation), f"{made!r:.60} is no unfold.degradation.Degradation")
    need(made.color_space in ("linear", "encoded"), f"its color_space is {made.color_space!r}")
    names = isinstance(made.inputs, tuple) and all(isinstance(n, str) for n in made.inputs)
    need(names, f"its inputs are {made.inputs!r}, not a tuple of names")


def draws_small_parameters(subject: Subject) -> None:
    degradation = subject.make()
    for batch in (1, 5):
        for name, value in _sample(degradation, batch).items():
            need(isinstance(value, Tensor), f"{name!r} is a {type(value).__name__}, not a tensor")
            need(value.ndim > 0 and len(value) == batch, f"{name!r} is not for {batch} photos")
            need(value.device.type == "cpu", f"{name!r} is on {value.device}")
            need(value.dtype in (torch.float64, torch.int64), f"{name!r} is {value.dtype}")
            need(value.isfinite().all(), f"{name!r} is not finite")
            large = value.numel() // batch
            need(large <= _LARGEST, f"{name!r} has {large} values per photo: store a seed instead")


def draws_by_the_generator_alone(subject: Subject) -> None:
    degradation = subject.make()
    first = _sample(degradation, 8)
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    again, other = _sample(degradation, 8), _sample(degradation, 8, seed=1)
    need(torch.equal(state, torch.random.get_rng_state()), "it uses torch's default generator")
    need(first.keys() == again.keys() == other.keys(), "the names of its parameters change")
    for name, value in first.items():
        need(torch.equal(value, again[name]), f"{name!r} differs for the same seed")
        varies = bool((value != value[:1]).any())
        moves = not torch.equal(value, other[name])
        need(varies <= moves, f"{name!r} is the same for every seed")
        need(moves <= varies, f"{name!r} is the same for all photos of a batch: draw one for each")


def keeps_shape_dtype_and_device(subject: Subject) -> None:
    degradation = subject.make()
    for size in _SIZES:
        image, inputs = _photos(degradation, 2, size)
        parameters = _sample(degradation, 2)
        for dtype in (torch.float32, torch.float64):
            given = {name: v if v is None else v.to(dtype) for name, v in inputs.items()}
            for more in (given, dict.fromkeys(inputs)):
                made = degradation.apply(image.to(dtype), parameters, **more)
                shape = (2, 3, *size)
                need(made.shape == shape, f"{tuple(image.shape)} became {tuple(made.shape)}")
                need(made.dtype == dtype, f"{dtype} became {made.dtype}")
                need(made.device == image.device, f"{image.device} became {made.device}")
                need(made.isfinite().all(), f"not finite at {size}, {dtype}")


def applies_what_it_is_given_alone(subject: Subject) -> None:
    degradation = subject.make()
    image, inputs = _photos(degradation)
    parameters = _sample(degradation, 3)
    first = degradation.apply(image, parameters, **inputs)
    degradation.apply(*_others(degradation))  # other photos in between
    torch.manual_seed(1)
    again = subject.make().apply(image, parameters, **inputs)
    need(torch.equal(first, degradation.apply(image, parameters, **inputs)), "two calls differ")
    need(torch.equal(first, again), "a second degradation with the same options differs")


def _others(degradation: Degradation) -> tuple[Tensor, Parameters]:
    image, _ = _photos(degradation, 2, (9, 8))
    return image, _sample(degradation, 2, seed=5)


def leaves_inputs_alone(subject: Subject) -> None:
    degradation = subject.make()
    image, inputs = _photos(degradation)
    parameters = _sample(degradation, 3)
    given = {"the photo": image} | parameters | inputs
    watched = [(name, value, value.clone()) for name, value in given.items() if value is not None]
    degradation.apply(image, parameters, **inputs)
    for name, value, copy in watched:
        need(torch.equal(value, copy), f"{name} was changed in place")


def treats_photos_apart(subject: Subject) -> None:
    degradation = subject.make()
    image, inputs = _photos(degradation)
    parameters = _sample(degradation, 3)
    together = degradation.apply(image, parameters, **inputs)
    for i in range(3):
        one = degradation.apply(image[i : i + 1], _rows(parameters, i), **_rows(inputs, i))
        close(together[i : i + 1], one, f"photo {i} in a batch and alone", 1e-6)


def does_not_depend_on_precision(subject: Subject) -> None:
    """On average, because a value at a threshold may be rounded to either side."""
    degradation = subject.make()
    image, inputs = _photos(degradation)
    image = image.float().double()
    inputs = {n: v if v is None else v.float().double() for n, v in inputs.items()}
    parameters = _sample(degradation, 3)
    want = degradation.apply(image, parameters, **inputs)
    single = {name: v if v is None else v.float() for name, v in inputs.items()}
    got = degradation.apply(image.float(), parameters, **single)
    error = (got - want).abs().mean().item()
    need(error < 1e-3, f"float32 and float64 differ by {error:.3g} on average (allowed 0.001)")


def agrees_on_a_gpu(subject: Subject) -> None:
    if not torch.cuda.is_available():
        raise SkipTest("no GPU on this machine")
    degradation = subject.make()
    image, inputs = _photos(degradation)
    parameters = _sample(degradation, 3)
    want = degradation.apply(image, parameters, **inputs)
    there = {name: v if v is None else v.cuda() for name, v in inputs.items()}
    got = degradation.apply(image.cuda(), parameters, **there)
    need(got.device.type == "cuda", f"cuda became {got.device}")
    close(got.cpu(), want, "a GPU against the CPU", 1e-6)


def has_a_spec(subject: Subject) -> None:
    """The registered spec can be saved as JSON and loaded, and builds an equal degradation."""
    built, made = spec_round_trip(subject).build(), subject.make()
    image, inputs = _photos(made)
    want = made.apply(image, _sample(made, 3), **inputs)
    got = built.apply(image, _sample(built, 3), **inputs)
    need(torch.equal(got, want), "the spec builds another degradation")


CHECKS = {
    "type": Rule(is_a_degradation),
    "parameters": Rule(draws_small_parameters),
    "seed": Rule(draws_by_the_generator_alone),
    "shape-dtype-device": Rule(keeps_shape_dtype_and_device),
    "determinism": Rule(applies_what_it_is_given_alone),
    "no-mutation": Rule(leaves_inputs_alone),
    "batch-independence": Rule(treats_photos_apart),
    "precision": Rule(does_not_depend_on_precision),
    "gpu": Rule(agrees_on_a_gpu),
    "spec": Rule(has_a_spec, named=True),
    "bounds": Rule(bounds_its_numbers, named=True),
    "building": Rule(is_built_quickly, named=True),
}
