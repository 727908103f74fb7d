"""Learned weights in files: a folder with ``model.safetensors`` and ``model.json``."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from packaging.version import Version
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from unfold._files import replace_file
from unfold.errors import InputError
from unfold.registry.catalog import ComponentError
from unfold.registry.spec import Spec, resolve, spec_of
from unfold.restorer import Restorer

TENSORS, FACTS = "model.safetensors", "model.json"


def save_model(
    folder: str | os.PathLike[str],
    tensors: Mapping[str, Tensor],
    spec: Spec,
    *,
    needs: Mapping[str, str],
    training: Mapping[str, Any] | None = None,
) -> None:
    """Write a model's state dict, and the facts that are needed to build the model.

    Each file is written atomically; the facts, with the SHA-256 of the tensors, are written last.

    Args:
        folder: created if it does not exist.
        tensors: the model's state dict.
        spec: spec of the model.
        needs: distribution -> version, for every component of the model.
        training: facts about its training, as JSON.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    # (Tied parameters share memory, which safetensors does not support: each gets its own.)
    data = save({name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()})
    facts = {
        "model": spec.model_dump(mode="json"),
        "needs": dict(needs),
        "sha256": hashlib.sha256(data).hexdigest(),
        "training": dict(training or {}),
    }
    replace_file(folder / TENSORS, data, durable=True)
    replace_file(folder / FACTS, (json.dumps(facts, indent=2) + "\n").encode(), durable=True)


def load_model(
    folder: str | os.PathLike[str], options: Mapping[str, Any] | None = None
) -> Restorer:
    """Load the model in a folder that `save_model` wrote, for inference. Nothing is unpickled.

    Args:
        folder: path of the folder.
        options: options of the model that differ from those of its training.

    Raises:
        ComponentError: if files are missing or damaged, a plugin is missing or too old, or the
            weights do not fit. The message is one line.
    """
    folder = Path(folder)
    facts = read_facts(folder)
    _check_needs(folder, facts["needs"])
    try:
        data = (folder / TENSORS).read_bytes()
    except OSError as error:
        raise ComponentError(f"{folder / TENSORS}: cannot be read ({error.strerror})") from error
    if hashlib.sha256(data).hexdigest() != facts["sha256"]:
        raise ComponentError(
            f"{folder / TENSORS} is not the file that {FACTS} describes: copy both again"
        )
    options = options or {}
    try:
        tensors = load_file(folder / TENSORS)
        model = spec_of("models", {**facts["model"], **options}).build()
        if options and _shapes(model.state_dict()) != _shapes(tensors):
            raise ComponentError(_misfit(facts["model"], options, tensors))
        model.load_state_dict(tensors)
    except (ComponentError, SafetensorError, RuntimeError) as error:
        if options and isinstance(error, ComponentError):  # its cause is not the folder
            raise
        reason = " ".join(str(error).split())[:200]
        raise ComponentError(
            f"{folder}: its model cannot be built ({reason}); copy the folder again"
        ) from error
    model.requires_training = False
    return model.eval()


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def _misfit(
    config: Mapping[str, Any], options: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> str:
    """Which of the options change the parameters."""
    fixed = []
    for name, value in options.items():
        with contextlib.suppress(ComponentError):  # (it is valid with the other options only)
            changed = spec_of("models", {**config, name: value}).build().state_dict()
            if _shapes(changed) != _shapes(tensors):
                fixed.append(name)
    names = ", ".join(fixed or options)
    return (
        f"{config['kind']}: the trained weights do not fit another {names}: leave out {names}, or "
        "train a model with it"
    )


def trained(*, folder: Path, options: dict[str, Any] = {}) -> Restorer:  # noqa: B006
    """A model with the weights that `unfold train` wrote to a folder.

    Args:
        folder: folder with model.safetensors and model.json.
        options: options that differ from those of the training; the weights must fit them.

    Example:
        >>> import tempfile, unfold
        >>> from unfold.models.weights import save_model
        >>> from unfold.registry.spec import resolve
        >>> spec = resolve("models", {"kind": "zero-dce", "width": 4})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_model(folder, spec.build().state_dict(), spec, needs={})
        ...     unfold.create_model("trained", folder=folder).requires_training
        False
    """
    return load_model(folder, options)


def learned_spec(spec: Spec) -> Spec | None:
    """The spec of the model in a folder of learned weights; None if ``spec`` does not name such a
    folder."""
    if type(spec).component is not trained:
        return None
    facts = read_facts(spec.folder)  # type: ignore[attr-defined]
    return resolve("models", {**facts["model"], **spec.options})  # type: ignore[attr-defined]


def is_model_folder(path: str | os.PathLike[str]) -> bool:
    """Whether the path is a folder with a model's weights."""
    return (Path(path) / FACTS).is_file()


def read_facts(folder: Path) -> dict[str, Any]:
    """Read ``model.json``.

    Raises:
        ComponentError: if the file does not exist, or has other contents.
    """
    try:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        if not {"model", "needs", "sha256"} <= facts.keys():
            raise InputError("model, needs or sha256 is missing")
        if not (isinstance(facts["model"], dict) and isinstance(facts["needs"], dict)):
            raise InputError("model or needs is not a table")
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ComponentError(f"{folder / FACTS}: describes no model ({reason})") from error
    return facts


def _check_needs(folder: Path, needs: Mapping[str, str]) -> None:
    missing = []
    for name, version in sorted(needs.items()):
        try:
            if Version(importlib.metadata.version(name)) >= Version(version):
                continue
        except importlib.metadata.PackageNotFoundError:
            pass
        except (ValueError, TypeError) as error:  # an invalid name or version
            raise ComponentError(
                f"{folder / FACTS}: needs {name!r} {version!r:.40}, which is not a distribution "
                "with its version: copy the file again"
            ) from error
        missing.append(f"{name}>={version}")
    if missing:
        raise ComponentError(
            f"{folder} needs {', '.join(missing)}: pip install '{' '.join(missing)}'"
        )


def tensors_digest(module: nn.Module) -> str | None:
    """SHA-256 of the names, dtypes, shapes and values of a module's tensors, including plain
    attributes; None if it has no tensors."""
    plain = {name: value for name, value in vars(module).items() if isinstance(value, Tensor)}
    tensors = {**module.state_dict(), **plain}
    if not tensors:
        return None
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        values = tensor.detach().cpu().contiguous().flatten()
        digest.update(f"{name} {values.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(values.view(torch.uint8).numpy().data)
    return digest.hexdigest()
