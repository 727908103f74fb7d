"""Checks of a model."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any
from unittest import SkipTest

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from unfold.core import Prior
from unfold.errors import UnfoldError
from unfold.restoration import TiledInference
from unfold.restorer import Restoration, Restorer

from . import misuse
from .options import bounds_its_numbers, is_built_quickly
from .tools import (
    Rule,
    Subject,
    builds_from_spec,
    close,
    export,
    leave_start,
    need,
    state_dict_round_trip,
)


def _channels(model: torch.nn.Module) -> int:
    """Number of channels of the model's photos: three if it accepts any number."""
    return getattr(model, "channels", None) or 3


def _photo(model: torch.nn.Module, size: tuple[int, int] = (24, 32), batch: int = 2) -> Tensor:
    return 0.1 + 0.5 * torch.rand(batch, _channels(model), *size)


def _small(model: torch.nn.Module, batch: int = 1) -> Tensor:
    """A small photo, for checks that do not depend on the size."""
    return _photo(model, (10, 11), batch)


_KERNEL = torch.full((1, 1, 3, 5), 1 / 15)


def _restored(model: Restorer, photo: Tensor) -> Restoration:
    if getattr(model, "needs_kernel", False):
        return model(photo, kernel=_KERNEL.to(photo))
    return model(photo)


def _image(model: Restorer, photo: Tensor) -> Tensor:
    return _restored(model, photo).image


def _run(model: Restorer, image: Tensor) -> Restoration:
    with torch.no_grad():
        return _restored(model, image)


def is_a_model(subject: Subject) -> None:
    need(isinstance(subject.make(), Restorer), f"{subject.make()!r:.60} is no unfold.Restorer")


def restores_any_size(subject: Subject) -> None:
    model = subject.component()
    for size in ((24, 32), (17, 23), (5, 40), (2, 3), (1, 1)):
        photo = _photo(model, size)
        with torch.no_grad():
            restoration = _restored(model, photo)
        need(isinstance(restoration, Restoration), f"it returns a {type(restoration).__name__}")
        problem = _problem(restoration.image, photo)
        need(not problem, f"at {size}: {problem}")


def _problem(image: Tensor, photo: Tensor) -> str:
    """What is wrong with the restoration of a photo; empty if nothing is."""
    if image.shape != photo.shape:
        return f"{tuple(photo.shape)} became {tuple(image.shape)}"
    if image.dtype != photo.dtype:
        return f"{photo.dtype} became {image.dtype}"
    if image.device != photo.device:
        return f"{photo.device} became {image.device}"
    if image.is_meta:
        return ""
    if not image.isfinite().all():
        return "not finite"
    return "" if image.min() >= 0 and image.max() <= 1 else "values leave [0, 1]"


def gives_finite_parts(subject: Subject) -> None:
    model = subject.component()
    parts = _run(model, _photo(model)).parts
    for name, part in parts.items():
        need(isinstance(part, Tensor), f"the part {name!r} is not a tensor")
        need(part.isfinite().all(), f"the part {name!r} is not finite")


def treats_images_apart(subject: Subject) -> None:
    model = subject.component()
    photo = _photo(model)
    with torch.no_grad():
        both = _restored(model, photo).image
        for i in range(2):
            alone = _restored(model, photo[i : i + 1]).image
            close(both[i : i + 1], alone, f"image {i} in a batch and alone", 1e-3)


def leaves_inputs_alone(subject: Subject) -> None:
    model = subject.component()
    photo = _photo(model)
    copy = photo.clone()
    _run(model, photo)
    need(torch.equal(photo, copy), "the photo was changed in place")


def is_deterministic(subject: Subject) -> None:
    model = subject.component()
    photo = _photo(model)
    with torch.no_grad():
        first = _restored(model, photo).image
        _restored(model, _photo(model))  # another photo in between
        again = _restored(model, photo).image
    need(torch.equal(first, again), "two calls in eval mode differ")


