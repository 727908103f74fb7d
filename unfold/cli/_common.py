"""Arguments and checks that several commands share."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unfold.errors import UnfoldError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from unfold.registry.spec import Spec
    from unfold.restorer import Restorer

DEFAULT_MODEL = "jude-classic"
_BEST_WITHOUT_KERNEL = "jude-small"


class CommandError(UnfoldError):
    """An error of a command; the message is one line.

    Example:
        >>> from unfold.cli import model_spec
        >>> model_spec("jude-small", ["K"])
        Traceback (most recent call last):
            ...
        unfold.cli._common.CommandError: --set K: must be KEY=VALUE, e.g. K=3
    """


def default_model(kernel: object) -> str:
    """The name of the model that restores photos by default.

    Without a kernel, it is jude-small, which is better on dark, shaken and defocused photos (see
    its card for the numbers). With a kernel, it is jude-classic, which needs no trained weights.
    """
    return _BEST_WITHOUT_KERNEL if kernel is None else DEFAULT_MODEL


def checked(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """A type for argparse, which prints the messages of its own error type only."""

    def convert(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return convert


def positive_int(text: str, least: int = 1) -> int:
    """The value of an argument that is a count, at least ``least``.

    Example:
        >>> from unfold.cli import positive_int
        >>> positive_int("12")
        12
    """
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"must be an integer of at least {least}, got {text!r}")
    return int(text)


def positive_float(text: str) -> float:
    """The value of an argument that is a finite number greater than zero."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a positive number, got {text!r}")
    return value


def declare(
    where: argparse._ActionsContainer, names: str, help: str, *, repeat: bool = False, **more: Any
) -> None:
    """Add an argument or option, such as ``declare(parser, "-o --output FILE", "kernel (.npy)")``.

    The last word of ``names`` is the metavar, which determines the type: FILE, DIR, PATH and PHOTO
    are paths, N is a count, X and S are positive numbers, any other is text. An option without a
    metavar is a switch.

    Example:
        >>> import argparse
        >>> from unfold.cli import declare
        >>> parser = argparse.ArgumentParser()
        >>> declare(parser, "-o --output FILE", "the kernel (.npy)")
        >>> parser.parse_args(["-o", "kernel.npy"]).output.suffix
        '.npy'
    """
    *flags, metavar = names.split()
    if metavar.startswith("-"):
        where.add_argument(*flags, metavar, action="store_true", help=help)
        return
    if repeat:
        more |= {"action": "append", "default": []}
        help += " (repeatable)"
    more.setdefault("type", _TYPES.get(metavar, str))
    where.add_argument(*flags, metavar=metavar, help=help, **more)


_TYPES: dict[str, Callable[[str], Any]] = {
    "FILE": Path, "DIR": Path, "PATH": Path, "PHOTO": Path, "N": positive_int, "X": positive_float,
    "S": positive_float,
}  # fmt: skip


def add_model(parser: argparse.ArgumentParser, help: str, **more: Any) -> None:
    """``--model``, and the options that change the model: ``--strength`` and ``--set``."""
    group = parser.add_argument_group("model")
    declare(group, "--model NAME", help, **more)
    declare(group, "--strength X", "weight of the model's priors relative to the photo: above 1 "
            "smooths more, below 1 keeps more detail and noise (default: 1); sets the option "
            "strength of every model of a cascade that has it")  # fmt: skip
    add_options(group)


def add_options(parser: argparse._ActionsContainer) -> None:
    """``--set key=value``, for the options of a model and of the components in it."""
    declare(parser, "--set KEY=VALUE", "set an option of the model, e.g. K=3, prior=ircnn or "
            "prior.widths=[8,16]", repeat=True, dest="options")  # fmt: skip


def add_device(parser: argparse._ActionsContainer) -> None:
    """``--device``, for `find_device`.

    Example:
        >>> import argparse
        >>> from unfold.cli import add_device
        >>> parser = argparse.ArgumentParser()
        >>> add_device(parser)
        >>> parser.parse_args(["--device", "cpu"]).device
        'cpu'
    """
    declare(parser, "--device NAME", "cpu, cuda, cuda:1, ...; auto is a GPU if there is one",
            default="auto")  # fmt: skip


def add_seconds(parser: argparse._ActionsContainer) -> None:
    """``--seconds``, the time limit for importing a component."""
    declare(parser, "--seconds S", "time limit for importing a component, in seconds", default=30.0)


def add_output(parser: argparse._ActionsContainer, what: str) -> None:
    """``--output``, the file of a command whose result is a text: see `check_output`, `put`."""
    declare(parser, "-o --output FILE", f"{what} (default: print it)")


def check_output(path: Path | None) -> None:
    """Check, before the work, that ``--output`` can be a file.

    Raises:
        ImageError: if it cannot.
    """
    if path is None:
        return
    from unfold.imaging.io import destination, writing

    with writing(path):
        destination(path)


