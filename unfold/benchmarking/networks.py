"""Cases of priors, models and metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import torch
from torch import Tensor

from unfold.core import Prior
from unfold.metrics import Metric
from unfold.models.jude import JUDE
from unfold.registry.spec import Spec
from unfold.restorer import Restoration, Restorer

from .case import Case, PairedRun, Size
from .registered import build, provider, registered
from .sample import kernels, photo
from .yardstick import yardstick

CHANNELS = 3
_STEP = 0.01
_KERNEL = 21


def prior_cases(size: Size) -> Iterator[Case]:
    """One proximal step of each installed prior, for three channels and the step 0.01."""
    return registered("priors", size, prior_pair, lambda c: build(c, CHANNELS))


def model_cases(size: Size) -> Iterator[Case]:
    """One photo and a 21×21 kernel through each installed model. Learned models have random
    weights."""
    return registered("models", size, model_pair)


def chosen_cases(models: Mapping[str, Spec], size: Size) -> Iterator[Case]:
    """One photo and a 21×21 kernel through each of the given models.

    Args:
        models: name in the table -> validated config.
        size: size of the photo.

    Example:
        >>> from unfold.benchmarking import Size, chosen_cases
        >>> from unfold.registry.spec import resolve
        >>> models = {"small": resolve("models", {"kind": "tv-deblur"})}
        >>> [(case.group, case.name) for case in chosen_cases(models, Size(64, 64))]
        [('models', 'small')]
    """
    for name, spec in models.items():
        yield Case("models", name, size, partial(_chosen_pair, spec, size), provider(spec.entry))


def _chosen_pair(spec: Spec, size: Size, device: torch.device) -> PairedRun:
    return model_pair(spec.build(), size, device)


def fast_cases(size: Size) -> Iterator[Case]:
    """JUDE in its fast mode."""
    yield Case("models", "jude, fast mode", size, partial(_fast_pair, size))


def metric_cases(size: Size) -> Iterator[Case]:
    """One pair of photos compared by each installed metric."""
    return registered("metrics", size, metric_pair)


def prior_pair(prior: Prior, size: Size, device: torch.device) -> PairedRun:
    """One proximal step of a prior, and its `yardstick`."""
    prior, v = prior.to(device).eval(), photo(size, device)
    step = torch.full((1, 1, 1, 1), _STEP, device=device)
    return yardstick(partial(prior, v, step), prior, v)


def model_pair(model: Restorer, size: Size, device: torch.device) -> PairedRun:
    """One photo through a model, and its `yardstick`."""
    run, image = restoring(model, size, device)
    return yardstick(run, model, image)


def restoring(
    model: Restorer, size: Size, device: torch.device
) -> tuple[Callable[[], Restoration], Tensor]:
    """A call of a model, which is moved to the device, and the photo that it restores."""
    model, image = model.to(device).eval(), photo(size, device)
    return partial(model, image, kernel=kernels(1, _KERNEL, device)), image


def _fast_pair(size: Size, device: torch.device) -> PairedRun:
    from unfold.models.fast import fast

    model = JUDE()
    exact, _ = restoring(model, size, device)
    quick, _ = restoring(fast(model), size, device)
    return PairedRun(quick, exact, "eager float32")


def metric_pair(metric: Metric, size: Size, device: torch.device) -> PairedRun:
    """One comparison of two photos, and the `yardstick` of the metric."""
    metric, image = metric.to(device), photo(size, device)
    reference = photo(size, device, seed=1) if metric.needs_reference else None
    return yardstick(partial(metric, image, reference), metric, image)