def refuses_bad_input(subject: Subject) -> None:
    model = subject.component()
    photo = _small(model)
    bad = {
        "three axes": photo[0],
        "five axes": photo[None],
        "values up to 255": 255 * photo,
        "NaN": misuse.special(photo, math.nan),
        "an infinity": misuse.special(photo, math.inf),
        "another infinity": misuse.special(photo, -math.inf),
        **misuse.of_wrong_type(photo),
        **misuse.empty(photo),
    }
    if model.channels is not None:
        bad["another number of channels"] = torch.cat((photo, photo), 1)
    kernel = {"kernel": _KERNEL} if getattr(model, "needs_kernel", False) else {}
    misuse.refuse({what: partial(model, image, **kernel) for what, image in bad.items()})


def takes_any_channels(subject: Subject) -> None:
    """If the model declares that it accepts any number of channels."""
    model = subject.component()
    photo = _small(model)
    if model.channels is not None:
        return
    for channels in (1, 4):
        image = photo[:, :1].expand(-1, channels, -1, -1)
        problem = _problem(_image(model, image), image)
        need(not problem, f"with {channels} channels: {problem}")


def takes_or_refuses_odd_images(subject: Subject) -> None:
    """Values slightly outside [0, 1] are noise."""
    model = subject.component()
    photo = _small(model)
    odd = {
        "below 0": photo - 0.3,
        "above 1": photo + 0.6,
        "float16": photo.half(),
        "bfloat16": photo.bfloat16(),
        "float64": photo.double(),
        "the meta device": photo.to("meta"),
    }
    for what, image in odd.items():
        run = partial(_image, model, image)
        misuse.take_or_refuse({what: run}, partial(_problem, photo=image))


def keeps_its_precision(subject: Subject) -> None:
    """In float64 the result for a photo does not depend on its batch, up to rounding. Half
    precision works or is refused."""
    double = subject.component(torch.float64)
    photo = _small(double, 2)
    with torch.no_grad():
        both, alone = _image(double, photo.double()), _image(double, photo[:1].double())
    problem = _problem(both, photo.double())
    need(not problem, f"in float64: {problem}")
    close(both[:1], alone, "an image in a batch and alone, in float64", 1e-9)
    for dtype in (torch.float16, torch.bfloat16):
        run = partial(_image, subject.component(dtype), photo.to(dtype))
        problem = partial(_problem, photo=photo.to(dtype))
        misuse.take_or_refuse({f"model and image in {dtype}": run}, problem)
    there = photo.to("meta")
    run = partial(_image, subject.component().to("meta"), there)
    misuse.take_or_refuse(
        {"model and image on the meta device": run}, partial(_problem, photo=there)
    )


def reads_any_layout(subject: Subject) -> None:
    """Transposed, strided and channels-last photos give the same result."""
    model = subject.component()
    photo = _small(model)
    misuse.reads_any_layout(model, photo, _image)


def survives_copying(subject: Subject) -> None:
    model = subject.component()
    photo = _small(model)
    misuse.survives_copying(model, lambda model: _image(model, photo))


def serves_two_threads(subject: Subject) -> None:
    model = subject.component()
    photo = _small(model)
    misuse.serves_two_threads(model, lambda model: _image(model, photo))


def survives_a_fork(subject: Subject) -> None:
    model = subject.component()
    photo = _small(model)
    misuse.survives_a_fork(model, lambda model: _image(model, photo))


def takes_a_kernel(subject: Subject) -> None:
    model = subject.component()
    photo = _photo(model)
    with torch.no_grad():
        image = model(photo, kernel=_KERNEL).image
    need(image.shape == photo.shape, "with kernel=... the shape changes")
    if getattr(model, "needs_kernel", False):
        try:
            model(photo)
        except UnfoldError:
            return
        raise AssertionError("it declares that it needs a kernel, but restores without one")