def put(text: str, path: Path | None) -> None:
    """Write a text to ``--output``, or print it.

    Raises:
        ImageError: if the file cannot be written.
    """
    if path is None:
        say(text)
        return
    from unfold._files import replace_file
    from unfold.imaging.io import destination, writing

    with writing(path):
        replace_file(destination(path), text.encode())


def say(text: str) -> None:
    """Print a text; characters that the terminal's encoding lacks are escaped."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))


class ShowRecipe(argparse.Action):
    """``--show RECIPE`` prints a recipe and exits, as ``--help`` does; ``const`` reads its text."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Any = None) -> None:
        print(self.const(values), end="")
        parser.exit()


def model_spec(
    name: str, assignments: list[str], *, pretrained: bool = False, strength: float | None = None
) -> Spec:
    """The validated config of a model: of a name, a config's path, or ``"first -> second"``.

    In a cascade, an assignment begins with the number of its model: ``2.K=3``. ``pretrained`` loads
    the weights that come with the library, if there are any. ``strength`` is the value of
    ``--strength``; assignments may override it.

    Raises:
        CommandError: if an assignment is malformed.
        ComponentError: if there is no such model, or options are invalid; lists every error.

    Example:
        >>> from unfold.cli import model_spec
        >>> model_spec("jude-small", ["K=3"]).build().requires_training
        True
    """
    from unfold.models.cascade import config_of
    from unfold.models.pretrained import with_weights
    from unfold.registry.spec import spec_of

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
                "one of them, e.g. 1.K=3"
            )
    return spec_of("models", with_weights(config) if pretrained else config, name)


def _with_strength(name: str, config: dict[str, Any], strength: float) -> dict[str, Any]:
    from unfold.models.strength import with_strength

    changed = with_strength(config, strength)
    if changed is None:
        raise CommandError(
            f"{name} has no priors whose weight can be changed: leave out --strength"
        )
    return changed


def parse_options(assignments: list[str], options: dict[str, Any]) -> dict[str, Any]:
    """Set ``["K=3", "prior=resunet", "prior.blocks=2"]`` in nested options, and return them.

    ``prior=NAME`` and ``prior.option=...`` may come in any order.
    """
    for assignment in assignments:
        path, value = parse_assignment(assignment)
        _assign(options, path.split("."), value)
    return options


def parse_assignment(text: str, example: str = "K=3") -> tuple[str, Any]:
    """``"prior.blocks=2"`` as a path of keys and a value: parsed JSON, or else text."""
    path, equals, value = text.partition("=")
    if not equals or not all(path.strip().split(".")):
        raise CommandError(f"--set {text}: must be KEY=VALUE, e.g. {example}")
    try:
        return path.strip(), json.loads(value)
    except ValueError:
        return path.strip(), value


def _assign(options: Any, keys: list[str], value: Any) -> None:
    """Set the option at a path of keys (of tables) and indices (of lists)."""
    *way, last = keys
    try:
        for key in way:
            place = _place(options, key)
            inner = options.setdefault(key, {}) if isinstance(options, dict) else options[place]
            # `prior=resunet` came before `prior.blocks=2`: the name becomes the kind.
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
        raise CommandError(
            f"--set {'.'.join(keys)}: the model has no such option; `unfold schema` has all options"
        ) from error


def _place(options: Any, key: str) -> Any:
    return int(key) if isinstance(options, list) else key


def ready(name: str, model: Restorer) -> Restorer:
    """Return the model; raise `CommandError` if it requires training.

    Example:
        >>> import unfold
        >>> from unfold.cli import ready
        >>> type(ready("tv-deblur", unfold.create_model("tv-deblur"))).__name__
        'Deconvolution'
    """
    if model.requires_training:
        raise CommandError(
            f"{name} requires training and no trained weights are installed for it: its output "
            f"would be noise; use {DEFAULT_MODEL}, or train it (unfold train)"
        )
    return model


def kernel_for(name: str, model: Restorer, path: Path | None) -> Tensor | None:
    """The kernel of ``--kernel``, if it is given; raise `CommandError` if the model needs one."""
    from unfold.restoration import read_kernel

    if path is None and model.sequence()[0].needs_kernel:
        raise CommandError(
            f"{name} needs the blur's kernel: give --kernel FILE (unfold kernel PHOTO -o FILE "
            "estimates one)"
        )
    return None if path is None else read_kernel(path)


def find_device(name: str) -> torch.device:
    """The device with this name; ``auto`` is a GPU if there is one.

    Example:
        >>> from unfold.cli import find_device
        >>> find_device("cpu")
        device(type='cpu')
    """
    from unfold.restoration import device

    return device.find_device(name)
