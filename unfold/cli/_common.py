"""What commands share."""

from __future__ import annotations

import argparse
import json
import math
from typing import TYPE_CHECKING, Any

from unfold.errors import UnfoldError

if TYPE_CHECKING:
    import torch

    from unfold.core import Restorer
    from unfold.registry.spec import Spec

DEFAULT_MODEL = "jude-classic"
_BEST_WITHOUT_KERNEL = "jude-small"


class CommandError(UnfoldError):
    """A command cannot do what it was asked to; one line says why."""


def default_model(kernel: object) -> str:
    """What photos are restored by where no model is named.

    Told no kernel, jude-small is the better one on dark photos, shaken ones and those out of focus
    (its card has the numbers); it was never trained with kernels that are given.
    """
    return _BEST_WITHOUT_KERNEL if kernel is None else DEFAULT_MODEL


def positive_int(text: str) -> int:
    """An argument that counts something."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1, got {text!r}")
    return int(text)


def positive_float(text: str) -> float:
    """An argument that is a finite number greater than zero."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a positive number, got {text!r}")
    return value


def add_model(parser: argparse.ArgumentParser, help: str, **more: Any) -> None:
    """``--model`` and what changes it: ``--strength``, ``--set``."""
    group = parser.add_argument_group("model")
    group.add_argument("--model", metavar="NAME", help=help, **more)
    group.add_argument(
        "--strength", type=positive_float, metavar="X",
        help="weight of the model's priors against the photo: more than 1 smooths more, less than "
        "1 keeps more detail and noise (default: 1); as --set strength=X, in every model of a "
        "cascade that has the option",
    )  # fmt: skip
    add_options(group)


def add_options(parser: argparse._ActionsContainer) -> None:
    """``--set key=value``, for the options of a model and of the components in it."""
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="options",
        help="an option of the model, e.g. K=3, prior=ircnn or prior.widths=[8,16] (repeatable)",
    )  # fmt: skip


def add_device(parser: argparse._ActionsContainer) -> None:
    """``--device``, for `find_device`."""
    parser.add_argument(
        "--device", default="auto", metavar="NAME",
        help="cpu, cuda, cuda:1, ...; auto is a GPU if there is one (default: auto)",
    )  # fmt: skip


def add_seconds(parser: argparse._ActionsContainer) -> None:
    """``--seconds``, the patience with a stranger's import."""
    parser.add_argument(
        "--seconds", type=positive_float, default=30.0, metavar="S",
        help="limit for importing each component, in seconds",
    )  # fmt: skip


class ShowRecipe(argparse.Action):
    """``--show RECIPE`` prints a recipe and ends, as ``--help`` does; ``const`` finds its text."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Any = None) -> None:
        print(self.const(values), end="")
        parser.exit()


def model_spec(
    name: str, assignments: list[str], *, pretrained: bool = False, strength: float | None = None
) -> Spec:
    """A model's validated config: by name, by a config's path, or ``"first -> second"``.

    The options of a cascade's models begin with their number: ``2.K=3``. ``pretrained`` puts in
    the weights that come with the library, where there are some. ``strength`` is that of
    ``--strength``; assignments may still change it.

    Raises:
        CommandError: an option that is no assignment or does not fit; every fault is told.
    """
    from pydantic import ValidationError

    from unfold._faults import faults
    from unfold.models.cascade import config_of
    from unfold.models.pretrained import with_weights
    from unfold.registry.spec import resolve

    config = config_of(name)
    if strength is not None:
        config = _with_strength(name, config, strength)
    parts = config["models"] if "->" in name else None
    for assignment in assignments:
        number, _, rest = assignment.partition(".")
        if parts is None:
            parse_options([assignment], config)
        elif number.isdecimal() and 1 <= int(number) <= len(parts):
            parse_options([rest], parts[int(number) - 1])
        else:
            raise CommandError(
                f"--set {assignment}: {name} has {len(parts)} models; begin with the number of "
                "the one that is meant, e.g. 1.K=3"
            )
    try:
        return resolve("models", with_weights(config) if pretrained else config)
    except ValidationError as error:
        raise CommandError(f"{name}: " + "; ".join(faults(error))) from error


def _with_strength(name: str, config: dict[str, Any], strength: float) -> dict[str, Any]:
    from unfold.models.strength import with_strength

    changed = with_strength(config, strength)
    if changed is None:
        raise CommandError(
            f"{name} has no priors whose weight could be changed: leave out --strength"
        )
    return changed


def parse_options(assignments: list[str], options: dict[str, Any]) -> dict[str, Any]:
    """``["K=3", "prior=resunet", "prior.blocks=2"]`` as nested options, set in those given.

    Values are JSON where they can be, else text. ``prior=NAME`` and ``prior.option=...`` go
    together in any order.
    """
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        keys = path.strip().split(".")
        if not equals or not all(keys):
            raise CommandError(f"--set {assignment}: must be KEY=VALUE, e.g. K=3")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        _assign(options, keys, value)
    return options


def _assign(options: Any, keys: list[str], value: Any) -> None:
    """Set what a path of keys (of tables) and indices (of lists) leads to."""
    *way, last = keys
    try:
        for key in way:
            place = _place(options, key)
            inner = options.setdefault(key, {}) if isinstance(options, dict) else options[place]
            # `prior=resunet` came first: its name is the kind of what more is said of it.
            if not isinstance(inner, (dict, list)):
                inner = options[place] = {"kind": inner}
            options = inner
        place = _place(options, last)
        old = options.get(last) if isinstance(options, dict) else options[place]
        if isinstance(old, dict) and isinstance(value, str):
            old["kind"] = value
        else:
            options[place] = value
    except (ValueError, IndexError) as error:
        raise CommandError(f"--set {'.'.join(keys)}: the model has no such place") from error


def _place(options: Any, key: str) -> Any:
    return int(key) if isinstance(options, list) else key


def ready_model(name: str, assignments: list[str], strength: float | None = None) -> Restorer:
    """A model that can restore photos as it is installed."""
    spec = model_spec(name, assignments, pretrained=True, strength=strength)
    return ready(name, spec.build())


def ready(name: str, model: Restorer) -> Restorer:
    """The model, if it can restore photos as it is."""
    if model.requires_training:
        raise CommandError(
            f"{name} is a learned model and no trained weights are installed for it: what it "
            f"made would be noise; use {DEFAULT_MODEL}"
        )
    return model


def find_device(name: str) -> torch.device:
    """``auto`` is a GPU where there is one."""
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device).cpu()  # (a meta tensor can be made, but not fetched)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0][:120]
        raise CommandError(f"device {name!r} cannot be used ({reason}); try auto or cpu") from error
    return device