def takes_or_refuses_odd_kernels(subject: Subject) -> None:
    """A model without kernels accepts any; all others refuse a tensor that is not a kernel."""
    model = subject.component()
    photo = _small(model)

    def given(kernel: Any) -> Callable[[], Tensor]:
        return lambda: model(photo, kernel=kernel).image

    odd = {
        "an even kernel": torch.full((1, 1, 4, 6), 1 / 24),
        "a kernel larger than the image": torch.full((1, 1, 31, 41), 1 / (31 * 41)),
        "a kernel with negative values": torch.tensor([[[[-0.5, 2.0, -0.5]]]]),
        "a float64 kernel": _KERNEL.double(),
    }
    bad = {
        "a kernel of sum zero": torch.tensor([[[[1.0, 0.0, -1.0]]]]),
        "a negative kernel": -_KERNEL,
        "a kernel with NaN": misuse.special(_KERNEL, math.nan),
        "an infinite kernel": misuse.special(_KERNEL, math.inf),
        "kernels for another batch": _KERNEL.expand(2, -1, -1, -1),
        "a kernel of three channels": _KERNEL.expand(1, 3, -1, -1),
        "a kernel of two axes": _KERNEL[0, 0],
        "an empty kernel": _KERNEL[..., :0],
        "a kernel on the meta device": _KERNEL.to("meta"),
        "a kernel that is a NumPy array": _KERNEL.numpy(),
    }
    every = {what: given(kernel) for what, kernel in (odd | bad).items()}
    misuse.take_or_refuse(every, partial(_problem, photo=photo))
    with torch.no_grad():
        plain = given(torch.ones(1, 1, 1, 1))()
        if not torch.equal(plain, given(_KERNEL)()):  # it uses kernels
            misuse.refuse({what: every[what] for what in bad})


def agrees_in_tiles(subject: Subject) -> None:
    """With the measurements of the whole photo, a model restores a tile as in the whole photo, or
    declares that it needs the whole photo."""
    model, noise = subject.component().eval(), torch.Generator().manual_seed(0)
    if model.needs_full_image:
        return
    leave_start(model)  # zero-initialized layers would hide the receptive field
    coarse = 0.1 + 0.8 * torch.rand(1, _channels(model), 14, 16, generator=noise)
    photo = interpolate(coarse, (224, 256), mode="bicubic")
    # (With little noise, the ringing of a deconvolution extends beyond the width of this photo.)
    photo = (photo + 0.1 * torch.randn(photo.shape, generator=noise)).clamp(0, 1)
    kernel = _KERNEL if model.needs_kernel or not model.requires_training else None
    with torch.inference_mode():
        want = model(photo, kernel=kernel).image[0]
    made = TiledInference(model, kernel=kernel, tile=40_000)(photo[0])
    inner = slice(16, -16)  # (the margin at the photo's border depends on the tile)
    error = (made.image - want)[:, inner, inner].abs().max().item()
    need(
        error < 1e-3,
        f"tiles differ by {error:.2g} from the whole photo: return the global quantities from "
        "measure(), name averaged parts in pooled_features, or set needs_full_image",
    )


def passes_gradients(subject: Subject) -> None:
    model = subject.component()
    photo = _photo(model).requires_grad_()
    if not model.requires_training:
        return
    leave_start(model)
    _restored(model, photo).image.square().sum().backward()
    need(photo.grad is not None and photo.grad.any(), "no gradient reaches the photo")
    reached = [p.grad is not None and bool(p.grad.isfinite().all()) for p in model.parameters()]
    need(len(reached) > 0 and all(reached), "some parameters get no (finite) gradient")


_STRONGEST = 0.25
"""The largest standard deviation that a prior may be given, if white is 1."""


def _calls_of_priors(
    model: Restorer, photo: Tensor
) -> tuple[Restoration, list[tuple[str, Tensor]]]:
    """The result for a photo, and the step of each call of a prior, by the prior's type."""
    calls: list[tuple[str, Tensor]] = []

    def note(prior: torch.nn.Module, args: tuple, options: dict) -> None:
        calls.append((type(prior).__name__, args[1] if len(args) > 1 else options["step"]))

    priors = [module for module in model.modules() if isinstance(module, Prior)]
    hooks = [prior.register_forward_pre_hook(note, with_kwargs=True) for prior in priors]
    try:
        with torch.no_grad():
            return _restored(model, photo), calls
    finally:
        for hook in hooks:
            hook.remove()


