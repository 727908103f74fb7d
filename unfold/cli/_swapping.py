"""``unfold evaluate --swap``: the same model with each of several installed components."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ._common import CommandError, model_spec

if TYPE_CHECKING:
    from unfold.evaluation import Report
    from unfold.evaluation.comparison import Alternative, Comparison
    from unfold.registry.spec import Spec
    from unfold.registry.swap import Candidate, Swap
    from unfold.restorer import Restorer

Measure = Callable[["Spec", "Restorer"], "Report"]


def compare(arguments: argparse.Namespace, measure: Measure) -> Comparison:
    """Measure the model with each matching component; report errors photo by photo.

    Raises:
        SwapError: if the option holds no component, or none matches.
        EvaluationError, ProtocolError, MetricError: if every component would fail in the same way.
    """
    import shlex

    from tqdm import tqdm

    from unfold._files import one_line
    from unfold.evaluation.comparison import Comparison, measure_each
    from unfold.registry.swap import Swap

    swap = Swap.parse(arguments.swap)
    alternatives = list(_alternatives(arguments, swap, measure))
    entries, complete = [], True
    try:
        for number, entry in enumerate(measure_each(alternatives), 1):
            entries.append(entry)
            complete = entry.report is None or entry.report.complete
            state = f" {entry.status}: {entry.reason}" if entry.reason else ""
            line = f"unfold: {entry.component} ({number} of {len(alternatives)}){state}"
            tqdm.write(one_line(line), file=sys.stderr)
    except KeyboardInterrupt:  # while a model was built
        complete = False
    return Comparison(
        model=arguments.model,
        option=swap.option,
        protocol=arguments.protocol,
        command=shlex.join(["unfold", *arguments.command_line]),
        entries=entries,
        complete=complete,
    )


def _alternatives(
    arguments: argparse.Namespace, swap: Swap, measure: Measure
) -> Iterator[Alternative]:
    from unfold.evaluation.comparison import Alternative

    place = _find_place(arguments, swap)

    def measured(candidate: Candidate) -> Report:
        swapped = f"{place.path}={json.dumps(candidate.config)}"
        spec = _spec(arguments, [*place.given, swapped])
        return measure(spec, _build(spec))

    for candidate in swap.candidates(place.group):
        component = candidate.component
        yield Alternative(
            candidate.name,
            f"{component.distribution} {component.version}",
            lambda candidate=candidate: measured(candidate),
        )


def _spec(arguments: argparse.Namespace, given: list[str]) -> Spec:
    from unfold.evaluation.comparison import NotMeasuredError
    from unfold.registry import ComponentError

    options = [*arguments.options, *given]
    try:
        return model_spec(arguments.model, options, pretrained=True, strength=arguments.strength)
    except (CommandError, ComponentError) as error:
        raise NotMeasuredError(str(error)) from error


def _build(spec: Spec) -> Restorer:
    """Build a model that can restore photos.

    Raises:
        NotMeasuredError: if the model refuses the component, or requires training.
    """
    from unfold.evaluation.comparison import NotMeasuredError

    try:
        model = spec.build()
    except (ValueError, FileNotFoundError, ImportError) as error:
        raise NotMeasuredError(str(error)) from error
    if model.requires_training:
        raise NotMeasuredError("requires training")
    return model


@dataclass(frozen=True)
class _Place:
    """The option that takes the components.

    Attributes:
        group: the group of the components.
        path: the path of the option, as in ``--set``.
        given: the assignments that come first, as in ``--set``.
    """

    group: str
    path: str
    given: list[str]


def _find_place(arguments: argparse.Namespace, swap: Swap) -> _Place:
    """Find the option in the model.

    For a path such as ``denoiser.prior``, the model's own options of ``denoiser`` are assigned
    first, so that nothing but its prior changes.

    Raises:
        SwapError: if there is no such option, or it holds no component.
    """
    from unfold.models.weights import learned_spec
    from unfold.registry.spec import Spec
    from unfold.registry.swap import SwapError, held_groups

    *keys, option = swap.option.split(".")
    prefix = f"{keys.pop(0)}." if "->" in arguments.model and keys else ""
    plain, pretrained = (
        _part(arguments, swap, prefix.rstrip("."), pretrained=trained) for trained in (False, True)
    )
    if learned_spec(plain) is not None:
        prefix += "options."  # the model is a folder of learned weights
    holder, given = learned_spec(pretrained) or pretrained, []
    for key in keys:
        inner = getattr(holder, key, None)
        if not isinstance(inner, Spec):
            raise SwapError(f"{swap}: {holder.kind} has no option {key!r} that holds a component")
        given.append(f"{prefix}{key}={inner.model_dump_json()}")
        holder, prefix = inner, f"{prefix}{key}."
    held = held_groups(type(holder))
    if option not in held:
        raise SwapError(
            f"{swap}: {holder.kind} has no option {option!r} that holds a component; these do: "
            f"{', '.join(sorted(held)) or 'none'}"
        )
    return _Place(held[option], f"{prefix}{option}", given)


def _part(arguments: argparse.Namespace, swap: Swap, number: str, *, pretrained: bool) -> Spec:
    """The spec of the model; in a cascade, of the model with this number."""
    from unfold.registry.swap import SwapError

    name, options, strength = arguments.model, arguments.options, arguments.strength
    spec = model_spec(name, options, pretrained=pretrained, strength=strength)
    if "->" not in name:
        return spec
    models = spec.models  # type: ignore[attr-defined]
    if not (number.isdecimal() and 1 <= int(number) <= len(models)):
        raise SwapError(
            f"{swap}: {name} has {len(models)} models; begin with the number of one of them, "
            "e.g. 1.prior=*"
        )
    return models[int(number) - 1]
