"""Declare an augmented Lagrangian; get an unrolled image-restoration network.

    import unfold
    restored = unfold.create_model("jude")(image).image

See `unfold.core` for composing solvers, `unfold.terms` and `unfold.priors` for their parts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ._shield import shield
from .registry.catalogue import ComponentError, list_components

shield()

if TYPE_CHECKING:
    from .core import Restoration, Restorer
    from .estimators.kernel_estimate import estimate_kernel

__all__ = [
    "ComponentError", "Restoration", "Restorer", "create_model", "estimate_kernel",
    "list_components",
]  # fmt: skip


def create_model(
    name: str | Mapping[str, Any], *, pretrained: bool = False, **options: Any
) -> Restorer:
    """A restoration model by name, with random weights where it is learned.

    Args:
        name: one of ``unfold.list_components("models")``; or several, each restoring what the one
            before it made, ``"first -> second"``; or a config: a mapping with the name under
            ``kind`` and options, or the path of a .json or .toml file that holds one.
        pretrained: with the weights that come with the library (`unfold.models.pretrained`).
        options: the model's own, e.g. ``create_model("jude", prior="ircnn", K=3)``.

    Raises:
        ComponentError: no such model, with the closest names; ``pretrained``, and no weights of it
            are shipped, or they do not fit the options.
        pydantic.ValidationError: every option that does not fit.
    """
    from .models.cascade import config_of
    from .registry.spec import resolve

    if "kind" in options:
        raise ValueError(f"kind={options['kind']!r}: the model's name is the first argument")
    config = config_of(name) if isinstance(name, str) else dict(name)
    config |= options
    if not pretrained:
        return resolve("models", config).build()
    from .models.pretrained import pretrained_models, with_weights

    model = resolve("models", with_weights(config)).build()
    if model.requires_training:
        raise ComponentError(
            f"{name}: it is learned, and no weights of it are shipped; there are those of "
            f"{', '.join(pretrained_models())} (or train it: unfold train --list)"
        )
    return model


_FORMULA = (
    "Objective", "blocks", "box", "constraint", "conv", "data", "downsample", "filter_flow",
    "from_dict", "grad", "l0", "l1", "linear", "penalties", "poisson", "prior", "ridge", "simplex",
    "sq", "tv",
)  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _FORMULA:
        from . import formula

        return getattr(formula, name)
    if name in ("Restoration", "Restorer"):  # these import torch; listing must not
        from . import core

        return getattr(core, name)
    if name == "estimate_kernel":
        from .estimators import kernel_estimate

        return kernel_estimate.estimate_kernel
    raise AttributeError(f"module 'unfold' has no attribute {name!r}")
