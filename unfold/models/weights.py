"""Learned weights in files: a folder with ``model.safetensors`` and ``model.json``."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from packaging.version import Version
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from unfold._files import replace_file
from unfold.registry.catalog import ComponentError
from unfold.registry.spec import Spec, resolve
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

    Each file appears whole or not at all; the facts, which hold the tensors' SHA-256, come last.

    Args:
        folder: created if it does not exist.
        tensors: the model's state dict.
        spec: what builds it.
        needs: distribution -> version, of every component in it.
        training: facts about its training, as JSON.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    # (Tied parameters share memory, which the format does not hold: each gets its own.)
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
    """The model in a folder that `save_model` wrote, ready to restore. Nothing is unpickled.

    Args:
        folder: where the files are.
        options: of the model, other than those it was trained with.

    Raises:
        ComponentError: one line: no such files, damaged ones, a plugin that is missing or too
            old, or weights that do not fit.
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
    try:
        model = resolve("models", {**facts["model"], **(options or {})}).build()
        model.load_state_dict(load_file(folder / TENSORS))
    except (ValidationError, SafetensorError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        remedy = f"; leave out {', '.join(options)}, or train it so" if options else ""
        raise ComponentError(f"{folder}: its model cannot be built ({reason}){remedy}") from error
    model.requires_training = False
    return model.eval()


def trained(*, folder: Path, options: dict[str, Any] = {}) -> Restorer:  # noqa: B006
    """A model with the weights that `unfold train` left in a folder.

    Args:
        folder: where model.safetensors and model.json are.
        options: of the model, other than those it was trained with: those that its weights fit.

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
    """The spec of the model in the folder of learned weights that a spec names; None for the spec
    of any other model."""
    if type(spec).component is not trained:
        return None
    facts = read_facts(spec.folder)  # type: ignore[attr-defined]
    return resolve("models", {**facts["model"], **spec.options})  # type: ignore[attr-defined]


def is_model_folder(path: str | os.PathLike[str]) -> bool:
    """Whether a model's weights were written there."""
    return (Path(path) / FACTS).is_file()


def read_facts(folder: Path) -> dict[str, Any]:
    """``model.json``.

    Raises:
        ComponentError: there is none, or it holds something else.
    """
    try:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        if not {"model", "needs", "sha256"} <= facts.keys():
            raise ValueError("model, needs or sha256 is missing")
        if not (isinstance(facts["model"], dict) and isinstance(facts["needs"], dict)):
            raise ValueError("model or needs is no table")
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
        except (ValueError, TypeError) as error:  # no name, or no version
            raise ComponentError(
                f"{folder / FACTS}: needs {name!r} {version!r:.40}, which is no distribution and "
                "its version: copy the file again"
            ) from error
        missing.append(f"{name}>={version}")
    if missing:
        raise ComponentError(
            f"{folder} needs {', '.join(missing)}: pip install '{' '.join(missing)}'"
        )
