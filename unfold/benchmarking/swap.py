"""Cases of a model with exchanged components."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch

from unfold.registry.catalog import Component, components
from unfold.registry.swap import Candidate, Swap, SwapError, held_groups

from .case import Case, PairedRun, Size, SkippedError
from .networks import CHANNELS, restoring
from .registered import build, find_spec, provider


def swap_cases(text: str, size: Size) -> Iterator[Case]:
    """Every model that has an option for a component, with other components in its place. Each is
    compared with the default of the model.

    Args:
        text: ``prior=*`` (each installed prior in turn), ``prior=deepinv-*``, ``prior=ircnn``, or
            a config, ``prior={"kind": "deepinv-drunet", "weights": "random"}``.
        size: size of the image.

    Raises:
        SwapError: if the text is no assignment, no model has the option, or nothing matches the
            pattern.
        ComponentError: if there is no such component; the message has the closest names.

    Example:
        >>> from unfold.benchmarking import Size, swap_cases
        >>> [case.name for case in swap_cases("prior=box", Size(64, 64))][:2]
        ['deblur, prior=box', 'deconv-small, prior=box']
    """
    swap = Swap.parse(text)
    holders = list(_holders())
    found = [(n, c, held[swap.option]) for n, c, held in holders if swap.option in held]
    if not found:
        options = sorted({option for _, _, held in holders for option in held})
        raise SwapError(
            f"--swap {text}: no installed model has an option {swap.option!r} that holds a "
            f"component; there is {', '.join(options) or 'none'}"
        )
    for name, model, group in found:
        for candidate in swap.candidates(group):
            prepare = partial(_pair, model, swap.option, candidate, size)
            label = f"{name}, {swap.option}={candidate.name}"
            yield Case("swap", label, size, prepare, provider(candidate.component))


def _pair(
    model: Component, option: str, candidate: Candidate, size: Size, device: torch.device
) -> PairedRun:
    # The component's own errors are kept apart from what does not fit.
    if candidate.component.group == "priors" and set(candidate.config) == {"kind"}:
        build(candidate.component, CHANNELS)
    else:
        find_spec(candidate.component)
    spec = find_spec(model)
    try:
        config = {"kind": model.qualified, option: candidate.config}
        swapped = spec.model_validate(config).build()
    except ValueError as error:
        raise SkippedError(f"does not fit: {error}") from error
    own = spec(kind=model.qualified).build()
    ours, theirs = (restoring(model, size, device)[0] for model in (swapped, own))
    return PairedRun(ours, theirs, f"with its own {option}")


def _holders() -> Iterator[tuple[str, Component, dict[str, str]]]:
    """Every model that can be loaded, and its options for components."""
    for name, component in components("models"):
        try:
            spec = find_spec(component)
        except Exception:  # the rows of the models report one that cannot be loaded
            continue
        yield name, component, held_groups(spec)