def tells_priors_noise_levels(subject: Subject) -> None:
    """Steps are variances between that of the noise, if the model returns it as a part, and 0.25².
    A model without priors passes."""
    model = subject.component()
    ramp = torch.linspace(0.1, 0.9, 32).expand(2, _channels(model), 24, 32)
    for sigma in (0.0, 0.02, 0.05):
        photo = (ramp + sigma * torch.randn(ramp.shape)).clamp(0, 1)
        restoration, calls = _calls_of_priors(model, photo)
        least = restoration.parts.get("noise", torch.zeros(1)).clamp_max(_STRONGEST)
        for prior, step in calls:
            need(step.min() >= 0, f"noise of {sigma}: {prior} is given a negative step")
            deviation = step.sqrt()
            low, high = deviation.min().item(), deviation.max().item()
            need(
                high <= _STRONGEST * 1.001,
                f"noise of {sigma}: {prior} is given a deviation of {high:.3g}, more than "
                f"{_STRONGEST}",
            )
            need(
                (deviation >= 0.999 * least).all(),
                f"noise of {sigma}: {prior} is given a deviation of {low:.3g}, less than the "
                f"noise, {least.min().item():.3g}",
            )


def survives_a_state_dict(subject: Subject) -> None:
    photo = _photo(subject.make())
    state_dict_round_trip(subject, lambda model: _restored(model, photo).image)


def explains_itself(subject: Subject) -> None:
    need(subject.make().explain().strip(), "explain() is empty")


def agrees_on_a_gpu(subject: Subject) -> None:
    if not torch.cuda.is_available():
        raise SkipTest("no GPU on this machine")
    model = subject.component()
    photo = _photo(model)
    with torch.no_grad():
        want = _restored(model, photo).image
        got = _restored(model.to("cuda"), photo.cuda()).image
    need(got.device.type == "cuda", f"cuda became {got.device}")
    close(got.cpu(), want, "a GPU against the CPU", 1e-2)


class _Image(torch.nn.Module):
    def __init__(self, model: Restorer) -> None:
        super().__init__()
        self.model = model

    def forward(self, photo: Tensor) -> Tensor:
        return _restored(self.model, photo).image


def compiles(subject: Subject) -> None:
    model = subject.component()
    module, photo = _Image(model), _photo(model)
    with torch.no_grad():
        close(torch.compile(module)(photo), module(photo), "compiled against eager", 1e-3)


def exports(subject: Subject) -> None:
    model = subject.component()
    module, photo = _Image(model), _photo(model)
    with torch.no_grad():
        export(module, (photo,), module(photo))


CHECKS = {
    "type": Rule(is_a_model),
    "any-size": Rule(restores_any_size),
    "parts": Rule(gives_finite_parts),
    "batch-independence": Rule(treats_images_apart),
    "no-mutation": Rule(leaves_inputs_alone),
    "determinism": Rule(is_deterministic),
    "bad-input": Rule(refuses_bad_input),
    "channels": Rule(takes_any_channels),
    "odd-images": Rule(takes_or_refuses_odd_images),
    "precision": Rule(keeps_its_precision),
    "layout": Rule(reads_any_layout),
    "copies": Rule(survives_copying),
    "threads": Rule(serves_two_threads),
    "fork": Rule(survives_a_fork),
    "kernel": Rule(takes_a_kernel),
    "odd-kernels": Rule(takes_or_refuses_odd_kernels),
    "tiles": Rule(agrees_in_tiles),
    "gradients-flow": Rule(passes_gradients),
    "noise-levels": Rule(tells_priors_noise_levels),
    "state-dict": Rule(survives_a_state_dict),
    "spec": Rule(builds_from_spec, named=True),
    "explain": Rule(explains_itself),
    "gpu": Rule(agrees_on_a_gpu),
    "compile": Rule(compiles, claim="compile"),
    "export": Rule(exports, claim="export"),
    "bounds": Rule(bounds_its_numbers, named=True),
    "building": Rule(is_built_quickly, named=True),
}
