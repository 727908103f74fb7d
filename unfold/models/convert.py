"""Conversion of weights that others released.

The converted file is safetensors. Its header contains, under the key ``unfold``, a JSON object:
``spec`` (the model's name and options), ``provider`` (the distribution of the model and its
version), ``source`` (name and SHA-256 of the released file) and ``sha256`` (of the tensors).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from unfold._files import replace_file
from unfold.registry import ComponentError
from unfold.registry.spec import Spec
from unfold.restorer import Restorer

__all__ = ["load_converted", "rename"]

_HEADER = "unfold"


@runtime_checkable
class Converter(Protocol):
    """A model into which released weights can be converted."""

    def convert_state_dict(self, state: Mapping[str, Any]) -> dict[str, Tensor]:
        """Convert the content of a released file to the model's state dict (see `rename`).

        Raises:
            ComponentError: if the content does not fit; the message lists what does not.
        """
        ...


@runtime_checkable
class Reader(Protocol):
    """Additional method of a `Converter` for released files that ``torch.save`` did not write."""

    def read_released(self, data: bytes) -> Mapping[str, Any]:
        """Parse the bytes of a released file; the result is passed to ``convert_state_dict``.

        Raises:
            ComponentError: if the bytes cannot be parsed. The message continues after the file's
                name: "is no ...".
        """
        ...


def convert(spec: Spec, source: Path, target: Path) -> dict[str, Any]:
    """Convert released weights of a model; nothing but tensors is unpickled.

    Args:
        spec: the model's name and options.
        source: the released file, written by ``torch.save`` unless the model reads another format
            (`Reader`).
        target: a new .safetensors file, which is written atomically.

    Returns:
        The content of the target's header.

    Raises:
        ComponentError: if the model has no converter, the weights do not fit it, or a file cannot
            be read or written. The message is one line.
    """
    model: Restorer = spec.build()
    if not isinstance(model, Converter):
        raise ComponentError(
            f"{spec.kind} has no converter of released weights: a model that has one defines "
            "convert_state_dict"
        )
    _check_target(target)
    data, held = _read(source, model)
    try:
        state = model.convert_state_dict(held)
    except ComponentError as error:
        raise ComponentError(f"{source} does not fit {spec.kind}: {error}") from error
    model.load_state_dict(state)
    tensors = {n: t.detach().clone(memory_format=torch.contiguous_format)
               for n, t in model.state_dict().items()}  # fmt: skip
    about = {
        "spec": spec.model_dump(mode="json"),
        "provider": f"{spec.entry.distribution} {spec.entry.version}",
        "source": {"file": source.name, "sha256": hashlib.sha256(data).hexdigest()},
        "sha256": _digest(tensors),
    }
    try:
        replace_file(target, save(tensors, {_HEADER: json.dumps(about)}), durable=True)
    except OSError as error:
        raise ComponentError(f"{target}: cannot be written ({error.strerror})") from error
    return about


def rename(
    state: Mapping[str, Any], modules: Mapping[str, str], like: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Rename the entries of a state dict.

    Args:
        state: the state dict.
        modules: name of a module in ``state`` -> its new name; the rest of an entry's name is kept.
        like: state dict with the names, shapes and dtypes that the result must have.

    Raises:
        ComponentError: lists missing, unexpected and misshapen entries, by their names in
            ``state``.

    Example:
        >>> import torch
        >>> from unfold.models.convert import rename
        >>> like = {"head.weight": torch.zeros(2), "head.bias": torch.zeros(1)}
        >>> theirs = {"conv0.weight": torch.ones(2), "conv0.bias": torch.ones(1)}
        >>> sorted(rename(theirs, {"conv0": "head"}, like))
        ['head.bias', 'head.weight']
    """
    there = {ours: theirs for theirs, ours in modules.items()}
    names = {_renamed(name, there): name for name in like}
    missing = [name for name in names if name not in state]
    unexpected = [str(name) for name in state if name not in names]
    misshapen = [
        f"{theirs} (needs {_shape(like[ours])}, got {_shape(state[theirs])})"
        for theirs, ours in names.items()
        if theirs in state and _shape(state[theirs]) != _shape(like[ours])
    ]
    wrong = {"missing": missing, "unexpected": unexpected, "misshapen": misshapen}
    errors = [f"{len(found)} {what}: {_some(found)}" for what, found in wrong.items() if found]
    if errors:
        raise ComponentError("; ".join(errors))
    return {ours: state[theirs].to(like[ours].dtype) for theirs, ours in names.items()}


