"""What a model promises."""

from __future__ import annotations

from unittest import SkipTest

import torch
from torch import Tensor

from unfold.core import Prior, Restoration, Restorer

from .options import bounds_its_numbers
from .tools import Rule, Subject, close, export, need, spec_round_trip, state_dict_round_trip


def _photo(size: tuple[int, int] = (24, 32), batch: int = 2) -> Tensor:
    return 0.1 + 0.5 * torch.rand(batch, 3, *size)


_KERNEL = torch.full((1, 1, 3, 5), 1 / 15)


def _restored(model: Restorer, photo: Tensor) -> Restoration:
    if getattr(model, "needs_kernel", False):
        return model(photo, kernel=_KERNEL.to(photo))
    return model(photo)


def _run(subject: Subject, image: Tensor) -> Restoration:
    with torch.no_grad():
        return _restored(subject.component(), image)


def is_a_model(subject: Subject) -> None:
    need(isinstance(subject.make(), Restorer), f"{subject.make()!r:.60} is no unfold.core.Restorer")


def restores_any_size(subject: Subject) -> None:
    model = subject.component()
    for size in ((24, 32), (17, 23), (5, 40), (1, 1)):
        photo = _photo(size)
        with torch.no_grad():
            restoration = _restored(model, photo)
        need(isinstance(restoration, Restoration), f"it returns a {type(restoration).__name__}")
        image = restoration.image
        need(image.shape == photo.shape, f"{tuple(photo.shape)} became {tuple(image.shape)}")
        need(image.dtype == photo.dtype, f"{photo.dtype} became {image.dtype}")
        need(image.isfinite().all(), f"not finite at {size}")
        need(image.min() >= 0 and image.max() <= 1, f"values leave [0, 1] at {size}")


def gives_finite_parts(subject: Subject) -> None:
    parts = _run(subject, _photo()).parts
    for name, part in parts.items():
        need(isinstance(part, Tensor), f"the part {name!r} is no tensor")
        need(part.isfinite().all(), f"the part {name!r} is not finite")


def treats_images_apart(subject: Subject) -> None:
    model, photo = subject.component(), _photo()
    with torch.no_grad():
        both = _restored(model, photo).image
        for i in range(2):
            alone = _restored(model, photo[i : i + 1]).image
            close(both[i : i + 1], alone, f"image {i} in a batch and alone", 1e-3)


def leaves_inputs_alone(subject: Subject) -> None:
    photo = _photo()
    copy = photo.clone()
    _run(subject, photo)
    need(torch.equal(photo, copy), "the photo was changed in place")


def is_deterministic(subject: Subject) -> None:
    model, photo = subject.component(), _photo()
    with torch.no_grad():
        first = _restored(model, photo).image
        _restored(model, _photo())  # whatever came between
        again = _restored(model, photo).image
    need(torch.equal(first, again), "two calls in eval mode differ")


def refuses_bad_input(subject: Subject) -> None:
    model = subject.component()
    bad = {
        "three axes": torch.rand(3, 8, 8),
        "one channel": torch.rand(1, 1, 8, 8),
        "8-bit integers": torch.zeros(1, 3, 8, 8, dtype=torch.uint8),
        "values up to 255": 255 * torch.rand(1, 3, 8, 8),
    }
    for name, image in bad.items():
        try:
            with torch.no_grad():
                _restored(model, image)
        except ValueError:
            continue
        except Exception as error:
            raise AssertionError(f"{name}: {type(error).__name__}, not ValueError") from error
        raise AssertionError(f"{name}: taken for a photo")


def takes_a_kernel(subject: Subject) -> None:
    model = subject.component()
    with torch.no_grad():
        image = model(_photo(), kernel=_KERNEL).image
    need(image.shape == (2, 3, 24, 32), "with kernel=... the shape changes")
    if getattr(model, "needs_kernel", False):
        try:
            model(_photo())
        except ValueError:
            return
        raise AssertionError("it says that it needs a kernel, and restores without one")


def passes_gradients(subject: Subject) -> None:
    model, photo = subject.component(), _photo().requires_grad_()
    if not model.requires_training:
        return
    for parameter in model.parameters():  # leave a start where zero layers block gradients
        parameter.data.add_(0.01 * torch.randn_like(parameter))
    _restored(model, photo).image.square().sum().backward()
    need(photo.grad is not None and photo.grad.any(), "no gradient reaches the photo")
    reached = [p.grad is not None and bool(p.grad.isfinite().all()) for p in model.parameters()]
    need(len(reached) > 0 and all(reached), "some parameters get no (finite) gradient")


_STRONGEST = 0.25
"""The largest standard deviation that a prior may be told, white being 1."""


def _calls_of_priors(
    model: Restorer, photo: Tensor
) -> tuple[Restoration, list[tuple[str, Tensor]]]:
    """What the model makes of a photo, and the step of each call of a prior, by its type."""
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
    """Steps are variances between that of the noise, where the model gives that as a part, and
    0.25². A model without priors tells none."""
    model = subject.component()
    ramp = torch.linspace(0.1, 0.9, 32).expand(2, 3, 24, 32)
    for sigma in (0.0, 0.02, 0.05):
        photo = (ramp + sigma * torch.randn(ramp.shape)).clamp(0, 1)
        restoration, calls = _calls_of_priors(model, photo)
        least = restoration.parts.get("noise", torch.zeros(1)).clamp_max(_STRONGEST)
        for prior, step in calls:
            need(step.min() >= 0, f"noise of {sigma}: {prior} is told a negative step")
            deviation = step.sqrt()
            low, high = deviation.min().item(), deviation.max().item()
            need(
                high <= _STRONGEST * 1.001,
                f"noise of {sigma}: {prior} is told a deviation of {high:.3g}, more than "
                f"{_STRONGEST}",
            )
            need(
                (deviation >= 0.999 * least).all(),
                f"noise of {sigma}: {prior} is told a deviation of {low:.3g}, less than the "
                f"noise, {least.min().item():.3g}",
            )


def survives_a_state_dict(subject: Subject) -> None:
    photo = _photo()
    state_dict_round_trip(subject, lambda model: _restored(model, photo).image)


def explains_itself(subject: Subject) -> None:
    need(subject.make().explain().strip(), "explain() is empty")


def agrees_on_a_gpu(subject: Subject) -> None:
    if not torch.cuda.is_available():
        raise SkipTest("no GPU on this machine")
    model, photo = subject.component(), _photo()
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
    module, photo = _Image(subject.component()), _photo()
    with torch.no_grad():
        close(torch.compile(module)(photo), module(photo), "compiled against eager", 1e-3)


def exports(subject: Subject) -> None:
    module, photo = _Image(subject.component()), _photo()
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
    "kernel": Rule(takes_a_kernel),
    "gradients-flow": Rule(passes_gradients),
    "noise-levels": Rule(tells_priors_noise_levels),
    "state-dict": Rule(survives_a_state_dict),
    "spec": Rule(spec_round_trip, named=True),
    "explain": Rule(explains_itself),
    "gpu": Rule(agrees_on_a_gpu),
    "compile": Rule(compiles, claim="compile"),
    "export": Rule(exports, claim="export"),
    "bounds": Rule(bounds_its_numbers, named=True),
}
