"""Models in sequence, for example enhancement before deblurring."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, SerializeAsAny, WithJsonSchema
from torch import Tensor, nn

from unfold.core import History
from unfold.errors import InputError
from unfold.registry.catalog import ComponentError
from unfold.registry.config import SUFFIXES, read_config
from unfold.registry.spec import factory, resolve
from unfold.restorer import Restoration, Restorer

from .weights import is_model_folder

ARROW = "->"

# The type of an option that may hold any installed model.
ModelLike = Annotated[
    SerializeAsAny[Any],
    BeforeValidator(functools.partial(resolve, "models")),
    WithJsonSchema({"group": "models"}),
]


class Cascade(Restorer):
    """Models in sequence, each applied to the output of the one before it.

    A blur kernel describes the input photo, so it is passed to the first model only. All models
    write to the same history, in order. A cascade requires training if any of its models does.

    Args:
        models: at least one model, in order.

    Parts: the parts of each model, numbered from 1 (``"2.kernel"``), and the output of each model
    except the last (``"1.image"``).
    """

    def __init__(self, *models: Restorer) -> None:
        super().__init__()
        if not models:
            raise InputError("a cascade needs at least one model, got none")
        self.models = nn.ModuleList(models)
        self.requires_training = any(model.requires_training for model in models)
        self.channels = next((m.channels for m in models if m.channels is not None), None)

    def forward(
        self, image: Tensor, *, kernel: Tensor | None = None, history: History | None = None
    ) -> Restoration:
        parts: dict[str, Tensor] = {}
        for number, model in enumerate(self.models, 1):
            if number > 1:
                parts[f"{number - 1}.image"] = image
            restored = model(image, kernel=kernel, history=history)
            parts |= {f"{number}.{name}": part for name, part in restored.parts.items()}
            image, kernel = restored.image, None
        return Restoration(image, parts, history)

    def sequence(self) -> list[Restorer]:
        return [last for model in self.models for last in model.sequence()]  # type: ignore[operator]

    def explain(self) -> str:
        count = len(self.models)
        texts = [f"model {i} of {count}\n{m.explain()}" for i, m in enumerate(self.models, 1)]  # type: ignore[operator]
        return "\n\n".join(texts)


def cascade(
    *,
    models: Annotated[tuple[ModelLike, ...], Field(min_length=1, max_length=32)] = (
        {"kind": "identity"},
    ),
) -> Cascade:
    """Models in sequence, given by name: ``"zero-dce -> era-small"``.

    Args:
        models: names, or configs with options, in order.

    Example:
        >>> import unfold
        >>> model = unfold.create_model("identity -> tv-deblur")
        >>> [type(part).__name__ for part in model.sequence()]
        ['IdentityModel', 'Deconvolution']
    """
    return Cascade(*(factory("models", model)() for model in models))


def config_of(name: str | Mapping[str, Any]) -> dict[str, Any]:
    """The config of a model that is given by name, by the path of a config file or of a folder of
    learned weights, as a sequence: ``"first -> second"``, or as a config.

    Raises:
        ComponentError: if a name is missing beside an arrow, or a config cannot be read.
    """
    if isinstance(name, Mapping):
        return dict(name)
    if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ComponentError(
            "a model must be a name, a config or the path of one, got "
            f"{type(name).__name__}; unfold.list('models') has the names"
        )
    if ARROW not in name:
        if is_model_folder(name):
            return {"kind": "trained", "folder": name}
        return read_config(name) if name.endswith(SUFFIXES) else {"kind": name}
    names = [part.strip() for part in name.split(ARROW)]
    if not all(names):
        raise ComponentError(f"{name!r}: a model is missing; write it as 'first {ARROW} second'")
    return {"kind": "cascade", "models": [config_of(part) for part in names]}