def load_converted(model: Restorer, file: Path, options: Mapping[str, Any]) -> None:
    """Load the weights that `convert` wrote into a model.

    Args:
        model: the model; its parameters are replaced.
        file: the path.
        options: the model's options. They must equal those recorded in the file, because shapes do
            not show, for example, for which range of values a network was trained.

    Raises:
        ComponentError: if the file does not exist, is damaged, or belongs to another network or to
            other options. The message is one line.

    Example:
        >>> from pathlib import Path
        >>> import unfold
        >>> from unfold.models.convert import load_converted
        >>> load_converted(unfold.create_model("tv-deblur"), Path("none.safetensors"), {})
        Traceback (most recent call last):
            ...
        unfold.registry.catalog.ComponentError: none.safetensors: no weights can be read (...
    """
    remedy = "give a file that `unfold convert` wrote"
    try:
        with safe_open(file, framework="pt") as opened:
            about = json.loads((opened.metadata() or {})[_HEADER])
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        made_with, digest = about["spec"], about["sha256"]
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ComponentError(f"{file}: no weights can be read ({reason}); {remedy}") from error
    if _digest(tensors) != digest:
        raise ComponentError(f"{file} is damaged: its tensors have changed; {remedy}")
    wanted = json.loads(json.dumps(dict(options)))
    different = [
        f"{name}={json.dumps(made_with[name])}, not {json.dumps(value)}"
        for name, value in wanted.items()
        if name in made_with and made_with[name] != value
    ]
    if different:
        raise ComponentError(f"{file} is for {', '.join(different)}: set the same options")
    own = model.state_dict()
    try:
        model.load_state_dict(rename(tensors, {}, own))
    except ComponentError as error:
        raise ComponentError(f"{file} has the weights of another network: {error}") from error


def _read(source: Path, model: Converter) -> tuple[bytes, Mapping[str, Any]]:
    try:
        data = source.read_bytes()
    except OSError as error:
        raise ComponentError(
            f"{source}: cannot be read ({error.strerror}); check the path and its permissions"
        ) from error
    if not isinstance(model, Reader):
        return data, _unpickle(source)
    try:
        return data, model.read_released(data)
    except ComponentError as error:
        raise ComponentError(f"{source} {error}") from error


def _unpickle(source: Path) -> Mapping[str, Any]:
    try:
        held = torch.load(source, map_location="cpu", weights_only=True)
    except Exception as error:  # of many kinds; torch's message recommends unsafe unpickling
        raise ComponentError(
            f"{source} is no file of plain tensors, and nothing else is unpickled: "
            "download it again, or save only its state dict with torch.save"
        ) from error
    if not isinstance(held, Mapping):
        raise ComponentError(f"{source} must hold a state dict, got a {type(held).__name__}")
    return held


def _check_target(target: Path) -> None:
    if target.suffix != ".safetensors":
        raise ComponentError(f"{target}: the name of converted weights must end in .safetensors")
    if target.exists():
        raise ComponentError(f"{target} exists: remove it, or choose another name")
    if not target.parent.is_dir():
        raise ComponentError(f"the folder {target.parent} does not exist: create it first")


def _renamed(name: str, modules: Mapping[str, str]) -> str:
    """The name with its longest listed module prefix replaced."""
    end = len(name)
    while (end := name.rfind(".", 0, end)) > 0:
        if name[:end] in modules:
            return modules[name[:end]] + name[end:]
    return name


def _digest(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _shape(value: Any) -> str:
    return str(tuple(value.shape)) if isinstance(value, Tensor) else type(value).__name__


def _some(names: list[str]) -> str:
    shown, others = ", ".join(names[:4]), len(names) - 4
    return f"{shown} and {others} more" if others > 0 else shown
