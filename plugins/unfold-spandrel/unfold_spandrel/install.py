"""Registration of unfold's weights in spandrel."""

from __future__ import annotations

import os
from pathlib import Path

from spandrel import MAIN_REGISTRY, ArchRegistry, ArchSupport

from unfold.models.pretrained import pretrained_models, with_weights
from unfold.models.weights import TENSORS, read_facts
from unfold.priors import denoiser

from .architectures import DenoiserArchitecture, ModelArchitecture, OneLayout
from .layout import Layout, layout_of_file


def install(*folders: str | os.PathLike[str], registry: ArchRegistry = MAIN_REGISTRY) -> list[str]:
    """Enable programs that load models with spandrel to load unfold's weights.

    Afterwards ``spandrel.ModelLoader().load_from_file(path)`` recognizes the ``model.safetensors``
    of every model that is shipped with unfold, that of the prior `denoiser`, and those in the
    folders, by the names and shapes of their tensors. If several models have the same tensors, the
    first one is used; folders precede the models of unfold. The weights are those of the file, the
    options those of the ``model.json`` in the folder.

    Args:
        folders: your own models, as written by ``unfold train``.
        registry: registry of spandrel's loaders; by default the main one.

    Returns:
        The ids of the new architectures; empty if they were already registered.

    Raises:
        ComponentError: if a folder contains no model.

    Example::

        >>> import spandrel, torch, unfold_spandrel
        >>> from unfold.models.pretrained import with_weights
        >>> added = unfold_spandrel.install()
        >>> file = with_weights({"kind": "zero-dce"})["folder"] + "/model.safetensors"
        >>> model = spandrel.ModelLoader().load_from_file(file)
        >>> model(torch.rand(1, 3, 32, 32)).shape
        torch.Size([1, 3, 32, 32])
    """
    known: dict[Layout, OneLayout] = {}
    for architecture in [*map(_own, folders), *map(_shipped, pretrained_models()), _denoiser()]:
        known.setdefault(architecture.layout, architecture)
    # Before all others, which check only a few names and may accept the file as their own.
    others = tuple(support.architecture.id for support in registry)
    supports = [ArchSupport.from_architecture(a, before=others) for a in known.values()]
    added = registry.add(*supports, ignore_duplicates=True)
    return [support.architecture.id for support in added]


def _own(folder: str | os.PathLike[str]) -> ModelArchitecture:
    path = Path(folder).resolve()
    read_facts(path)  # (raises an error for an invalid folder)
    config = {"kind": "trained", "folder": str(path)}
    return ModelArchitecture(f"unfold:{path}", layout_of_file(path / TENSORS), config)


def _shipped(name: str) -> ModelArchitecture:
    config = with_weights({"kind": name})
    layout = layout_of_file(Path(config["folder"], TENSORS))
    return ModelArchitecture(f"unfold-{name}", layout, config)


def _denoiser() -> DenoiserArchitecture:
    file = Path(denoiser.__file__).with_suffix(".safetensors")
    return DenoiserArchitecture("unfold-denoiser", layout_of_file(file))
