"""Checks of a metric."""

from __future__ import annotations

from itertools import pairwise
from unittest import SkipTest

import torch
from torch import Tensor

from unfold.metrics import Metric

from .options import bounds_its_numbers, is_built_quickly
from .tools import Rule, Subject, builds_from_spec, close, need

# Two blocks of NIQE, and more than the receptive fields of LPIPS.
_SIZE = (96, 200)
_NOISES = (0.0, 0.03, 0.1, 0.3)


def _pair(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Two noisy images with structure, and their references; a batch of two each."""
    height, width = _SIZE
    y, x = torch.meshgrid(torch.linspace(0, 9, height), torch.linspace(0, 20, width), indexing="ij")
    waves = torch.stack(
        [(a * x).sin() * (b * y + a).cos() for a, b in ((1, 1), (0.5, 2), (2, 0.7))]
    )
    reference = (0.5 + 0.3 * torch.stack((waves, waves.roll(1, 0)))).clamp(0, 1)
    reference = (reference + 0.02 * torch.randn_like(reference)).clamp(0.1, 0.9)
    image = (reference + 0.08 * torch.randn_like(reference)).clamp(0, 1)
    return image.to(dtype), reference.to(dtype)


def _call(metric: Metric, image: Tensor, reference: Tensor) -> Tensor:
    return metric(image, reference) if metric.needs_reference else metric(image)


def is_a_metric(subject: Subject) -> None:
    metric = subject.make()
    need(isinstance(metric, Metric), f"{metric!r:.60} is no unfold.metrics.Metric")
    better = getattr(metric, "better", None)
    need(better in ("higher", "lower"), f"better is {better!r}, neither 'higher' nor 'lower'")


def gives_one_value_an_image(subject: Subject) -> None:
    metric = subject.component()
    for channels in (3, 1):
        image, reference = (t[:, :channels] for t in _pair())
        values = _call(metric, image, reference)
        need(values.shape == (2,), f"two images give values of shape {tuple(values.shape)}")
        need(values.dtype == torch.float64, f"values are {values.dtype}, not float64")
        need(values.isfinite().all(), f"values are not finite: {values.tolist()}")
        need(values.device == image.device, f"{image.device} became {values.device}")


def takes_both_precisions(subject: Subject) -> None:
    metric = subject.component()
    image, reference = _pair()
    single = _call(metric, image, reference)
    close(
        _call(metric, image.double(), reference.double()), single, "float64 against float32", 1e-3
    )


def treats_images_apart(subject: Subject) -> None:
    metric = subject.component()
    image, reference = _pair()
    both = _call(metric, image, reference)
    for i in range(2):
        alone = _call(metric, image[i : i + 1], reference[i : i + 1])
        close(both[i : i + 1], alone, f"image {i} in a batch and alone", 1e-5)


def leaves_inputs_alone(subject: Subject) -> None:
    image, reference = _pair()
    copies = image.clone(), reference.clone()
    _call(subject.component(), image, reference)
    need(torch.equal(image, copies[0]), "the image was changed in place")
    need(torch.equal(reference, copies[1]), "the reference was changed in place")


def is_deterministic(subject: Subject) -> None:
    metric = subject.component()
    image, reference = _pair()
    first = _call(metric, image, reference)
    _call(metric, reference, image)  # other images in between
    need(torch.equal(first, _call(metric, image, reference)), "two calls differ")


def worsens_with_noise(subject: Subject) -> None:
    """The value is best at the reference, and becomes worse with each increase of noise.

    For a metric without a reference only the first and the last value are compared: such metrics
    may prefer a small amount of noise.
    """
    metric = subject.component()
    _, reference = _pair()
    noise = torch.randn_like(reference)
    pictures = [(reference + level * noise).clamp(0, 1) for level in _NOISES]
    if not metric.needs_reference:
        pictures = [pictures[0], pictures[-1]]
    values = [_call(metric, picture, reference) for picture in pictures]
    sign = 1 if metric.better == "higher" else -1
    for better, worse in pairwise(values):
        need((sign * (better - worse) > 0).all(),
             f"{metric.better} is better, but with more noise it goes from {better.tolist()} to "
             f"{worse.tolist()}")  # fmt: skip


def refuses_bad_input(subject: Subject) -> None:
    metric = subject.component()
    image, reference = _pair()
    bad = {"three axes": (image[0], reference[0]), "two channels": (image[:, :2], reference[:, :2])}
    if metric.needs_reference:
        bad |= {
            "no reference": (image, None),
            "another size": (image, reference[..., :-1]),
            "another batch": (image, reference[:1]),
        }
    for name, inputs in bad.items():
        try:
            metric(*inputs)
        except ValueError:
            continue
        except Exception as error:
            raise AssertionError(f"{name}: {type(error).__name__}, not ValueError") from error
        raise AssertionError(f"{name}: measured")


def builds_no_graph(subject: Subject) -> None:
    image, reference = _pair()
    values = _call(subject.component(), image.requires_grad_(), reference)
    need(not values.requires_grad, "values have a graph, but measuring needs no gradients")


def agrees_on_a_gpu(subject: Subject) -> None:
    if not torch.cuda.is_available():
        raise SkipTest("no GPU on this machine")
    metric = subject.component()
    image, reference = _pair()
    want = _call(metric, image, reference)
    got = _call(metric.to("cuda"), image.cuda(), reference.cuda())
    need(got.device.type == "cuda", f"cuda became {got.device}")
    close(got.cpu(), want, "a GPU against the CPU", 1e-3)


CHECKS = {
    "type": Rule(is_a_metric),
    "values": Rule(gives_one_value_an_image),
    "precision": Rule(takes_both_precisions),
    "batch-independence": Rule(treats_images_apart),
    "no-mutation": Rule(leaves_inputs_alone),
    "determinism": Rule(is_deterministic),
    "direction": Rule(worsens_with_noise),
    "bad-input": Rule(refuses_bad_input),
    "no-graph": Rule(builds_no_graph),
    "spec": Rule(builds_from_spec, named=True),
    "gpu": Rule(agrees_on_a_gpu),
    "bounds": Rule(bounds_its_numbers, named=True),
    "building": Rule(is_built_quickly, named=True),
}
